"""LightningDataModules, which load or generate sequences.

`SequenceMNIST`, `SyntheticSine`, `SineStream`, `AddingProblem` and `CopyMemory` are ready to use. `TimeSeries`,
`TextStream`, `SequenceArrays` and `ArrayStream` read your own data. `SequenceDataModule.from_datasets` takes your own
datasets. Derive other data modules from `SequenceDataModule`, or from `GeneratedSequences` if sequences are generated
rather than stored.
"""

from rnn_lightning.data.adding import AddingProblem
from rnn_lightning.data.copying import CopyMemory
from rnn_lightning.data.datamodule import SequenceDataModule
from rnn_lightning.data.generated import GeneratedSequences
from rnn_lightning.data.loading import BatchDataset, EpochSampler, EvaluationSampler, ResumableLoader, TensorBatches
from rnn_lightning.data.mnist import SequenceMNIST, pixel_permutation
from rnn_lightning.data.sequence_arrays import SequenceArrays
from rnn_lightning.data.series import TimeSeries
from rnn_lightning.data.sine import SineStream, SyntheticSine, sine_windows
from rnn_lightning.data.streams import ArrayStream, StreamBatches
from rnn_lightning.data.text_stream import TextStream

__all__ = [
    "AddingProblem",
    "ArrayStream",
    "BatchDataset",
    "CopyMemory",
    "EpochSampler",
    "EvaluationSampler",
    "GeneratedSequences",
    "ResumableLoader",
    "SequenceArrays",
    "SequenceDataModule",
    "SequenceMNIST",
    "SineStream",
    "StreamBatches",
    "SyntheticSine",
    "TensorBatches",
    "TextStream",
    "TimeSeries",
    "pixel_permutation",
    "sine_windows",
]
