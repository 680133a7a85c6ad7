"""Which time steps of padded sequences are within their length."""

import torch
from torch import Tensor


def length_mask(lengths: Tensor, steps: int, device: torch.device | None = None) -> Tensor:
    """Makes a mask, (B, T) bool, that is true where a time step is before the end of its sequence.

    Args:
        lengths: (B,) integers.
        steps: T.
        device: Where the mask is created; by default the device of `lengths`.
    """
    lengths = lengths.to(device)
    return torch.arange(steps, device=lengths.device) < lengths[:, None]
