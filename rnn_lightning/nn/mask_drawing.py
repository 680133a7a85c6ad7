"""`draw_mask`: one dropout mask from torch's global generator, ten times as fast as `bernoulli_` on a CPU."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from rnn_lightning.nn.dropout import Mask
from rnn_lightning.nn.native.library import library
from rnn_lightning.nn.native.operators import draw_mask as draw_natively
from rnn_lightning.nn.transforms import traces, transforms

_RARE = 2.0**-8
"""If the probability of dropping, or of keeping, is below this, rounding it to 16 bits would matter."""
_ONE = 0x3F80
"""The 16 bits of 1.0 in bfloat16."""
_BLOCK = 2**19
"""Entries drawn at a time: 1 MB."""
_LEAST, _ALL_BITS = -(2**63), None
"""Without a range, `random_` leaves the sign bit zero; with this lower bound, all 64 bits are random."""


def draw_mask(shape: Sequence[int], p: float, device: torch.device) -> Mask | None:
    """Draws a mask of independent entries, dropped with probability `p`; None for p = 0.

    On a CPU, 16 random bits are used for each entry, so the probability is exact to within 2^-17. With the native
    library, torch's generator gives one seed, and the library draws all entries from it on all threads; the mask does
    not depend on the number of threads. Without the library, the bits come from torch, so the same seed gives another
    mask. Probabilities too small for 16 bits are left to torch's `bernoulli`, as are other devices, tracing and
    compiling, and `torch.vmap`, whose own argument `randomness` says whether masks are the same or different.
    """
    if p == 0.0:
        return None
    scale = 1.0 / (1.0 - p)
    if device.type != "cpu" or min(p, 1.0 - p) < _RARE or traces() or "Vmap" in transforms():
        # Not `bernoulli_`: if bits must differ, vmap refuses to change a new tensor in place.
        return Mask(torch.empty(*shape, device=device, dtype=torch.bfloat16).bernoulli(1.0 - p), scale)
    limit = round((1.0 - p) * 2**16)  # of 2^16 equally likely numbers, those below the limit keep an entry
    if library() is None:
        return Mask(_draw(math.prod(shape), limit).view(*shape), scale)
    seed = torch.empty((), dtype=torch.int64, device=device).random_(_LEAST, _ALL_BITS)
    return Mask(draw_natively(seed, math.prod(shape), limit).view(*shape), scale)


def _draw(count: int, limit: int) -> Tensor:
    """Draws `count` entries with torch's own operations."""
    lanes = torch.empty((count + 3) // 4 * 4, dtype=torch.int16, device="cpu")
    for block in lanes.split(_BLOCK):  # so that each block is still in the cache when it is compared
        block.view(torch.int64).random_(_LEAST, _ALL_BITS)  # four lanes at once, each uniform in [-2^15, 2^15)
        torch.lt(block, limit - 2**15, out=block).mul_(_ONE)
    return lanes.view(torch.bfloat16)[:count]
