"""Naive forecasts, which need no network: the last value, and the same season.

Legend: B rows, T time steps, C columns, N steps of a forecast.
"""

import torch
from torch import Tensor

from rnn_lightning.errors import ArgumentError
from rnn_lightning.forecasts.scaling import carry_forward


def last_value(y: Tensor, steps: int) -> Tensor:
    """Repeats the last known value for N steps: y (B, T, C) -> (B, N, C)."""
    return carry_forward(y)[:, -1:].expand(-1, steps, -1)


def same_season(y: Tensor, steps: int, season: int) -> Tensor:
    """Repeats the last season for N steps: y (B, T, C), where T >= season -> (B, N, C).

    Raises:
        ArgumentError: The season is below 1, or y is shorter than a season.
    """
    if not 1 <= season <= y.shape[1]:
        raise ArgumentError(f"season={season}: give 1 to {y.shape[1]}, the number of steps in y")
    newest = carry_forward(y)[:, -season:]  # (B, season, C)
    return newest[:, torch.arange(steps, device=y.device) % season]


def seasonal_error(y: Tensor, season: int) -> Tensor:
    """Averages the absolute differences from the value one season earlier: y (T, C) -> (C,), NaN if none is known."""
    return (y[season:] - y[:-season]).abs().nanmean(0)
