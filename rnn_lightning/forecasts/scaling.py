"""Missing values carried forward, and differences: the arithmetic that training and forecasting share.

Legend: B rows, T time steps, C columns.
"""

from collections.abc import Sequence

import torch
from torch import Tensor


def carry_forward(y: Tensor) -> Tensor:
    """Replaces each NaN by the last value before it; a NaN without an earlier value stays. y is (B, T, C)."""
    tracing = torch.jit.is_tracing()
    there = ~y.isnan()
    if not tracing and bool(there.all()):
        return y
    steps = torch.arange(y.shape[1], device=y.device)
    at = torch.where(there, steps[:, None], 0)  # (B, T, C)
    if tracing:  # ONNX has no running maximum, so this takes the maximum over all steps up to t, which costs T * T
        before = steps[None, :] <= steps[:, None]  # (T, T)
        at = torch.where(before[None, :, :, None], at[:, None], 0).amax(2)
    else:
        at = at.cummax(1).values
    return y.gather(1, at)


def lagged(y: Tensor, lags: Sequence[int], lead: int, ahead: int = 0) -> Tensor:
    """What is subtracted from each column: its value `lag` steps before, or 0 if its lag is 0.

    Args:
        y: (B, lead + T, C).
        lags: The lag of each column: at most `lead`, and, if not 0, at least `ahead`.
        lead: How many steps at the beginning are used for differences only.
        ahead: 0 for the references of the steps themselves, 1 for those of the next steps.

    Returns:
        (B, T, C).
    """
    steps = y.shape[1] - lead
    columns = [
        y[:, lead + ahead - lag : lead + ahead - lag + steps, c] if lag else torch.zeros_like(y[:, lead:, c])
        for c, lag in enumerate(lags)
    ]
    return torch.stack(columns, dim=-1)


def scaling_of(y: Tensor, lags: Sequence[int], lead: int) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of each row's and column's differences, ignoring missing values: (B, 1, C) each.

    For a constant series, the deviation is set to 1.
    """
    filled = carry_forward(y)
    z = filled[:, lead:] - lagged(filled, lags, lead)  # (B, T, C)
    z = torch.where(y[:, lead:].isnan(), float("nan"), z)
    shift = z.nanmean(1, keepdim=True)
    scale = (z - shift).square().nanmean(1, keepdim=True).sqrt()
    size = filled.abs().nan_to_num(0.0).amax(1, keepdim=True)
    constant = ~(scale > 1e-9 * size)  # also true for deviations due to rounding, and for NaN (no value known)
    return shift.nan_to_num(0.0), torch.where(constant, 1.0, scale)
