"""LightningDataModules: where sequences come from.

`SequenceMNIST` and `SyntheticSine` are ready to use; derive others from `SequenceDataModule`.
"""

from rnn_lightning.data.datamodule import SequenceDataModule
from rnn_lightning.data.loading import EpochSampler, EvaluationSampler, ResumableLoader, TensorBatches
from rnn_lightning.data.mnist import SequenceMNIST, pixel_permutation
from rnn_lightning.data.sine import SyntheticSine, sine_windows, time_series

__all__ = [
    "EpochSampler",
    "EvaluationSampler",
    "ResumableLoader",
    "SequenceDataModule",
    "SequenceMNIST",
    "SyntheticSine",
    "TensorBatches",
    "pixel_permutation",
    "sine_windows",
    "time_series",
]
