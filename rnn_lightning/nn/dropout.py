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
from typing import NamedTuple

import torch
from torch import Tensor, nn

from rnn_lightning.errors import ArgumentError
from rnn_lightning.nn.state import map_state

_RARE = 2.0**-8
"""Below this probability of dropping or of keeping, rounding it to 16 bits would be felt."""


class LayerMasks(NamedTuple):
    """The masks of one layer, each 0 or 1 / (1 - p), or None where that dropout is off.

    The first dimension is time: T for fresh masks, 1 for variational ones.

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


def draw_mask(shape: Sequence[int], p: float, like: Tensor) -> Tensor | None:
    """A mask of independent entries, 0 with probability `p`, else 1 / (1 - p); None for p = 0.

    On a CPU an entry takes 16 random bits, a tenth of `bernoulli_`'s time: the probability is right to 2^-17. Rare
    outcomes, which that would not serve, are left to `bernoulli_`, as are other devices. Device and dtype are those of
    `like`; the randomness is torch's global generator's.
    """
    if p == 0.0:
        return None
    if like.device.type != "cpu" or min(p, 1.0 - p) < _RARE:
        return torch.empty(*shape, device=like.device, dtype=like.dtype).bernoulli_(1.0 - p).div_(1.0 - p)
    count = math.prod(shape)
    # `random_` without a range leaves the sign bit zero; from the least integer on, all 64 bits are random.
    words = torch.empty((count + 3) // 4, dtype=torch.int64).random_(-(2**63), None)
    lanes = words.view(torch.int16)[:count].view(*shape)  # uniform in [-2^15, 2^15)
    keep = lanes < round((1.0 - p) * 2**16) - 2**15
    return torch.mul(keep, like.new_tensor(1.0 / (1.0 - p)))


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
