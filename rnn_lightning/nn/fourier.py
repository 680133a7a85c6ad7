"""`FourierFeatures`: sines and cosines of the input, so that a network can tell close values apart."""

import math

import torch
from torch import Tensor, nn

from rnn_lightning.errors import ArgumentError


class FourierFeatures(nn.Module):
    """Random Fourier features, [sin(2 pi x B), cos(2 pi x B)] (Rahimi & Recht 2007; Tancik et al. 2020, arXiv:2006.10739).

    Layers that read plain values learn fine detail slowly: values that differ by little give nearly the same hidden
    units. These features differ clearly, as the frequencies B are high. B is drawn once and is not trained.

    Args:
        in_features: Features I of x.
        frequencies: The number F of frequencies.
        scale: The standard deviation of the frequencies, in cycles per unit of x. Values that are closer than about
            1 / (10 scale) stay alike.

    Shape:
        (..., I) -> (..., 2 F).

    Raises:
        ArgumentError: A size is below 1, or the scale is not a finite number above 0.
    """

    frequencies: Tensor

    def __init__(self, in_features: int, frequencies: int, scale: float = 1.0) -> None:
        super().__init__()
        if not isinstance(frequencies, int) or isinstance(frequencies, bool) or frequencies < 1:
            raise ArgumentError(f"fourier_frequencies={frequencies!r}: give an integer of at least 1")
        if not isinstance(scale, int | float) or not 0 < scale < math.inf:
            raise ArgumentError(f"fourier_scale={scale!r}: give a finite number above 0")
        self.in_features, self.out_features = in_features, 2 * frequencies
        self.register_buffer("frequencies", torch.randn(in_features, frequencies) * scale)

    def forward(self, x: Tensor) -> Tensor:
        """Computes the features (..., 2 F) of x (..., I), in the type of x.

        The phases, which can be hundreds of radians, are computed in float32 or float64, even under autocast: half
        precision would round them by whole radians. So this is a product and a sum, which autocast leaves alone.
        """
        wide = torch.promote_types(x.dtype, torch.float32)
        turns = (x.to(wide).unsqueeze(-1) * self.frequencies.to(wide)).sum(-2)  # (..., I, F) -> (..., F)
        phase = 2 * math.pi * turns
        return torch.cat((phase.sin(), phase.cos()), dim=-1).to(x.dtype)  # (..., 2 F)

    def extra_repr(self) -> str:
        """Shows the sizes in the printed module."""
        return f"{self.in_features}, {self.out_features // 2}"
