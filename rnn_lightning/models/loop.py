"""The loop of truncated BPTT, pass by pass. It does not depend on Lightning: it takes a plan, a state, and functions.

What happens to a batch in training, in this order:

    training_step   prepare_batch     checks it
                    plan, mark_steps  the passes over it, as many as on the device that has the most
    _through_batch  epochs.begin      at the first batch of an epoch
                    carried.take      the state of the previous batch; `state` and `reset` of the batch change it
                    split             cuts the spans where sequences begin
                    MaskTape          draws the dropout masks step by step
    run             memory            the detached state from which a pass begins
      for each      dark              the earlier steps, without a graph (only if the one loss is at the end)
      pass          before            `advance` over the k2 - k1 steps before the chunk, with a graph, without losses
                    chunk_step        the chunk, with its losses
                    memory            the detached state, for the passes to come; with the weights before this step
                    update.add        the mean over the valid targets of all devices, and backward
                    update.step       Lightning unscales, clips and steps; schedulers of `lr_interval` "step"
    _through_batch  carried.put       the state, for the next batch
    training_step   step_schedulers   those of "batch"; then `train/loss` is logged
    epoch's end     epochs.end        logs the means; schedulers of "epoch" and plateaus

Legend: B batch (rows), T time steps, t <= T steps of a chunk.
"""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, Protocol, TypeAlias

from torch import Tensor, no_grad

from rnn_lightning.errors import ArgumentError
from rnn_lightning.models.batches import Batch, describe
from rnn_lightning.models.plan import Pass, Span
from rnn_lightning.nn import detach_state

CutSpan: TypeAlias = Callable[[Span, Any], tuple[Batch, Any]]
"""(span, state) -> (that span of the batch, the state it begins with)."""


class Result(NamedTuple):
    """The result of a chunk; `chunk_step` returns the same values, in a plain tuple.

    Attributes:
        loss: Sum of the losses over the valid targets; None if there is no loss (in predict).
        targets: Number of these targets; with class weights, the sum of their weights.
        state: The state at the chunk's end.
        more: Further sums over the targets (numbers), and outputs (B, t, ...).
    """

    loss: Tensor | None
    targets: Tensor | int
    state: Any
    more: dict[str, Any] = {}  # read only

    @classmethod
    def of(cls, given: Any) -> "Result":
        """Makes a `Result` from the tuple that `chunk_step` returned.

        Raises:
            ArgumentError: It is not a tuple of three or four values.
        """
        if not isinstance(given, tuple) or len(given) not in (3, 4):
            raise ArgumentError(
                f"chunk_step returned {describe(given)}: return the sum of the losses, the number of targets and the "
                "state, and optionally a dict of further values"
            )
        return cls(*given)


class GradientSteps(Protocol):
    """The part of `Update` that the loop uses."""

    def add(self, loss: Tensor | None, targets: float, passes_per_batch: float, last: bool) -> None:
        """Runs backward from the losses of a pass."""

    def step(self) -> bool:
        """Steps the optimizer; returns false if there are no more steps to take."""


def run(
    plan: list[Pass],
    state: Any,
    take: CutSpan,
    chunk_step: Callable[[Batch, Any], Any],
    advance: Callable[[Batch, Any], Any],
    see: Callable[[Batch, Result], None],
    update: GradientSteps | None = None,
) -> Result:
    """Goes through a batch from `state` (detached; None for zeros).

    Args:
        plan: The passes.
        state: The state at the batch's beginning.
        take: Cuts a span out of the batch.
        chunk_step: Runs the model over a chunk; returns the fields of `Result`.
        advance: Runs the model over steps whose losses do not count.
        see: Called with each chunk and its result; it must not keep a graph.
        update: Backward passes and optimizer steps. If not given, the returned sum of the losses has a graph.
    """
    total, memory = Result(None, 0, None), {0: state}  # detached states, by the step that follows them
    steps = sum(current.steps for current in plan)
    for current in plan:
        memory = {at: kept for at, kept in memory.items() if at >= current.begin}
        with no_grad():
            state = _through(current.dark, memory[current.begin], take, advance)
        state = _through(current.before, state, take, advance)
        loss: Tensor | None = None
        targets: Tensor | int = 0
        for span in current.chunk:
            chunk, state = take(span, state)
            result = Result.of(chunk_step(chunk, state))
            see(chunk, result)
            loss, targets, state = _plus(loss, result.loss), targets + result.targets, result.state
            memory[span.stop] = detach_state(state)
        seen = loss if update is None or loss is None else loss.detach()
        total = Result(_plus(total.loss, seen), total.targets + targets, None)
        if update is not None:
            update.add(loss, float(targets), steps / (current.steps or steps), last=current.ends_step)
            if current.ends_step and not update.step():
                break
    return total._replace(state=memory[max(memory)])


def _through(spans: Iterable[Span], state: Any, take: CutSpan, advance: Callable[[Batch, Any], Any]) -> Any:
    for span in spans:
        state = advance(*take(span, state))
    return state


def _plus(total: Tensor | None, loss: Tensor | None) -> Tensor | None:
    return loss if total is None else total + loss if loss is not None else total
