"""LightningModules: `Seq2Vec`, `Seq2Seq`, and `TruncatedBPTTModule` for models of your own."""

from rnn_lightning.models.batches import Batch
from rnn_lightning.models.largest_error import LargestError
from rnn_lightning.models.schedulers import WarmUp
from rnn_lightning.models.seq2seq import Seq2Seq
from rnn_lightning.models.seq2vec import Seq2Vec
from rnn_lightning.models.sequence_module import SequenceModule
from rnn_lightning.models.tbptt_module import TruncatedBPTTModule
from rnn_lightning.models.truncated_bptt import TruncatedBPTT

__all__ = [
    "Batch",
    "LargestError",
    "Seq2Seq",
    "Seq2Vec",
    "SequenceModule",
    "TruncatedBPTT",
    "TruncatedBPTTModule",
    "WarmUp",
]
