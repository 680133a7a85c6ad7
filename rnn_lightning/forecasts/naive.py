"""Forecasts that need no network: the last value, and the value of the same season.

Legend: B rows, T time steps, C columns, N steps of a forecast.
"""

import torch
from torch import Tensor

from rnn_lightning.forecasts.scaling import carry_forward


def last_value(y: Tensor, steps: int) -> Tensor:
    """Repeats the last known value N times: y (B, T, C) -> (B, N, C)."""
    return carry_forward(y)[:, -1:].expand(-1, steps, -1)


def same_season(y: Tensor, steps: int, season: int) -> Tensor:
    """Repeats the newest known season: y (B, T, C), T >= season -> (B, N, C)."""
    newest = carry_forward(y)[:, -season:]  # (B, season, C)
    return newest[:, torch.arange(steps, device=y.device) % season]


def seasonal_error(y: Tensor, season: int) -> Tensor:
    """The mean absolute difference from the value one season before: y (T, C) -> (C,), NaN where there is none."""
    return (y[season:] - y[:-season]).abs().nanmean(0)
