"""Plain torch: recurrent layers with dropout on input, output and state, and two networks made of them.

Nothing in here imports Lightning.
"""

from rnn_lightning.nn.dropout import DropoutMasks, LayerMasks, Mask, without_dropout
from rnn_lightning.nn.free_run import check_free_run, free_run
from rnn_lightning.nn.generate import generate
from rnn_lightning.nn.init import Init
from rnn_lightning.nn.layers import GRU, LSTM, RNN
from rnn_lightning.nn.networks import Cell, Nonlinearity, RecurrentNet, Seq2SeqNet, Seq2VecNet
from rnn_lightning.nn.path import force_path
from rnn_lightning.nn.state import State, detach_state, map_state, reset_rows
from rnn_lightning.nn.unrolled import Unrolled, unrolled

__all__ = [
    "GRU",
    "LSTM",
    "RNN",
    "Cell",
    "DropoutMasks",
    "Init",
    "LayerMasks",
    "Mask",
    "Nonlinearity",
    "RecurrentNet",
    "Seq2SeqNet",
    "Seq2VecNet",
    "State",
    "Unrolled",
    "check_free_run",
    "detach_state",
    "force_path",
    "free_run",
    "generate",
    "map_state",
    "reset_rows",
    "unrolled",
    "without_dropout",
]
