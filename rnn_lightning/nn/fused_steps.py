"""What the whole-sequence recurrences share: the order of the steps, their blocks, and the products around the loop.

Time is cut into blocks that fit a core's cache. In each block the input's share of all gates is one GEMM, then the
steps run in place, and going back one GEMM gives the block's share of each weight gradient. So nothing of the size of
the whole sequence is read twice from memory, and the backward pass has no such buffer of its own.

Legend: B batch, T time steps, S steps of a block, F input features, H hidden units, G gates.
"""

import math
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import wraps
from typing import Any

import torch
from torch import Tensor

from rnn_lightning.nn.dropout import Mask
from rnn_lightning.nn.fused_product import NARROW, accumulate

BLOCK = 2**19
"""Elements of a block's gates, S * B * G * H: 2 MB in float32, about the cache of two cores."""

MEMORY = 2**23
"""Elements of all steps' gates, T * B * G * H, that are kept for the backward pass: 32 MB in float32."""


class _Scratch(threading.local):
    """A thread's buffers for what lives no longer than one pass over a layer.

    The system hands out fresh memory page by page, at about 1 us for 4 KB: as long as the work that is done on it.
    What is kept is a few blocks (`BLOCK`), whatever the length of the sequences.
    """

    def __init__(self) -> None:
        self.buffers: dict[tuple[str, torch.dtype], Tensor] = {}

    def __call__(self, name: str, like: Tensor, *shape: int) -> Tensor:
        """A buffer to be filled, with the type of `like`; valid until the same name is asked for again."""
        count = math.prod(shape)
        if count > 2 * BLOCK or like.device.type != "cpu":
            return like.new_empty(shape)
        buffer = self.buffers.get((name, like.dtype))
        if buffer is None or len(buffer) < count:
            with torch.inference_mode(False):  # it may be written outside of inference mode later
                buffer = torch.empty(count, dtype=like.dtype, device=like.device)
            if type(buffer) is not Tensor:  # a mode that stands in for real tensors is active
                return buffer.view(shape)
            self.buffers[name, like.dtype] = buffer
        return buffer[:count].view(shape)


scratch = _Scratch()


