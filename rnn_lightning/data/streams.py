"""`ArrayStream`: reads one long sequence in B parallel rows, for a state that is carried from batch to batch.

Legend: N steps of the sequence, B rows, T time steps of a batch.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from rnn_lightning.batch import Batch
from rnn_lightning.data.datamodule import PARTS, SequenceDataModule
from rnn_lightning.data.loading import BatchDataset
from rnn_lightning.errors import ArgumentError, check_ints


class StreamBatches(BatchDataset):
    """B rows that share a sequence as evenly as possible. Each batch has the next T steps of every row.

    Every step is in exactly one batch. The last batch has the remaining steps, up to T + 1. It has `lengths` if rows
    differ by one step, so every batch has B rows. Index i is row i % B of batch i // B; counting continues from epoch
    to epoch.

    Args:
        x: (N, ...) the inputs: an array, or a memory map, of which each batch reads only its own part.
        y: (N, ...) the targets.
        n_steps: T, the number of steps of each row in a batch.
        rows: B, the number of rows over all processes.
        span: The first step to read, and the step after the last one; None for all steps that have a target.
        ahead: The target of the input at step i is `y` at step i + `ahead`.

    Raises:
        ArgumentError: There are fewer steps than rows.
    """

    contiguous = True

    def __init__(
        self,
        x: np.ndarray,
        y: np.ndarray,
        n_steps: int,
        rows: int,
        span: tuple[int, int] | None = None,
        ahead: int = 0,
    ) -> None:
        self.first, end = (0, len(y) - ahead) if span is None else span
        self.count = end - self.first
        if self.count < rows:
            raise ArgumentError(
                f"{self.count} steps cannot be divided among {rows} rows: lower batch_size (or eval_batch_size), or give "
                "more data"
            )
        self.x, self.y, self.n_steps, self.rows, self.ahead = x, y, n_steps, rows, ahead
        self.batches = -(-(self.count // rows) // n_steps)

    def __len__(self) -> int:
        return self.rows * self.batches

    def __getitems__(self, indices: list[int]) -> Batch:
        """Returns the rows with these indices, which must be from one batch."""
        numbers = np.asarray(indices)
        row, batch = numbers % self.rows, numbers // self.rows % self.batches
        each, longer = divmod(self.count, self.rows)  # the first `longer` rows have one more step
        begin = row * each + np.minimum(row, longer)
        start = begin + batch * self.n_steps
        left = begin + each + (row < longer) - start  # the steps left in each row
        steps = np.where(batch == self.batches - 1, left, self.n_steps)
        at = start[:, None] + np.arange(steps.max())  # (B, T)
        at = self.first + np.minimum(at, (start + steps - 1)[:, None])  # steps past a row's end are not read
        found: Batch = {"x": _tensor(self.x[at]), "y": _tensor(self.y[at + self.ahead])}
        if steps.min() < steps.max():
            found["lengths"] = torch.from_numpy(steps)
        return found

    def __getstate__(self) -> dict[str, Any]:
        """Replaces memory maps by their file names, so that their contents are not sent to other processes."""
        return {name: _by_name(value) for name, value in self.__dict__.items()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        for name, value in state.items():
            setattr(self, name, np.memmap(**value) if isinstance(value, dict) else value)


def _by_name(value: Any) -> Any:
    if not isinstance(value, np.memmap) or value.filename is None or isinstance(value.base, np.memmap):
        return value  # a part of a memory map does not know its position in the file
    order = "C" if value.flags.c_contiguous else "F"
    place = {"filename": str(value.filename), "offset": value.offset}
    return {**place, "mode": "r", "dtype": value.dtype, "shape": value.shape, "order": order}


def _tensor(values: np.ndarray) -> Tensor:
    """Converts whole numbers to int64 and others to float32, as networks and losses require."""
    kind = np.float32 if values.dtype.kind == "f" else np.int64
    return torch.from_numpy(np.asarray(values).astype(kind, copy=False))


class ArrayStream(SequenceDataModule):
    """Reads arrays in order, for a model with `carry_state`. It can only be used from Python.

    The arrays may be memory maps: each batch reads only its own part of them.

    The time axis is cut into a training, a validation and a test part. `batch_size` parallel rows share the training
    part and read it `n_steps` at a time. An epoch reads the whole part once. In the same way, `eval_batch_size` rows
    read each of the other parts. Each row begins with a state of zeros. Every step is in exactly one batch. The last
    batch of an epoch has a different number of steps, and has `lengths` if rows differ in length.

    A batch has `x` and `y`, (B, n_steps, ...). Whole numbers are int64, and all others are float32.

    Args:
        x: (N, I) inputs, or (N,) tokens.
        y: (N, O) or (N,), the target for each input. By default, the target is the next input.
        n_steps: The number of steps of each row in a batch.
        val: The share of the steps to validate on.
        test: The share of the steps to test on, taken from the end.
        output_size: The number of outputs that a model needs. By default, it is O; if y holds classes (N,), it is the
            highest class plus one.
        **settings: Arguments of `SequenceDataModule`; `batch_size` is the number of rows per process.

    Raises:
        ArgumentError: The arrays don't fit, or an argument is out of range.
    """

    contiguous = True
    new_each_epoch = True  # a stream is not shuffled

    def __init__(
        self,
        x: Any,
        y: Any = None,
        n_steps: int = 128,
        val: float = 0.1,
        test: float = 0.1,
        output_size: int | None = None,
        **settings: Any,
    ) -> None:
        super().__init__(**settings)
        check_ints(1, n_steps=n_steps)
        self.hparams.update(n_steps=n_steps, val=val, test=test)
        x = np.asanyarray(x)
        self.predicts_next_input = y is None
        ahead = int(y is None)
        y = x if y is None else np.asanyarray(y)
        for name, array in (("x", x), ("y", y)):
            if array.ndim not in (1, 2) or array.dtype.kind not in "biuf" or 0 in array.shape:
                raise ArgumentError(
                    f"{name} has type {array.dtype} and shape {array.shape}: give numbers (N,) or (N, F)"
                )
        if x.ndim == 1 and x.dtype.kind == "f":
            raise ArgumentError(
                f"x has type {x.dtype} and shape {x.shape}: give (N, I), for one feature x[:, None]; only tokens, which "
                "are whole numbers, have shape (N,)"
            )
        if len(x) != len(y):
            raise ArgumentError(f"x has {len(x)} steps, but y has {len(y)}: give one target for each input")
        shares = (val, test)
        if not all(isinstance(share, int | float) and share >= 0 for share in shares) or not sum(shares) < 1:
            raise ArgumentError(
                f"val={val!r} and test={test!r} must be shares of 0 or more that leave a part to train on"
            )
        if output_size is not None:
            check_ints(1, output_size=output_size)
        self.x, self.y, self.n_steps, self.ahead = x, y, n_steps, ahead
        steps = len(x) - ahead
        ends = [steps - round((val + test) * steps), steps - round(test * steps), steps]
        self.parts = dict(zip(PARTS, zip([0, *ends[:2]], ends, strict=True), strict=True))
        self.input_size = x.shape[1] if x.ndim == 2 else int(x.max()) + 1
        whole = y.dtype.kind != "f" and y.ndim == 1
        self.output_size = output_size or (int(y.max()) + 1 if whole else y.shape[1] if y.ndim == 2 else 1)

    def setup(self, stage: str | None = None) -> None:
        """Makes the datasets of all stages, except those of empty parts."""
        for part, (begin, end) in self.parts.items():
            if end > begin:
                span = (begin, end)
                self.datasets[part] = StreamBatches(self.x, self.y, self.n_steps, self.rows(part), span, self.ahead)
        if "test" in self.datasets:
            self.datasets["predict"] = self.datasets["test"]
