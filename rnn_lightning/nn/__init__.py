"""Plain torch: recurrent layers with dropout on input, output and state, and two networks made of them.

This package does not import Lightning.
"""

from rnn_lightning.nn.dropout import DropoutMasks, LayerMasks, Mask
from rnn_lightning.nn.fourier import FourierFeatures
from rnn_lightning.nn.free_run import free_run
from rnn_lightning.nn.generate import generate
from rnn_lightning.nn.layers import GRU, LSTM, RNN
from rnn_lightning.nn.networks import RecurrentNet, Seq2SeqNet, Seq2VecNet
from rnn_lightning.nn.path import force_path
from rnn_lightning.nn.state import State, detach_state, reset_rows

__all__ = [
    "GRU",
    "LSTM",
    "RNN",
    "DropoutMasks",
    "FourierFeatures",
    "LayerMasks",
    "Mask",
    "RecurrentNet",
    "Seq2SeqNet",
    "Seq2VecNet",
    "State",
    "detach_state",
    "force_path",
    "free_run",
    "generate",
    "reset_rows",
]