@dataclass(frozen=True)
class Steps:
    """The time steps of one layer in one direction.

    Attributes:
        count: T.
        batch: B.
        reverse: Whether time runs from the last step to the first; not together with `sizes`.
        sizes: The number of rows that have a step t, for each t; rows are sorted by length, the longest first.
            None where all rows have all steps.
        scale: What the state mask multiplies what it keeps with.
        keep: Whether a backward pass may follow, for which a forward pass keeps its gates.
    """

    count: int
    batch: int
    reverse: bool = False
    sizes: tuple[int, ...] | None = None
    scale: float = 1.0
    keep: bool = True

    def blocks(self, width: int) -> list[tuple[int, int]]:
        """First and last step (exclusive) of each block, in the order they run, for `width` elements a step."""
        size = min(self.count, max(1, BLOCK // max(1, width)))
        starts = range(0, self.count, size)
        blocks = [(start, min(self.count, start + size)) for start in starts]
        return blocks[::-1] if self.reverse else blocks

    def buffer(self, like: Tensor, width: int) -> Tensor:
        """(T, B, width) to be filled step by step; what no step fills is zero."""
        shape = (self.count, self.batch, width)
        return like.new_empty(shape) if self.sizes is None else like.new_zeros(shape)

    def masks(self, mask: Tensor | None, like: Tensor) -> "StepMasks | None":
        """What each step multiplies its state with; mask (T or 1, B, H), like (T, B, H)."""
        return None if mask is None else StepMasks(mask, self.scale, like)

    def views(self, part: Tensor, start: int) -> list[Tensor]:
        """The running rows of each step, in running order; part (S, B, ...) begins at step `start`."""
        views = list(part.unbind(0))
        if self.sizes is not None:
            views = [view[:n] for view, n in zip(views, self.sizes[start:], strict=False)]
        return views[::-1] if self.reverse else views

    def pieces(
        self, handed: Tensor, initial: Tensor, start: int, stop: int, masks: "StepMasks | None" = None
    ) -> list[tuple[slice, Tensor]]:
        """What the block's steps read, as at most two stretches: which steps of the block, and (s, B, H).

        With masks, `handed` holds what they act on: one product makes again what would have to be stored.
        """
        first = self.count - 1 if self.reverse else 0
        pieces = [(slice(first - start, first - start + 1), initial[None])] if start <= first < stop else []
        shift = 1 if self.reverse else -1
        begin, end = (start, min(stop, first)) if self.reverse else (max(start, 1), stop)
        if begin < end:
            source = slice(begin + shift, end + shift)
            states = handed[source]
            if masks is not None:
                states = torch.mul(states, masks[source], out=scratch("states", states, *states.shape))
            pieces.append((slice(begin - start, end - start), states))
        return pieces

    def clear(self, part: Tensor, start: int) -> None:
        """Zeroes the rows of part (S, B, ...) that have no step."""
        if self.sizes is not None:
            for view, n in zip(part.unbind(0), self.sizes[start:], strict=False):
                view[n:].zero_()

    def final(self, handed: Tensor, initial: Tensor, masks: "StepMasks | None" = None) -> Tensor:
        """(B, H), what each row's last step hands on; the initial state of rows without a step."""
        if self.sizes is None:
            last = 0 if self.reverse else self.count - 1
            return handed[last].clone() if masks is None else handed[last] * masks[last : last + 1][0]
        final, begin = initial.clone(), 0
        for t in reversed(range(self.count)):
            end = self.sizes[t]
            if end > begin:  # these rows have no later step
                rows = handed[t, begin:end]
                final[begin:end] = rows if masks is None else rows * masks[t : t + 1][0, begin:end]
                begin = end
        return final


class Kept:
    """The gates (T, B, width) of a forward pass: all of them where a backward pass reads them, else one block's.

    More than `MEMORY` elements are not kept but made again, block by block, from the states: that takes one more large
    GEMM, less than the system takes to hand out so much fresh memory, and a fifth of the memory.

    Attributes:
        everything: What is kept for the backward pass, or None.
    """

    def __init__(self, steps: Steps, blocks: list[tuple[int, int]], width: int, like: Tensor) -> None:
        whole = steps.keep and steps.count * steps.batch * width <= MEMORY
        longest = max(stop - start for start, stop in blocks)
        shape = steps.batch, width
        self.everything = like.new_empty(steps.count, *shape) if whole else None
        self.buffer = scratch("gates", like, longest, *shape) if self.everything is None else self.everything

    def __getitem__(self, block: slice) -> Tensor:
        """(S, B, width), to be filled."""
        return self.buffer[: block.stop - block.start] if self.everything is None else self.buffer[block]


class StepMasks:
    """The masks of all steps, scaled; those of fresh masks are made for a stretch of time when it is asked for.

    So they are never in memory for all steps but as 16 bits an entry.
    """

    def __init__(self, mask: Tensor, scale: float, like: Tensor) -> None:
        self.mask, self.like, self.scale = mask, like, scale
        self.same = Mask(mask, scale).factors(like.dtype).expand_as(like) if len(mask) == 1 else None

    def __getitem__(self, steps: slice) -> Tensor:
        """(S, B, H), valid until the next stretch is asked for."""
        if self.same is not None:
            return self.same[steps]
        mask = self.mask[steps]
        out = scratch("masks", self.like, *mask.shape)
        return out.copy_(mask).mul_(self.scale)


def input_factors(x: Tensor, w_ih: Tensor, bias: Tensor | None) -> tuple[Tensor, Tensor, Tensor | None]:
    """The factors of the input's share of the gates, x (T, B, F) times w_ih (G * H, F) plus the bias.

    Where the input is narrow, its rows get a last column of ones, and the bias is one more weight: that takes less than
    to add it, and one GEMM gives both gradients.

    Returns:
        For `product`: (T * B, F) or (T * B, F + 1); (F, G * H) or (F + 1, G * H); the bias that is still to be added.
    """
    if bias is not None and x.shape[2] < NARROW:
        x = torch.cat((x, x.new_ones(1, 1, 1).expand(*x.shape[:2], 1)), dim=2)
        w_ih, bias = torch.cat((w_ih, bias[:, None]), dim=1), None
    return x.flatten(0, 1).contiguous(), w_ih.t(), bias


class InputGradients:
    """Sums the gradients of w_ih and of the bias over the blocks; `x_1` as `input_factors` gives it."""

    def __init__(self, x_1: Tensor, features: int, need_bias: bool) -> None:
        self.x_1, self.features = x_1, features
        self.sum_bias = need_bias and x_1.shape[1] == features
        self.total: Tensor | None = None
        self.total_bias: Tensor | None = None

    def add(self, rows: slice, gradients: Tensor) -> None:
        """Adds what the gradients of these rows' gates, (R, G * H), give."""
        self.total = accumulate(self.total, self.x_1[rows], gradients)
        if self.sum_bias:
            part = gradients.sum(0)
            self.total_bias = part if self.total_bias is None else self.total_bias.add_(part)

    @property
    def weight(self) -> Tensor:
        """(G * H, F)."""
        assert self.total is not None
        return self.total[: self.features].t().contiguous()

    @property
    def bias(self) -> Tensor:
        """(G * H,)."""
        assert self.total is not None
        return self.total[self.features] if self.total_bias is None else self.total_bias


def transposed(w: Tensor) -> Tensor:
    """(N, K) -> a new (K, N), free to be scaled; `contiguous` would hand out a single column itself."""
    return w.t().clone(memory_format=torch.contiguous_format)


def without_autocast(like: Tensor) -> AbstractContextManager[Any]:
    """A context without autocast on the tensor's device; to enter torch's own costs as much as a step."""
    kind = like.device.type
    return torch.autocast(kind, enabled=False) if torch.is_autocast_enabled(kind) else nullcontext()


def plain_backward(backward: Callable[..., Any]) -> Any:
    """For a `Function.backward` that works in place: no graph of itself, no autocast (it may run inside one)."""

    @wraps(backward)
    def run(ctx: Any, *grads: Tensor | None) -> Any:
        if torch.is_grad_enabled():  # torch's once_differentiable would let most second derivatives pass as zero
            raise RuntimeError(
                "create_graph=True: the whole-sequence recurrence has no second derivatives, "
                'run the forward pass in force_path("reference")'
            )
        saved = (
            ctx.saved_tensors
        )  # read once: activation checkpoints recompute at the first reading, and allow no other
        with without_autocast(saved[0]):
            return backward(ctx, saved, *grads)

    return run
