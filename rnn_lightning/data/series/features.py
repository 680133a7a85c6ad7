"""`Features`: computes a network's inputs and targets at each step of a panel.

Legend: N steps of all series, S series, C predicted columns, K columns known ahead, I input features.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from rnn_lightning.data.series.panel import Panel
from rnn_lightning.data.series.windows import Steps
from rnn_lightning.forecasts.calendar import calendar_features
from rnn_lightning.forecasts.scaling import lagged


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

    def known_around(
        self, known: Tensor, series: np.ndarray, past: np.ndarray, to_come: np.ndarray, last: np.ndarray
    ) -> Tensor:
        """Gathers columns known ahead (B, T + N - 1, K); the calendar's columns continue past the end of the file."""
        at = np.concatenate((past, to_come), axis=1)
        found = known[torch.from_numpy(np.minimum(at, last))]
        numbers = self.panel.first[series][:, None] + at - self.panel.offsets[series][:, None]
        dates = self._calendar(numbers.reshape(-1))
        found[..., self.panel.known.shape[1] :] = dates.view(*at.shape, dates.shape[1])
        return found

    def _calendar(self, numbers: np.ndarray) -> Tensor:
        """Returns the calendar's columns (M, 2 * circles) of the steps with these numbers (M,) on the grid."""
        return calendar_features(self.panel.grid.times(numbers), self.fitted["calendar"])


def _following(values: Tensor, last: float) -> Tensor:
    """Returns the next step's values (N, C) at each step, and `last` at the last step."""
    return torch.cat((values[1:], torch.full_like(values[:1], last)))
