"""LightningDataModules: where sequences come from.

`TimeSeries` reads a file of yours. `SequenceMNIST`, `SyntheticSine`, `SineStream`, `AddingProblem` and `CopyMemory` are
ready to use; derive others from `SequenceDataModule`, or from `GeneratedSequences` where nothing is stored.
"""

from rnn_lightning.data.adding import AddingProblem
from rnn_lightning.data.copying import CopyMemory
from rnn_lightning.data.datamodule import SequenceDataModule
from rnn_lightning.data.generated import GeneratedSequences
from rnn_lightning.data.loading import BatchDataset, EpochSampler, EvaluationSampler, ResumableLoader, TensorBatches
from rnn_lightning.data.mnist import SequenceMNIST, pixel_permutation
from rnn_lightning.data.sine import SyntheticSine, sine_windows, time_series
from rnn_lightning.data.sine_stream import SineStream
from rnn_lightning.data.time_series import TimeSeries

__all__ = [
    "AddingProblem",
    "BatchDataset",
    "CopyMemory",
    "EpochSampler",
    "EvaluationSampler",
    "GeneratedSequences",
    "ResumableLoader",
    "SequenceDataModule",
    "SequenceMNIST",
    "SineStream",
    "SyntheticSine",
    "TensorBatches",
    "TimeSeries",
    "pixel_permutation",
    "sine_windows",
    "time_series",
]
