"""Forecasts a `TimeSeries` with dates and intervals, and compares a network with naive forecasts.

Legend: S series, B origins, C columns, N steps of a forecast.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from rnn_lightning.data.series.datamodule import TimeSeries
from rnn_lightning.data.series.origins import check_future, histories, origins_of, origins_of_predict
from rnn_lightning.errors import ArgumentError
from rnn_lightning.forecasts import Errors, Forecaster, Table, backtest, coverage, error_quantiles
from rnn_lightning.forecasts.backtest import NETWORK, forecast_from
from rnn_lightning.forecasts.sampling import Paths

if TYPE_CHECKING:
    import pandas as pd

_ORIGINS_OF_SAMPLES = 200
"""The maximum number of origins for which intervals are sampled to measure their coverage."""


@dataclass(frozen=True)
class Intervals:
    """The settings for the intervals of forecasts.

    Attributes:
        level: The share of values that the intervals should contain, in (0, 1).
        samples: 0 to take the quantiles of the errors on the validation part, at each distance. Otherwise, the number
            of paths to draw with the network's dropout on, as in Gal & Ghahramani (2016). One of the network's errors
            is added at each step.
    """

    level: float = 0.9
    samples: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.level < 1:
            raise ArgumentError(
                f"level={self.level}: give the share of values that intervals should contain, such as 0.9"
            )
        if self.samples < 0:
            raise ArgumentError(f"samples={self.samples}: give the number of paths to draw, or 0")


def errors_of(part: str, forecaster: Forecaster, data: TimeSeries, horizon: int | None = None) -> Errors:
    """Computes the errors of a backtest within a part, "val" or "test"."""
    until = data.cuts[:, 1] if part == "val" else None
    origins = histories(data, *origins_of(data, part), horizon or data.horizon, until)
    return backtest(forecaster, origins, data.season)


def compare(net: Any, data: TimeSeries, intervals: Intervals | None = None) -> Table:
    """Compares the network with naive forecasts on the test part, and measures the coverage of its intervals.

    Args:
        net: The trained network, in evaluation mode.
        data: The series.
        intervals: The settings for the intervals.

    Raises:
        ArgumentError: The test part is too short to forecast from, or the network has no dropout to sample.
    """
    intervals = intervals or Intervals()
    forecaster = data.forecaster(net)
    errors = errors_of("test", forecaster, data)
    if not errors.by:
        raise ArgumentError("the test part is too short for a forecast: raise data.test")
    past = errors_of("val", forecaster, data)
    inside = None
    if past.by and intervals.samples:
        inside = _coverage_of_samples(forecaster, data, past, intervals)
    elif past.by:
        bounds = error_quantiles(past.by[NETWORK], past.scale, intervals.level)
        inside = coverage(errors.by[NETWORK], errors.scale, bounds)
    count, step = len(errors.series), data.panel.grid.name
    first = data.panel.grid.labels([(data.panel.first + data.cuts[:, 1]).min()])[0]
    many = f"{len(data.panel.ids)} series" if len(data.panel.ids) > 1 else "one series"
    title = (
        f"Forecasts of the test part from {first} on: {many}, {count} origins, up to {data.horizon} steps of one {step}"
    )
    return Table.of(title, errors, data.columns.target, data.scaling["naive"], inside, intervals.level)


def forecast(
    net: Any, data: TimeSeries, horizon: int | None = None, intervals: Intervals | None = None
) -> "pd.DataFrame":
    """Forecasts each series from its last value on, or from the `origin` of the data.

    Args:
        net: The trained network, in evaluation mode.
        data: The series.
        horizon: N, the number of steps to forecast; by default, the data's horizon.
        intervals: The settings for the intervals.

    Returns:
        A table with one row for each series and step, in the file's units. Its columns are the id, if there is one; the
        time; and, for each target NAME, NAME (the true value, NaN where it is not known), NAME_forecast, NAME_lower and
        NAME_upper. Bounds are NaN at distances for which the validation part has too few errors.

    Raises:
        ArgumentError: Columns known ahead are missing for the forecast, or the network has no dropout to sample.
    """
    import pandas as pd

    intervals, horizon = intervals or Intervals(), horizon or data.horizon
    check_future(data, horizon)
    forecaster, count = data.forecaster(net), len(data.panel.ids)
    past = errors_of("val", forecaster, data, horizon)
    shape = (count, horizon, len(data.columns.predicted))
    found = {name: torch.full(shape, torch.nan, dtype=torch.float64) for name in ("", "_forecast", "_lower", "_upper")}
    bounds = (
        error_quantiles(past.by[NETWORK], past.scale, intervals.level) if past.by else torch.full((2, 1, 1), torch.nan)
    )
    paths = Paths(forecaster, past, intervals.samples) if intervals.samples else None
    last = origins_of_predict(data)
    for given in histories(data, np.arange(count), last, horizon):
        ahead = forecast_from(given, forecaster, horizon)
        if paths is None:
            low_high = ahead + bounds[:, None] * given.scale[:, None]  # (2, B, N, C)
        else:
            low_high = paths.bounds(given, horizon, intervals.level)
        for name, values in zip(found, (given.truth, ahead, *low_high), strict=True):
            found[name][given.series] = values
    numbers = data.panel.first[:, None] + last[:, None] + np.arange(1, horizon + 1)  # (S, N)
    table: dict[str, Any] = {} if data.columns.id is None else {data.columns.id: np.repeat(data.panel.ids, horizon)}
    table[data.columns.time or "step"] = data.panel.grid.labels(numbers.reshape(-1))
    for c, target in enumerate(data.columns.target):
        table |= {f"{target}{kind}": values[..., c].reshape(-1).numpy() for kind, values in found.items()}
    return pd.DataFrame(table)


def _coverage_of_samples(forecaster: Forecaster, data: TimeSeries, past: Errors, intervals: Intervals) -> Tensor:
    """Returns the share of values within sampled intervals at each distance: (N, C)."""
    paths = Paths(forecaster, past, intervals.samples)
    given = list(histories(data, *origins_of(data, "test", _ORIGINS_OF_SAMPLES), data.horizon))
    bounds = [paths.bounds(origins, data.horizon, intervals.level) for origins in given]
    truth = torch.cat([origins.truth for origins in given])
    return coverage(truth, torch.ones_like(truth[:, 0]), torch.cat(bounds, dim=1))
