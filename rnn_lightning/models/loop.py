"""The loop of truncated BPTT, pass by pass. It knows no Lightning: a plan, a state, and functions go in.

What happens to a batch, in this order:

    training_step   prepare_batch    checks it
                    plan, schedule   the passes over it, as many as the device with the most has
    run             memory           the detached state from which a pass begins
                    advance          the k2 - k1 steps before the chunk, with a graph, without losses
                    chunk_step       the chunk, with its losses
                    update.add       the mean over the valid targets of all devices, and backward
                    update.step      unscale, clip, step, schedulers
                    memory           the detached state, for the passes to come

Legend: B batch (rows), T time steps, t <= T steps of a chunk.
"""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, Protocol, TypeAlias

from torch import Tensor, no_grad

from rnn_lightning.errors import ArgumentError
from rnn_lightning.models.batch import Batch, describe
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
    more: dict[str, Any] = {}  # read only

    @classmethod
    def of(cls, given: Any) -> "Result":
        """From what `chunk_step` returned.

        Raises:
            ArgumentError: It is not a tuple of three or four.
        """
        if not isinstance(given, tuple) or len(given) not in (3, 4):
            raise ArgumentError(
                f"chunk_step returned {describe(given)}: return the sum of the losses, the number of targets and the "
                "state, and perhaps a dict of more"
            )
        return cls(*given)


class Takes(Protocol):
    """What the loop asks of an update; see `Update`."""

    def add(self, loss: Tensor | None, targets: float, windows: float, last: bool) -> None:
        """Runs backward from the losses of a window."""

    def step(self) -> bool:
        """Steps the optimizer; false where there are no more steps to take."""


def run(
    plan: list[Window],
    state: Any,
    take: Take,
    step: Callable[[Batch, Any], Any],
    advance: Callable[[Batch, Any], Any],
    see: Callable[[Batch, Result], None],
    update: Takes | None = None,
) -> Result:
    """Goes through a batch from `state` (detached; None for zeros).

    Args:
        plan: The passes.
        state: The state at the batch's beginning.
        take: Cuts a stretch out of the batch.
        step: Runs the model over a chunk; returns what `Result` holds.
        advance: Runs it over steps whose losses do not count.
        see: What else is to be done with each chunk and what it gave; it may keep no graph.
        update: Backward passes and optimizer steps, if any; without, the returned sum of the losses has a graph.
    """
    total, memory = Result(None, 0, None), {0: state}  # detached states, by the step that they precede
    steps = sum(window.steps for window in plan)
    for window in plan:
        memory = {at: kept for at, kept in memory.items() if at >= window.begin}
        with no_grad():
            state = _through(window.dark, memory[window.begin], take, advance)
        state = _through(window.before, state, take, advance)
        loss: Tensor | None = None
        targets: Tensor | int = 0
        for span in window.chunk:
            chunk, state = take(span, state)
            result = Result.of(step(chunk, state))
            see(chunk, result)
            loss, targets, state = _plus(loss, result.loss), targets + result.targets, result.state
            memory[span.stop] = detach_state(state)
        seen = loss if update is None or loss is None else loss.detach()
        total = Result(_plus(total.loss, seen), total.targets + targets, None)
        if update is not None:
            update.add(loss, float(targets), steps / (window.steps or steps), last=window.ends_step)
            if window.ends_step and not update.step():
                break
    return total._replace(state=memory[max(memory)])


def _through(spans: Iterable[Span], state: Any, take: Take, advance: Callable[[Batch, Any], Any]) -> Any:
    for span in spans:
        state = advance(*take(span, state))
    return state


def _plus(total: Tensor | None, loss: Tensor | None) -> Tensor | None:
    return loss if total is None else total + loss if loss is not None else total
