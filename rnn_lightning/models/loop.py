"""The loop of truncated BPTT, pass by pass. It knows no Lightning: a plan, a state, and functions go in.

Legend: B batch (rows), T time steps, t <= T steps of a chunk.
"""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, Protocol, TypeAlias

import torch
from torch import Tensor

from rnn_lightning.models.batch import Batch
from rnn_lightning.models.plan import Span, Window
from rnn_lightning.nn import detach_state

Take: TypeAlias = Callable[[Span, Any], tuple[Batch, Any]]
"""(span, state) -> (that stretch of the batch, the state it begins with)."""


class Result(NamedTuple):
    """What a chunk gives; `chunk_step` returns the same as a plain tuple.

    Attributes:
        loss: Sum of the losses over the valid targets; None where there are none to be had (predict).
        targets: Number of these targets.
        state: The state at the chunk's end.
        more: Further sums over the targets (numbers), and outputs (B, t, ...).
    """

    loss: Tensor | None
    targets: Tensor | int
    state: Any
    more: dict[str, Any] = {}  # noqa: RUF012  # read only


class Takes(Protocol):
    """What the loop asks of an update; see `Update`."""

    def add(self, loss: Tensor | None, targets: float, windows: int, last: bool) -> None:
        """Goes back from the losses of a window."""

    def step(self) -> bool:
        """Steps the optimizer; false where there are no more steps to take."""


def run(
    plan: list[Window],
    state: Any,
    take: Take,
    step: Callable[[Batch, Any], Result],
    advance: Callable[[Batch, Any], Any],
    see: Callable[[Batch, Result], None],
    update: Takes | None = None,
) -> Result:
    """Goes through a batch.

    Args:
        plan: The passes.
        state: The state at its beginning, detached; None for zeros.
        take: Cuts a stretch out of the batch.
        step: Runs the model over a chunk, with its losses.
        advance: Runs it over steps whose losses do not count.
        see: What else is to be done with each chunk and what it gave; it may keep no graph.
        update: Backward passes and optimizer steps; None where there are none.

    Returns:
        The sum of the losses (with a graph where there is no update), the number of targets, and the detached state.
    """
    memory = {0: state}  # detached states, by the step that they stand before
    total, count = None, 0
    for window in plan:
        memory = {at: kept for at, kept in memory.items() if at >= window.begin}
        state = memory[window.begin]
        with torch.no_grad():
            state = _through(window.dark, state, take, advance)
        state = _through(window.before, state, take, advance)
        loss, targets = None, 0
        for span in window.chunk:
            chunk, state = take(span, state)
            result = step(chunk, state)
            loss, targets = _plus(loss, result.loss), targets + result.targets
            see(chunk, result)
            state = result.state
            memory[span.stop] = detach_state(state)
        total, count = _plus(total, loss if update is None or loss is None else loss.detach()), count + targets
        if update is not None:
            update.add(loss, float(targets), len(plan), last=window.ends_step)
            if window.ends_step and not update.step():
                break
    return Result(total, count, memory[max(memory)])


def _through(spans: Iterable[Span], state: Any, take: Take, advance: Callable[[Batch, Any], Any]) -> Any:
    for span in spans:
        state = advance(*take(span, state))
    return state


def _plus(total: Tensor | None, loss: Tensor | None) -> Tensor | None:
    return loss if total is None else total + loss if loss is not None else total
