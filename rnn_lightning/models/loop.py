"""The loop of truncated BPTT, pass by pass. It does not depend on Lightning: it takes a plan, a state, and functions.

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
"""(span, state) -> (that span of the batch, the state it begins with)."""


class Result(NamedTuple):
    """The result of a chunk; `chunk_step` returns the same as a plain tuple.

    Attributes:
        loss: Sum of the losses over the valid targets; None where there is no loss (predict).
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
        """Makes a `Result` of the tuple that `chunk_step` returned.

        Raises:
            ArgumentError: It is not a tuple of three or four.
        """
        if not isinstance(given, tuple) or len(given) not in (3, 4):
            raise ArgumentError(
                f"chunk_step returned {describe(given)}: return the sum of the losses, the number of targets and the "
                "state, and optionally a dict of further values"
            )
        return cls(*given)


class Takes(Protocol):
    """What the loop needs from an update; see `Update`."""

    def add(self, loss: Tensor | None, targets: float, windows: float, last: bool) -> None:
        """Runs backward from the losses of a window."""

    def step(self) -> bool:
        """Steps the optimizer; returns false if there are no more steps to take."""


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
        take: Cuts a span out of the batch.
        step: Runs the model over a chunk; returns the fields of `Result`.
        advance: Runs the model over steps whose losses do not count.
        see: Called with each chunk and its result; it must not keep a graph.
        update: Backward passes and optimizer steps. Without it, the returned sum of the losses has a graph.
    """
    total, memory = Result(None, 0, None), {0: state}  # detached states, by the step that follows them
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
