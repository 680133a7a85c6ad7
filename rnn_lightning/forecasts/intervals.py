"""Makes intervals from the quantiles of a backtest's errors at each distance, and measures their coverage.

Legend: B origins, C columns, N steps of a forecast.
"""

import torch
from torch import Tensor


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
