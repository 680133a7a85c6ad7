"""Dropout masks of a stack of recurrent layers, as objects that can be drawn once, cut in time and joined again.

TensorFlow's `DropoutWrapper` around every cell has three places for dropout: the input of a layer, its output, and the
state that a step hands to the next one. Each layer and each place has a mask of its own. A *fresh* mask differs at
every time step; a *variational* one is drawn once a sequence (Gal & Ghahramani 2016, arXiv:1512.05287).

Legend: B batch, T time steps, F features of the layer's input, H hidden units, D directions.
"""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from rnn_lightning.errors import ArgumentError
from rnn_lightning.nn.state import map_state

_RARE = 2.0**-8
"""Below this probability of dropping or of keeping, rounding it to 16 bits would be felt."""
_ONE = 0x3F80
"""The 16 bits of 1.0 in bfloat16."""
_BLOCK = 2**19
"""Entries drawn at a time: 1 MB."""


class LayerMasks(NamedTuple):
    """The masks of one layer, 1 where an entry is kept and 0 where it is dropped, or None where that dropout is off.

    The layer scales what it keeps by 1 / (1 - p), with its own p. The first dimension is time: T for fresh masks, 1 for
    variational ones. Masks are bfloat16: it holds 0 and 1 exactly, in half of float32's memory, and is converted to
    float32 in a third of the time that bool takes.

    Attributes:
        input: (T or 1, B, F), on the layer's input, the same for both directions.
        output: (T or 1, B, D * H), on the layer's output.
        state: (T or 1, D, B, H), on the hidden state that a step hands to the next.
    """

    input: Tensor | None
    output: Tensor | None
    state: Tensor | None


@dataclass(frozen=True)
class DropoutMasks:
    """The masks of a whole stack.

    Attributes:
        layers: One `LayerMasks` a layer, from the bottom up.
        variational: Whether one mask serves all time steps; such masks fit any stretch of time.
    """

    layers: tuple[LayerMasks, ...]
    variational: bool

    def narrow(self, start: int, stop: int) -> "DropoutMasks":
        """The masks of the time steps `start` to `stop` (exclusive), counted from the first step these masks cover."""
        if self.variational:
            return self
        return DropoutMasks(map_state(lambda mask: mask[start:stop], self.layers), variational=False)

    @staticmethod
    def cat(pieces: Sequence["DropoutMasks"]) -> "DropoutMasks":
        """Joins the masks of consecutive stretches of time."""
        if len(pieces) == 1 or pieces[0].variational:
            return pieces[0]
        joined = []
        for layers in zip(*(piece.layers for piece in pieces), strict=True):  # the same layer of every piece
            places = zip(*layers, strict=True)
            joined.append(LayerMasks(*(None if place[0] is None else torch.cat(place) for place in places)))
        return DropoutMasks(tuple(joined), variational=False)


def check_probability(name: str, p: float) -> float:
    """Returns `p` as a float if it is a probability of dropping in [0, 1), else raises `ArgumentError`."""
    if not isinstance(p, (int, float)) or isinstance(p, bool) or not 0.0 <= p < 1.0:
        raise ArgumentError(f"{name}={p!r} is not in [0, 1): give the probability of dropping, 0 for none")
    return float(p)


def draw_mask(shape: Sequence[int], p: float, device: torch.device) -> Tensor | None:
    """A mask of independent entries, 0 with probability `p`, else 1, in bfloat16; None for p = 0.

    On a CPU an entry takes 16 random bits, a tenth of `bernoulli_`'s time: the probability is right to 2^-17. Rare
    outcomes, which that would not serve, are left to `bernoulli_`, as are other devices. The randomness is that of
    torch's global generator.
    """
    if p == 0.0:
        return None
    if device.type != "cpu" or min(p, 1.0 - p) < _RARE:
        return torch.empty(*shape, device=device, dtype=torch.bfloat16).bernoulli_(1.0 - p)
    count = math.prod(shape)
    lanes = torch.empty((count + 3) // 4 * 4, dtype=torch.int16, device=device)
    limit = round((1.0 - p) * 2**16) - 2**15
    for block in lanes.split(_BLOCK):  # each is in the cache when it is compared
        # `random_` without a range leaves the sign bit zero; from the least integer on, all 64 bits are random.
        block.view(torch.int64).random_(-(2**63), None)  # four lanes at once, each uniform in [-2^15, 2^15)
        torch.lt(block, limit, out=block).mul_(_ONE)
    return lanes.view(torch.bfloat16)[:count].view(*shape)


def drop(x: Tensor, mask: Tensor, p: float) -> Tensor:
    """Where `mask` (T or 1, ..., F) is 1, x (T, ..., F) times 1 / (1 - p); where it is 0, 0."""
    if len(mask) == 1:
        return x * scaled(mask, p, x.dtype)
    dropped: Tensor = _Drop.apply(x, mask, p)
    return dropped


def scaled(mask: Tensor, p: float, dtype: torch.dtype) -> Tensor:
    """What a mask multiplies with: 0 or 1 / (1 - p), in `dtype`."""
    return mask.to(dtype, copy=True).mul_(1.0 / (1.0 - p))


class _Drop(torch.autograd.Function):
    """`drop` that keeps only the 16-bit mask for the backward pass."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, mask: Tensor, p: float) -> Tensor:
        ctx.save_for_backward(mask)
        ctx.p = p
        return scaled(mask, p, x.dtype).mul_(x)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        (mask,) = ctx.saved_tensors
        return _Drop.apply(grad, mask, ctx.p), None, None


@contextmanager
def without_dropout(module: nn.Module) -> Iterator[None]:
    """Runs a module in evaluation mode inside the `with` block, then puts it and all its parts back."""
    before = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for part, training in before:
            part.training = training
