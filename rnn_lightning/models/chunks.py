"""Where truncated BPTT cuts a sequence, and the dropout masks along it.

Everything that walks through a sequence in chunks takes its borders from here: training, validation, test and predict.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

from rnn_lightning.nn import DropoutMasks


class Window(NamedTuple):
    """One backward pass. Its graph spans [begin, stop), its loss stands on [start, stop).

    Attributes:
        begin: The step whose stored detached state the pass restarts from.
        start: The first step of the chunk.
        stop: The step after the chunk's last.
        stores: The steps in (start, stop] whose state has to be kept: where a later pass restarts, and `stop`.
    """

    begin: int
    start: int
    stop: int
    stores: tuple[int, ...]


def windows(steps: int, k1: int, k2: int) -> Iterator[Window]:
    """The passes over a sequence: chunks of length k1 (the last may be shorter), gradients over k2 steps at most.

    Args:
        steps: T, the length of the sequence.
        k1: The chunk's length.
        k2: How many steps the gradient flows back, at least k1.
    """
    before = k2 - k1  # how far in front of its chunk a pass restarts
    for start in range(0, steps, k1):
        stop = min(start + k1, steps)
        # Later chunks start at multiples of k1, so restarts lie k1 apart: at most one falls inside this chunk.
        inside = start + (-before) % k1
        stores = (inside, stop) if start < inside < stop and inside + before < steps else (stop,)
        yield Window(max(0, start - before), start, stop, stores)


def whole(steps: int) -> Window:
    """One pass over all of a sequence."""
    return Window(0, 0, steps, (steps,))


class MaskTape:
    """The dropout masks along a sequence, drawn as time goes on; the same step always gets the same mask.

    Args:
        draw: Draws the masks of that many steps; gives None where there is no dropout.
        keep: How many of the last steps may be asked for again: the k2 of a pass.
        masks: Variational masks to go on with, if any.
    """

    def __init__(
        self, draw: Callable[[int], DropoutMasks | None], keep: int, masks: DropoutMasks | None = None
    ) -> None:
        self._draw, self._keep, self._masks = draw, keep, masks
        self._first, self._end = 0, 0  # the stretch of time that fresh masks cover

    @property
    def variational(self) -> DropoutMasks | None:
        """The masks, if they are variational and so serve the whole sequence."""
        return self._masks if self._masks is not None and self._masks.variational else None

    def get(self, start: int, stop: int) -> DropoutMasks | None:
        """The masks of the steps `start` to `stop` (exclusive); `start` lies at most at the end of what was drawn."""
        if self.variational is None and stop > self._end:
            drawn = self._draw(stop - self._end)
            if drawn is None:
                return None
            self._masks = drawn if self._masks is None else DropoutMasks.cat([self._masks, drawn])
            self._end = stop
            past = max(0, self._end - self._keep - self._first)  # steps that no pass will ask for again
            self._masks = self._masks.narrow(past, self._end - self._first)
            self._first += past
        return None if self._masks is None else self._masks.narrow(start - self._first, stop - self._first)
