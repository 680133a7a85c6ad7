"""The datasets of a panel: windows for shuffled training, held-out ranges, and a stream that is read in order.

Legend: B batch, T time steps, N steps of all series, I input features, O outputs.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from rnn_lightning.batch import Batch
from rnn_lightning.data.loading import BatchDataset
from rnn_lightning.data.streams import StreamBatches


@dataclass(frozen=True)
class Steps:
    """A network's inputs and targets at all steps of all series. The target of a step is the next step's value.

    Attributes:
        x: (N, I) float32, the inputs.
        y: (N, O) float32, the targets; 0 where no target is known.
        counts: (N, O) bool, whether a target is known.
        units: (S, O) float32, the size of 1 in `y` in the file's units.
        offset: (N, O) float32, the value in the file's units at which `y` is 0.
        series: (N,) int64, the series that each step belongs to.
    """

    x: Tensor
    y: Tensor
    counts: Tensor
    units: Tensor
    offset: Tensor
    series: Tensor

    def batch(self, at: Tensor, counts: Tensor | None = None) -> Batch:
        """Makes a batch of the steps `at` (B, T). `counts` (B, T) bool says which steps are scored; by default, all."""
        mask = self.counts[at]  # (B, T, O)
        if counts is not None:
            mask = mask & counts[..., None]
        batch = {"x": self.x[at], "y": self.y[at], "units": self.units[self.series[at]]}
        if not bool(mask.all()):
            batch["mask"] = mask[..., 0] if mask.shape[-1] == 1 else mask
        return batch


class Windows(BatchDataset):
    """Windows of T = `n_steps` steps, in which every target counts. They begin at `starts`, (W,) int64."""

    def __init__(self, steps: Steps, starts: Tensor, n_steps: int) -> None:
        self.steps, self.starts, self.n_steps = steps, starts, n_steps

    def __len__(self) -> int:
        return len(self.starts)

    def __getitems__(self, indices: list[int]) -> Batch:
        return self.steps.batch(self.starts[torch.tensor(indices)][:, None] + torch.arange(self.n_steps))


class Stretches(BatchDataset):
    """Held-out ranges of up to T = `n_steps` steps, each after up to T earlier steps that are read but not scored.

    `stretches`, (W, 3) int64, say where reading begins, where scoring begins, and where both end. With `contiguous`, the
    network carries its state, so that each row must reset the state.
    """

    def __init__(self, steps: Steps, stretches: Tensor, n_steps: int, contiguous: bool = False) -> None:
        self.steps, self.stretches, self.n_steps, self.contiguous = steps, stretches, n_steps, contiguous

    def __len__(self) -> int:
        return len(self.stretches)

    def __getitems__(self, indices: list[int]) -> Batch:
        begin, scored, end = self.stretches[torch.tensor(indices)].T[..., None]  # (B, 1) each
        at = begin + torch.arange(2 * self.n_steps)  # (B, 2 T)
        inside = torch.minimum(at, end - 1)
        batch = self.steps.batch(inside, (at >= scored) & (at < end))
        batch["offset"] = self.steps.offset[inside]
        batch["lengths"] = (end - begin)[:, 0]
        if self.contiguous:
            batch["reset"] = at == begin  # (B, 2 T)
        return batch


class Stream(BatchDataset):
    """Reads all series in order, in the parallel rows of `StreamBatches`; the next series begins where one ends.

    `reset` is true where a series begins, and at the first step of each row. `read` reads the steps in order as `x`,
    (M,) int64, and a flag as `y`, (M,) bool, that is true where a series begins.
    """

    def __init__(self, steps: Steps, read: StreamBatches) -> None:
        self.steps, self.read = steps, read

    def __len__(self) -> int:
        return len(self.read)

    def __getitems__(self, indices: list[int]) -> Batch:
        read = self.read.__getitems__(indices)
        batch = self.steps.batch(read.pop("x"))
        reset = read.pop("y").bool()
        reset[:, 0] |= torch.tensor(indices) // self.read.rows % self.read.batches == 0
        return {**batch, **read, "reset": reset}


def ranges(begins: np.ndarray, ends: np.ndarray, stride: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Returns every `stride`-th number of all ranges [begin, end), joined, and the index of each number's range."""
    counts = np.maximum(-(-(ends - begins) // stride), 0)
    series = np.repeat(np.arange(len(counts)), counts)
    within = np.arange(len(series)) - (np.cumsum(counts) - counts)[series]
    return begins[series] + within * stride, series


def stretches(offsets: np.ndarray, begin: np.ndarray, end: np.ndarray, lead: int, n_steps: int) -> Tensor:
    """Returns stretches (W, 3) for `Stretches` in which each value in [begin, end) is a target exactly once.

    `begin` and `end` (S,) count from the offset of each series. The first `lead` steps of a series are not read.
    """
    scored, series = ranges(np.maximum(begin - 1, lead), end - 1, n_steps)  # a step's target is the next value
    read, stop = np.maximum(scored - n_steps, lead), np.minimum(scored + n_steps, end[series] - 1)
    return torch.from_numpy(offsets[series][:, None] + np.stack((read, scored, stop), axis=1))
