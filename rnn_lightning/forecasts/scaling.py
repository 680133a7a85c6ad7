"""The arithmetic that training and forecasting share: filling missing values, differences, and scaling.

Legend: B rows, T time steps, C columns.
"""

from collections.abc import Sequence

import torch
from torch import Tensor


def carry_forward(y: Tensor) -> Tensor:
    """Replaces each NaN in y (B, T, C) by the last value before it; NaNs before the first value stay."""
    tracing = torch.jit.is_tracing()
    there = ~y.isnan()
    if not tracing and bool(there.all()):
        return y
    steps = torch.arange(y.shape[1], device=y.device)
    at = torch.where(there, steps[:, None], 0)  # (B, T, C)
    if tracing:  # ONNX has no running maximum; a maximum over all steps up to t takes T * T memory
        before = steps[None, :] <= steps[:, None]  # (T, T)
        at = torch.where(before[None, :, :, None], at[:, None], 0).amax(2)
    else:
        at = at.cummax(1).values
    return y.gather(1, at)


def lagged(y: Tensor, lags: Sequence[int], lead: int, ahead: int = 0) -> Tensor:
    """Returns what to subtract from each column to get differences: the value `lag` steps earlier, or 0 for lag 0.

    Args:
        y: (B, lead + T, C) values.
        lags: The lag of each column: at most `lead` and, if not 0, at least `ahead`.
        lead: The number of steps at the beginning that are only used for differences.
        ahead: 0 for the differences of the steps themselves, 1 for those of the next steps.

    Returns:
        The values to subtract, (B, T, C).
    """
    steps = y.shape[1] - lead
    columns = [
        y[:, lead + ahead - lag : lead + ahead - lag + steps, c] if lag else torch.zeros_like(y[:, lead:, c])
        for c, lag in enumerate(lags)
    ]
    return torch.stack(columns, dim=-1)


def scaling_of(y: Tensor, lags: Sequence[int], lead: int) -> tuple[Tensor, Tensor]:
    """Computes the mean and the standard deviation of differences, (B, 1, C) each, ignoring missing values.

    If differences are constant, the standard deviation is set to 1.
    """
    filled = carry_forward(y)
    z = filled[:, lead:] - lagged(filled, lags, lead)  # (B, T, C)
    z = torch.where(y[:, lead:].isnan(), float("nan"), z)
    shift = z.nanmean(1, keepdim=True)
    scale = (z - shift).square().nanmean(1, keepdim=True).sqrt()
    size = filled.abs().nan_to_num(0.0).amax(1, keepdim=True)
    constant = ~(scale > 1e-9 * size)  # also true if deviations are only due to rounding, or if no value is known (NaN)
    return shift.nan_to_num(0.0), torch.where(constant, 1.0, scale)
