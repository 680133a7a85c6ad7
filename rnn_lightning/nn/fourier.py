"""`FourierFeatures`: sines and cosines of the input, so that a network can tell close values apart."""

import math
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from rnn_lightning.errors import ArgumentError, check_ints
from rnn_lightning.nn.precision import REDUCED, under_autocast


class FourierFeatures(nn.Module):
    """Random Fourier features, [sin(2 pi x B), cos(2 pi x B)] (Rahimi & Recht 2007; Tancik et al. 2020, arXiv:2006.10739).

    Layers that read plain values learn fine detail slowly: values that differ by little give nearly the same hidden
    units. These features differ clearly, as the frequencies B are high. B is drawn once and is not trained. It stays in
    float32 if the module is converted to half precision, as a phase can be hundreds of radians.

    Args:
        in_features: Features I of x.
        frequencies: The number F of frequencies.
        scale: The standard deviation of the frequencies, in cycles per unit of x. Values that are closer than about
            1 / (10 scale) stay alike.

    Shape:
        (..., I) -> (..., 2 F), in the type of x.

    Raises:
        ArgumentError: A size is not an integer of at least 1, or the scale is not a number above 0 and below 1e30.
    """

    frequencies: Tensor

    def __init__(self, in_features: int, frequencies: int, scale: float = 1.0) -> None:
        super().__init__()
        check_ints(1, in_features=in_features, fourier_frequencies=frequencies)
        if not isinstance(scale, int | float) or isinstance(scale, bool) or not 0 < scale < 1e30:
            raise ArgumentError(f"fourier_scale={scale!r}: give a number above 0 and below 1e30")
        self.in_features, self.out_features = in_features, 2 * frequencies
        drawn = torch.randn(in_features, frequencies, dtype=torch.float32) * scale
        self.register_buffer("frequencies", drawn)

    def _apply(self, fn: Callable[..., Any], recurse: bool = True) -> "FourierFeatures":
        """Moves the module or changes its type, but never rounds the frequencies to half precision."""
        exact = self.frequencies
        super()._apply(fn, recurse)
        if self.frequencies.dtype in REDUCED:
            self.frequencies = exact.to(self.frequencies.device)
        return self

    def forward(self, x: Tensor) -> Tensor:
        """Computes the features (..., 2 F) of x (..., I); the phases are never in half precision.

        Raises:
            RuntimeError: x has another number of features.
        """
        if x.shape[-1] != self.in_features:
            raise RuntimeError(
                f"input.size(-1) must be equal to input_size. Expected {self.in_features}, got {x.shape[-1]}"
            )
        if torch.jit.is_scripting():
            phase = self._phase(x)
        else:
            with torch.autocast(x.device.type, enabled=False) if under_autocast(x) else nullcontext():
                phase = self._phase(x)
        kind = x.dtype if x.is_floating_point() else phase.dtype
        return torch.cat((phase.sin(), phase.cos()), dim=-1).to(kind)  # (..., 2 F)

    def _phase(self, x: Tensor) -> Tensor:
        wide = torch.promote_types(x.dtype, torch.float32)
        return 2 * math.pi * (x.to(wide) @ self.frequencies.to(wide))  # (..., I) -> (..., F)

    def extra_repr(self) -> str:
        """Shows the sizes in the printed module."""
        return f"{self.in_features}, {self.out_features // 2}"
