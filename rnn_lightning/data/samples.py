"""Makes padded batches with `lengths` from single sequences of any length."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import Dataset

from rnn_lightning.batch import Batch
from rnn_lightning.data.loading import BatchDataset, TensorBatches
from rnn_lightning.errors import ArgumentError


def pad_samples(samples: Sequence[Any]) -> Batch:
    """Makes a batch from single sequences; a collate function for `DataLoader`.

    Args:
        samples: Each sample is a dict of arrays, tensors or numbers, or a pair (x, y). x is (T, ...), where T may
            differ between samples. An entry that has as many steps as x in every sample, such as one target per step,
            is padded, too.

    Returns:
        `x` (B, T, ...), the other entries, and `lengths` (B,) if the lengths differ. Whole numbers are int64, and all
        others are float32.

    Raises:
        ArgumentError: A sample has no x, or its keys or shapes differ from the first sample's.
    """
    rows = [_as_dict(sample) for sample in samples]
    lengths = [len(row["x"]) for row in rows]
    ragged = len(set(lengths)) > 1
    batch: Batch = {}
    for key in dict.fromkeys(key for row in rows for key in row):
        try:
            values = [row[key] for row in rows]
            per_step = all(value.dim() and len(value) == n for value, n in zip(values, lengths, strict=True))
            batch[key] = pad_sequence(values, batch_first=True) if ragged and per_step else torch.stack(values)
        except (KeyError, RuntimeError) as error:
            shapes = sorted({str(tuple(row[key].shape)) if key in row else "missing" for row in rows})
            raise ArgumentError(
                f"{key} is {', '.join(shapes)} in the samples of one batch: give all of them the same features"
            ) from error
    if ragged:
        batch["lengths"] = torch.tensor(lengths)
    return batch


def _as_dict(sample: Any) -> dict[str, Tensor]:
    parts = sample if isinstance(sample, (tuple, list)) else (sample,)
    if not isinstance(sample, Mapping):
        sample = dict(zip(("x", "y"), parts, strict=False))
    row = {key: _tensor(key, value) for key, value in sample.items()}
    if len(parts) > 2 or "x" not in row or not row["x"].dim() or not len(row["x"]):
        raise ArgumentError("a sample is a dict with x, or a pair (x, y), with x of shape (T, ...) and T at least 1")
    return row


def _tensor(key: str, value: Any) -> Tensor:
    try:
        tensor = value if isinstance(value, Tensor) else torch.from_numpy(np.array(value))
    except (TypeError, ValueError) as error:
        raise ArgumentError(
            f"{key} of a sample is {value!r:.50}: give numbers, such as a number for each class"
        ) from error
    if tensor.dtype == torch.bool:
        return tensor
    return tensor.to(torch.float32 if tensor.is_floating_point() else torch.int64)


class SampleBatches(BatchDataset):
    """Makes batches from a dataset of single sequences.

    Args:
        dataset: Maps an index to a sample (see `pad_samples`), and has a length: a `Dataset`, or a list.

    Attributes:
        lengths: (N,) the samples' lengths, if they are known without loading all samples: `dataset.lengths`, or the
            lengths of a list's samples. Training batches then have sequences of similar length.
    """

    def __init__(self, dataset: "Dataset[Any] | Sequence[Any]") -> None:
        self.dataset: Any = dataset
        self.lengths: Tensor | None = None
        known = getattr(dataset, "lengths", None)
        if known is None and isinstance(dataset, (list, tuple)):
            known = [len(_as_dict(sample)["x"]) for sample in dataset]
        if known is not None:
            self.lengths = torch.as_tensor(known)
            if self.lengths.shape != (len(self),):
                raise ArgumentError(f"the dataset's lengths have {len(self.lengths)} entries for {len(self)} samples")

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitems__(self, indices: list[int]) -> Batch:
        return pad_samples([self.dataset[index] for index in indices])


class PaddedBatches(TensorBatches):
    """Sequences in padded tensors. Each batch is cut to the length of its longest sequence.

    `x` (N, T, ...) must be one of the tensors. `lengths` (N,) int64 are the sequences' lengths; with None, all
    sequences have T steps. `per_step` names the tensors whose second dimension is time.
    """

    def __init__(self, tensors: dict[str, Tensor], lengths: Tensor | None, per_step: tuple[str, ...] = ("x",)) -> None:
        super().__init__(tensors if lengths is None else {**tensors, "lengths": lengths})
        self.lengths, self.per_step = lengths, per_step

    def __getitems__(self, indices: list[int]) -> Batch:
        batch = super().__getitems__(indices)
        if self.lengths is not None:
            longest = int(batch["lengths"].max())
            batch |= {name: batch[name][:, :longest] for name in self.per_step}
        return batch
