"""Darts' RNNModel on a `TimeSeries`: what it reads, and its errors at the origins of our backtest.

Legend: B rows, S series, T time steps, K columns of the calendar, N steps of a forecast.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import torch
from tbptt_case import QUIET
from torch import Tensor

from rnn_lightning.data.series import TimeSeries
from rnn_lightning.data.series.origins import histories, origins_of
from rnn_lightning.forecasts.scaling import lagged

EPOCHS, HIDDEN, BATCH, RATE = 10, 64, 32, 0.003
"""Those of the recipe `series`."""
ALONE: dict[str, Any] = {**QUIET, "limit_val_batches": 0, "gradient_clip_val": 1.0}
"""A trainer's arguments for training and nothing else, clipped as in the recipe."""


class Prepared:
    """What Darts reads of a `TimeSeries`, and how its forecasts get back into the series' units.

    Args:
        data: The series, with one target.
    """

    def __init__(self, data: TimeSeries) -> None:
        self.data, self.lead = data, data.lead
        self.shift, self.scale = data.scaling["shift"][:, None], data.scaling["scale"][:, None]  # (S, 1, 1)

    def of(self, y: Tensor, series: Tensor) -> Tensor:
        """Raw values (B, T, 1) of these series (B,) -> what the network reads, (B, T - lead, 1)."""
        z: Tensor = y[:, self.lead :] - lagged(y, self.data.lags, self.lead)
        return (z - self.shift[series]) / self.scale[series]

    def restored(self, z: Tensor, y: Tensor, series: Tensor) -> Tensor:
        """Forecasts (B, N, 1) after the raw history y (B, T, 1), in the series' units."""
        (lag,), steps = self.data.lags, y.shape[1]
        for change in (z * self.scale[series] + self.shift[series]).unbind(1):
            y = torch.cat((y, (change + y[:, -lag] if lag else change)[:, None]), dim=1)
        return y[:, steps:]

    def part(self, name: str) -> tuple[list[Any], list[Any] | None]:
        """Darts' series of the part "train" or "val", and the calendar of the same steps."""
        known = self.data.features.known()
        values, calendar = [], []
        for s, rows in enumerate(self._rows(name)):
            y = interpolated(self.data.panel.values[rows][None])
            values.append(self.of(y, torch.tensor([s]))[0])
            calendar.append(known[rows][self.lead :])
        return as_darts(values), as_darts(calendar) if known.shape[1] else None

    def _rows(self, name: str) -> list[slice]:
        """The rows of each series' part; a window before the validation part is read, too."""
        data, before = self.data, self.lead + self.data.n_steps
        parts = zip(data.panel.offsets, *data.cuts.T, strict=False)
        return [
            slice(begin, begin + val) if name == "train" else slice(begin + max(val - before, 0), begin + test)
            for begin, val, test in parts
        ]


def interpolated(y: np.ndarray) -> Tensor:
    """Raw values (B, T, 1) with missing ones on a line between their neighbours, or like the last one before them."""
    table = pd.DataFrame(y[..., 0].T).interpolate(limit_direction="both")
    return torch.from_numpy(table.to_numpy(copy=True)).T[..., None]


def as_darts(rows: Any) -> list[Any]:
    """Darts' series of some (T, C)."""
    from darts import TimeSeries as Series

    return [Series.from_values(np.asarray(row, dtype=np.float32)) for row in rows]


def rnn_model(data: TimeSeries, seed: int) -> Any:
    """Darts' network, untrained."""
    from darts.models import RNNModel

    size: dict[str, Any] = {"input_chunk_length": data.n_steps, "training_length": data.n_steps, "batch_size": BATCH}
    return RNNModel(
        model="LSTM", hidden_dim=HIDDEN, n_rnn_layers=1, optimizer_kwargs={"lr": RATE}, random_state=seed, **size,
        pl_trainer_kwargs=ALONE,
    )  # fmt: skip


def backtested(model: Any, prepared: Prepared) -> Iterator[tuple[Tensor, Tensor]]:
    """Errors (B, N) of Darts and of the last value, at the origins of our backtest."""
    data = prepared.data
    for batch in histories(data, *origins_of(data, "test"), data.horizon):
        y = interpolated(batch.y.numpy())
        covariates = None if batch.known is None else as_darts(batch.known[:, data.lead - 1 :])
        read = as_darts(prepared.of(y, batch.series))
        settings = {"batch_size": 512, "verbose": False, "show_warnings": False}
        found = model.predict(data.horizon, series=read, future_covariates=covariates, **settings)
        z = torch.from_numpy(np.stack([series.values() for series in found])).double()
        forecast = prepared.restored(z, y, batch.series)
        yield (batch.truth - forecast)[..., 0].abs(), (batch.truth - y[:, -1:])[..., 0].abs()
