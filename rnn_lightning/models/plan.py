"""Plans where truncated BPTT cuts a sequence. A plan contains only plain values, and is made once per batch.

`passes(6, k1=3, k2=3)` plans two backward passes, over the chunks [0,3) and [3,6). The second begins with the detached
state that the first kept at 3. `passes(10, k1=3, k2=5)` plans four. There the k2 - k1 steps before a chunk run again,
with a graph but without losses, from a state that an earlier pass kept. A chunk is cut where a later pass restarts.

    begin at  before   chunk           states kept at
    0                  [0,1) [1,3)     1, 3
    1         [1,3)    [3,4) [4,6)     4, 6
    4         [4,6)    [6,7) [7,9)     7, 9
    7         [7,9)    [9,10)          10
"""

from collections.abc import Iterable
from itertools import pairwise
from typing import NamedTuple

from torch import Tensor


class Span(NamedTuple):
    """The time steps `start` to `stop` (exclusive) of a batch.

    Attributes:
        start: The first step.
        stop: The step after the last.
        begins: (B,), if each row has its own first step and takes `stop - start` steps from there.
        ends: (B,), if each row ends here instead of at its length.
    """

    start: int
    stop: int
    begins: Tensor | None = None
    ends: Tensor | None = None


class Pass(NamedTuple):
    """One backward pass. A pass without a chunk is for a device that ran out of data before the others.

    Attributes:
        begin: The step whose initial state was kept.
        spans: The chunk: the spans whose losses count. The state after each span is kept.
        before: Spans that are run with a graph, so that gradients flow back through them; their losses do not count.
        dark: Spans that are run first, without a graph.
        updates: Whether the optimizer takes a step after this pass.
    """

    begin: int
    spans: tuple[Span, ...] = ()
    before: tuple[Span, ...] = ()
    dark: tuple[Span, ...] = ()
    updates: bool = True

    @property
    def steps(self) -> int:
        """How many time steps the chunk has."""
        return self.spans[-1].stop - self.spans[0].start if self.spans else 0

    @property
    def graph(self) -> Span:
        """All steps that the gradient reaches."""
        first = (self.before or self.spans)[0]
        return first._replace(stop=self.spans[-1].stop)


def passes(steps: int, k1: int, k2: int) -> list[Pass]:
    """Plans the passes for T = `steps`: chunks of length k1 (the last may be shorter), gradients over k2 steps."""
    plan = []
    for start in range(0, steps, k1):
        stop, begin = min(start + k1, steps), max(0, start - (k2 - k1))
        # Later passes restart k2 - k1 steps before their chunks, so restarts are k1 apart, and one at most is inside this
        # chunk. If k2 is a multiple of k1, restarts are where chunks start, and none is inside.
        restart = start + (k1 - k2) % k1
        inside = start < restart < stop and restart + k2 - k1 < steps
        borders = (start, restart, stop) if inside else (start, stop)
        plan.append(Pass(begin, _spans(borders), _spans((begin, start)) if begin < start else ()))
    return plan


def end_pass(steps: int, k1: int, k2: int, lengths: Tensor | None = None) -> list[Pass]:
    """Plans one pass over the last k2 steps of each row, for a single loss at the end.

    The earlier steps run without a graph, k1 at a time.
    """
    if steps <= k2:
        return [Pass(0, _spans((0, steps)))]
    begins = None if lengths is None else (lengths.cpu() - k2).clamp(min=0)
    first = steps - k2 if begins is None else int(begins.max())
    dark = tuple(Span(at, min(at + k1, first), ends=begins) for at in range(0, first, k1))
    return [Pass(0, (Span(first, first + k2, begins),), dark=dark)]


def split(plan: Iterable[Pass], borders: Iterable[int]) -> list[Pass]:
    """Cuts every span of the passes at the steps `borders`."""
    borders = sorted(borders)

    def cut(spans: tuple[Span, ...]) -> tuple[Span, ...]:
        inner = ((start, *(at for at in borders if start < at < stop), stop) for start, stop, *_ in spans)
        return tuple(span for points in inner for span in _spans(points))

    return [p._replace(spans=cut(p.spans), before=cut(p.before), dark=cut(p.dark)) for p in plan]


def mark_updates(plan: list[Pass], count: int, each: bool, last: bool) -> list[Pass]:
    """Pads a batch's passes to `count`; the optimizer steps after every pass (`each`) or only after the last."""
    plan = plan + [Pass(plan[-1].spans[-1].stop)] * (count - len(plan))
    return [p._replace(updates=each or (last and n == count)) for n, p in enumerate(plan, 1)]


def _spans(borders: Iterable[int]) -> tuple[Span, ...]:
    return tuple(Span(*pair) for pair in pairwise(borders))
