"""`backtest`: forecasts from many origins with fixed weights, as do naive answers. Intervals come from the errors.

Legend: B origins, T steps of history, C columns, K columns known ahead, N steps of a forecast.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from rnn_lightning.forecasts.forecaster import Forecaster
from rnn_lightning.forecasts.naive import last_value, same_season

NETWORK, LAST, SEASON = "the network", "the last value", "the same season"


class Origins(NamedTuple):
    """Histories up to the origins of forecasts, columns known ahead, and the true values.

    Attributes:
        y: (B, T, C) raw values up to the origin.
        known: (B, T + N - 1, K) columns known ahead; None if K is 0.
        truth: (B, N, C) the true values after the origin; NaN where a value is not known.
        shift: (B, C) the shift of each origin's series.
        scale: (B, C) the scale of each origin's series.
        series: (B,) int64, the series of each origin.
    """

    y: Tensor
    known: Tensor | None
    truth: Tensor
    shift: Tensor
    scale: Tensor
    series: Tensor

    def to(self, device: torch.device | str) -> "Origins":
        """Copies the origins to a device."""
        return Origins(*(None if value is None else value.to(device) for value in self))  # type: ignore[arg-type]


@dataclass(frozen=True)
class Errors:
    """The errors of forecasts: the true values minus the forecasts.

    Attributes:
        by: The errors (B, N, C) of each method, keyed by its name; NaN where the true value is not known.
        scale: (B, C), the scale of each origin's series.
        series: (B,), the series of each origin.
    """

    by: dict[str, Tensor]
    scale: Tensor
    series: Tensor


def forecast_from(origins: Origins, forecaster: Forecaster, steps: int) -> Tensor:
    """Forecasts N steps from each origin, on the network's device; returns (B, N, C) on the CPU."""
    there = origins.to(forecaster.net.head.weight.device)
    return forecaster.forecast(there.y, steps, there.known, there.shift, there.scale).cpu()


def backtest(forecaster: Forecaster, origins: Iterable[Origins], season: int) -> Errors:
    """Forecasts from each origin and computes the errors.

    Args:
        forecaster: The forecaster, in evaluation mode.
        origins: The origins, batch by batch. Their histories are at least one season long.
        season: The number of steps in a season; 1 if there is no season.

    Returns:
        The errors of the network and of the naive answers, which include "the same season" if there is a season. Without
        any origins, there are no errors.
    """
    errors: dict[str, list[Tensor]] = {}
    scale, series = [], []
    for given in origins:
        steps = given.truth.shape[1]
        answers = {NETWORK: forecast_from(given, forecaster, steps), LAST: last_value(given.y, steps)}
        if season > 1:
            answers[SEASON] = same_season(given.y, steps, season)
        for name, answer in answers.items():
            errors.setdefault(name, []).append(given.truth - answer)
        scale.append(given.scale)
        series.append(given.series)
    if not errors:
        return Errors({}, torch.zeros(0, 0), torch.zeros(0))
    return Errors({name: torch.cat(parts) for name, parts in errors.items()}, torch.cat(scale), torch.cat(series))


def error_quantiles(errors: Tensor, scale: Tensor, level: float) -> Tensor:
    """Computes how far an interval reaches below and above a forecast, at each distance.

    The bounds are those of split conformal prediction: two order statistics of the errors. A new error of the same
    distribution lies between them with a probability of at least `level`.

    Args:
        errors: (B, N, C), the true values minus the forecasts; NaN where the true value is not known.
        scale: (B, C), the scale of each origin's series. Errors are divided by it, so that series are comparable.
        level: The share of values that the intervals should contain, in (0, 1).

    Returns:
        (2, N, C), the lower and the upper bounds in units of the scale; NaN if too few errors are known.
    """
    scaled = (errors / scale[:, None]).sort(dim=0).values  # (B, N, C), NaN at the end
    count = (~scaled.isnan()).sum(0)  # (N, C)
    tail = (1 - level) / 2
    low = ((count + 1) * tail + 1e-9).floor().long() - 1  # the index of the order statistic, counted from 0
    high = count - 1 - low
    bounds = torch.stack((low, high)).clamp(0, max(len(scaled) - 1, 0))
    found = scaled.gather(0, bounds) if len(scaled) else errors.new_full((2, *errors.shape[1:]), float("nan"))
    return torch.where(low >= 0, found, float("nan"))


def coverage(errors: Tensor, scale: Tensor, bounds: Tensor) -> Tensor:
    """Computes the share of values within intervals at each distance: errors (B, N, C), bounds (2, N, C) -> (N, C)."""
    scaled = errors / scale[:, None]
    inside = ((scaled >= bounds[0]) & (scaled <= bounds[1])).double()
    return torch.where(scaled.isnan() | bounds[0].isnan(), float("nan"), inside).nanmean(0)
