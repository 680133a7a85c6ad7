"""LightningDataModules: where sequences come from.

`SequenceMNIST`, `SyntheticSine`, `AddingProblem` and `CopyMemory` are ready to use; derive others from
`SequenceDataModule`, or from `MadeUpSequences` where nothing is stored.
"""

from rnn_lightning.data.adding import AddingProblem
from rnn_lightning.data.copying import CopyMemory
from rnn_lightning.data.counted import MadeUpSequences
from rnn_lightning.data.datamodule import SequenceDataModule
from rnn_lightning.data.loading import EpochSampler, EvaluationSampler, ResumableLoader, TensorBatches
from rnn_lightning.data.mnist import SequenceMNIST, pixel_permutation
from rnn_lightning.data.sine import SyntheticSine, sine_windows, time_series

__all__ = [
    "AddingProblem",
    "CopyMemory",
    "EpochSampler",
    "EvaluationSampler",
    "MadeUpSequences",
    "ResumableLoader",
    "SequenceDataModule",
    "SequenceMNIST",
    "SyntheticSine",
    "TensorBatches",
    "pixel_permutation",
    "sine_windows",
    "time_series",
]
