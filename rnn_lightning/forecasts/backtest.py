"""`backtest`: forecasts from many origins with fixed weights, beside the naive answers.

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
    """Histories, columns known ahead, and the true values.

    Attributes:
        y: (B, T, C) raw values up to the origin.
        known: (B, T + N - 1, K), or None if K is 0.
        truth: (B, N, C), NaN where a value is not known.
        shift: (B, C).
        scale: (B, C).
        series: (B,) int64, the series of each history.
    """

    y: Tensor
    known: Tensor | None
    truth: Tensor
    shift: Tensor
    scale: Tensor
    series: Tensor

    def to(self, device: torch.device | str) -> "Origins":
        """The same origins on another device."""
        return Origins(*(None if value is None else value.to(device) for value in self))  # type: ignore[arg-type]


@dataclass(frozen=True)
class Errors:
    """True values minus forecasts.

    Attributes:
        by: The errors (B, N, C) of each method, by its name; NaN where the true value is not known.
        scale: (B, C), the scale of each origin's series.
        series: (B,), the series of each origin.
    """

    by: dict[str, Tensor]
    scale: Tensor
    series: Tensor


@torch.no_grad()
def backtest(forecaster: Forecaster, origins: Iterable[Origins], season: int) -> Errors:
    """Forecasts from each origin and computes the errors.

    Args:
        forecaster: The forecaster, in evaluation mode.
        origins: The origins, batch by batch; their histories reach back a season or more.
        season: Steps of a season; 1 if there is none.

    Returns: The errors of the network and of the naive answers, which include "the same season" if there is a season.
        Without any origin, they are empty.
    """
    device = forecaster.net.head.weight.device
    found: list[tuple[dict[str, Tensor], Tensor, Tensor]] = []
    for given in origins:
        batch = given.to(device)
        steps = batch.truth.shape[1]
        answers = {
            NETWORK: forecaster.forecast(batch.y, steps, batch.known, batch.shift, batch.scale),
            LAST: last_value(batch.y, steps),
        }
        if season > 1:
            answers[SEASON] = same_season(batch.y, steps, season)
        found.append(({k: (batch.truth - v).cpu() for k, v in answers.items()}, given.scale, given.series))
    if not found:
        return Errors({}, torch.zeros(0, 0), torch.zeros(0))
    by = {name: torch.cat([errors[name] for errors, *_ in found]) for name in found[0][0]}
    return Errors(by, *(torch.cat(parts) for parts in list(zip(*found, strict=True))[1:]))
