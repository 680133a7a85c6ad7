"""`MaskTape`: keeps a sequence's dropout masks, so that chunks equal the whole sequence, even in training."""

from collections.abc import Callable

from rnn_lightning.nn import DropoutMasks


class MaskTape:
    """Draws the masks of one batch step by step; the same step always gets the same mask.

    Args:
        draw: Draws the masks for a number of steps; returns None if there is no dropout.
        keep: How many of the last steps may be needed again: the k2 of a pass.
    """

    def __init__(self, draw: Callable[[int], DropoutMasks | None], keep: int) -> None:
        self._draw, self._keep = draw, keep
        self._masks: DropoutMasks | None = None
        self._first, self._end = 0, 0  # the steps that fresh masks cover

    def get(self, start: int, stop: int) -> DropoutMasks | None:
        """Returns the masks of steps `start` to `stop` (exclusive); `start` must not be past the steps drawn so far."""
        if self._masks is not None and self._masks.variational:
            return self._masks
        if stop > self._end:
            drawn = self._draw(stop - self._end)
            if drawn is None or drawn.variational:
                self._masks = drawn
                return drawn
            self._masks = drawn if self._masks is None else DropoutMasks.cat([self._masks, drawn])
            self._end = stop
            past = max(0, self._end - self._keep - self._first)  # steps that no pass will need again
            self._masks = self._masks.narrow(past, self._end - self._first)
            self._first += past
        return None if self._masks is None else self._masks.narrow(start - self._first, stop - self._first)
