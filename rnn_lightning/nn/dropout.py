"""Dropout masks for a stack of recurrent layers, as objects that can be drawn once, cut in time and joined again.

TensorFlow's `DropoutWrapper` around every cell applies dropout in three places: to the input of a layer, to its output,
and to the state that a step hands to the next one. Each layer and each place has its own mask. A *fresh* mask differs
at every time step; a *variational* mask is drawn once per sequence (Gal & Ghahramani 2016, arXiv:1512.05287).

Legend: B batch, T time steps, F features of the layer's input, H hidden units, D directions.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from rnn_lightning.errors import ArgumentError
from rnn_lightning.nn.state import map_state
from rnn_lightning.nn.transforms import traces


class Mask(NamedTuple):
    """One dropout mask, drawn with a probability p of dropping.

    The first dimension is time: T for a fresh mask, 1 for a variational one. Drawn masks are bfloat16, which represents
    0 and 1 exactly, takes half of float32's memory, and converts to float32 in a third of the time that bool takes.

    Attributes:
        keep: 1 where an entry is kept, 0 where it is dropped.
        scale: The factor for entries that are kept, 1 / (1 - p).
    """

    keep: Tensor
    scale: float

    def factors(self, dtype: torch.dtype) -> Tensor:
        """Returns the factors that the mask multiplies by: 0 or `scale`, in `dtype`."""
        return self.keep.to(dtype, copy=True).mul_(self.scale)

    @staticmethod
    def cat(parts: Sequence["Mask"]) -> "Mask":
        """Joins the masks of consecutive stretches of time into one; they must have been drawn with the same p."""
        if len({part.scale for part in parts}) > 1:
            raise ArgumentError("masks drawn with different p cannot be joined: draw them anew")
        return Mask(torch.cat([part.keep for part in parts]), parts[0].scale)


class LayerMasks(NamedTuple):
    """The masks of one layer; None for a dropout that is off.

    Attributes:
        input: (T or 1, B, F), on the layer's input, the same for both directions.
        output: (T or 1, B, D * H), on the layer's output.
        state: (T or 1, D, B, H), on the hidden state that a step hands to the next.
    """

    input: Mask | None = None
    output: Mask | None = None
    state: Mask | None = None


@dataclass(frozen=True)
class DropoutMasks:
    """The masks of a whole stack.

    Attributes:
        layers: One `LayerMasks` per layer, from the bottom up.
        variational: Whether one mask serves all time steps; such masks work for any number of steps.
    """

    layers: tuple[LayerMasks, ...]
    variational: bool

    def map(self, fn: Callable[[Tensor], Tensor]) -> "DropoutMasks":
        """Applies `fn` to the tensor of every mask; p stays the same."""
        return DropoutMasks(map_state(fn, self.layers), self.variational)

    def to(self, device: torch.device | str) -> "DropoutMasks":
        """Returns the masks on another device."""
        return self.map(lambda keep: keep.to(device))

    def narrow(self, start: int, stop: int) -> "DropoutMasks":
        """Returns the masks of time steps `start` to `stop` (exclusive), counted from these masks' first step."""
        return self if self.variational else self.map(lambda keep: keep[start:stop])

    @staticmethod
    def cat(pieces: Sequence["DropoutMasks"]) -> "DropoutMasks":
        """Joins the masks of consecutive stretches of time.

        Raises:
            ArgumentError: The pieces were drawn with different p.
        """
        if len(pieces) == 1 or pieces[0].variational:
            return pieces[0]
        joined = []
        for layers in zip(*(piece.layers for piece in pieces), strict=True):  # the same layer of every piece
            places = zip(*layers, strict=True)
            joined.append(LayerMasks(*(None if place[0] is None else Mask.cat(place) for place in places)))
        return DropoutMasks(tuple(joined), pieces[0].variational)


def check_probability(name: str, p: float) -> float:
    """Returns `p` as a float if it is a probability of dropping in [0, 1), else raises `ArgumentError`."""
    if not isinstance(p, (int, float)) or isinstance(p, bool) or not 0.0 <= p < 1.0:
        raise ArgumentError(f"{name}={p!r} is not in [0, 1): give the probability of dropping, 0 for none")
    return float(p)


def drop(x: Tensor, mask: Mask) -> Tensor:
    """Multiplies x (T, ..., F) by the mask's scale where `mask` (T or 1, ..., F) keeps it, and by 0 elsewhere."""
    # torch.compile does not support functions with their own forward-mode rule, and chooses what to save itself.
    if traces() or len(mask.keep) == 1 or mask.keep.requires_grad:
        return x * mask.factors(x.dtype)
    dropped: Tensor = _Drop.apply(x, *mask)
    return dropped


class _Drop(torch.autograd.Function):
    """Like `drop`, but saves only the 16-bit mask for the backward pass."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, keep: Tensor, scale: float) -> Tensor:
        return x * Mask(keep, scale).factors(x.dtype)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, float], output: Tensor) -> None:
        _, keep, ctx.scale = inputs
        ctx.save_for_backward(keep)
        ctx.save_for_forward(keep)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        (keep,) = ctx.saved_tensors
        return _Drop.apply(grad, keep, ctx.scale), None, None

    @staticmethod
    def jvp(ctx: Any, tangent: Tensor, *rest: None) -> Tensor:
        (keep,) = ctx.saved_tensors
        dropped: Tensor = _Drop.apply(tangent, keep, ctx.scale)
        return dropped


@contextmanager
def without_dropout(module: nn.Module) -> Iterator[None]:
    """Runs a module in evaluation mode inside the `with` block, then restores the mode of every part."""
    before = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for part, training in before:
            part.training = training
