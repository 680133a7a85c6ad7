"""What a network reads of a panel: `Features` at each step, in windows, in held-out ranges, or as a stream in order.

Legend: B batch, T time steps, N steps of all series, S series, C predicted columns and outputs, K columns known ahead, I
input features.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rnn_lightning.batch import Batch
from rnn_lightning.data.loading import BatchDataset
from rnn_lightning.data.series.panel import Panel
from rnn_lightning.data.streams import StreamBatches
from rnn_lightning.forecasts.calendar import calendar_features
from rnn_lightning.forecasts.scaling import lagged


@dataclass(frozen=True)
class Steps:
    """A network's inputs and targets at all steps of all series. The target of a step is the next step's value.

    Attributes:
        x: (N, I) float32, the inputs.
        y: (N, C) float32, the targets; 0 where no target is known.
        counts: (N, C) bool, whether a target is known.
        units: (S, C) float32, the size of 1 in `y` in the file's units.
        offset: (N, C) float32, the value in the file's units at which `y` is 0.
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
        mask = self.counts[at]  # (B, T, C)
        if counts is not None:
            mask = mask & counts[..., None]
        batch = {"x": self.x[at], "y": self.y[at], "units": self.units[self.series[at]]}
        if not bool(mask.all()):
            batch["mask"] = mask[..., 0] if mask.shape[-1] == 1 else mask
        return batch


class Features:
    """Computes input features: differenced and scaled values, missing-value flags, and columns known ahead.

    `shift` (S, C) is subtracted from each difference, which is then divided by `scale` (S, C). `size` is I, the number
    of input features.
    """

    def __init__(self, panel: Panel, fitted: dict[str, Any], shift: Tensor, scale: Tensor) -> None:
        self.panel, self.fitted, self.shift, self.scale = panel, fitted, shift, scale
        self.size: int = panel.values.shape[1] * (1 + fitted["flags"]) + len(fitted["known_shift"])

    def steps(self) -> Steps:
        """Returns the inputs and targets of all steps."""
        panel, series, columns = self.panel, torch.from_numpy(self.panel.series), self.panel.values.shape[1]
        filled, missing = torch.from_numpy(panel.filled(panel.values)), torch.from_numpy(np.isnan(panel.values))
        lags: list[int] = self.fitted["lags"]
        lead = torch.full((max(1, *lags), columns), torch.nan, dtype=torch.float64)
        # Differences across the border between two series are wrong, but windows never read the first `lead` steps.
        base = lagged(torch.cat((lead, filled))[None], lags, len(lead))[0] + self.shift[series]
        z = ((filled - base) / self.scale[series]).float()
        x = torch.zeros(len(z), self.size)
        x[:, :columns] = z.nan_to_num(0.0)
        if self.fitted["flags"]:
            x[:, columns : 2 * columns] = missing
        shift, scale = (torch.tensor(self.fitted[f"known_{name}"], dtype=torch.float64) for name in ("shift", "scale"))
        x[:-1, self.size - len(shift) :] = (self.known()[1:] - shift) / scale  # those of the next step
        truth = _following(torch.where(missing, torch.nan, z), torch.nan)
        offset = _following(base.float(), 0.0)
        return Steps(x, truth.nan_to_num(0.0), ~truth.isnan(), self.scale.float(), offset, series)

    def known(self) -> Tensor:
        """Returns the raw columns known ahead (N, K), with the calendar's columns last.

        Missing values of the file's own columns are replaced by the last value, or else by the mean.
        """
        own = self.panel.filled(self.panel.known)
        own = np.where(np.isnan(own), self.fitted["known_shift"][: own.shape[1]], own)
        return torch.cat((torch.from_numpy(own), self._calendar(self.panel.numbers)), dim=1)

    def known_around(self, known: Tensor, series: np.ndarray, at: np.ndarray) -> Tensor:
        """Gathers columns known ahead (B, T, K) of the steps `at` (B, T), which may be past the end of the file.

        There, the calendar's columns continue. `series` (B,) says which series each row belongs to.
        """
        found = known[np.minimum(at, self.panel.offsets[series + 1][:, None] - 1)]
        numbers = self.panel.first[series][:, None] + at - self.panel.offsets[series][:, None]
        dates = self._calendar(numbers.reshape(-1))
        found[..., self.panel.known.shape[1] :] = dates.view(*at.shape, dates.shape[1])
        return found

    def _calendar(self, numbers: np.ndarray) -> Tensor:
        """Returns the calendar's columns (M, 2 * circles) of the steps with these numbers (M,) on the grid."""
        different, at = np.unique(numbers, return_inverse=True)  # series often share their times
        return calendar_features(self.panel.grid.times(different), self.fitted["calendar"])[at]


def _following(values: Tensor, last: float) -> Tensor:
    """Returns the next step's values (N, C) at each step, and `last` at the last step."""
    return torch.cat((values[1:], torch.full_like(values[:1], last)))


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
