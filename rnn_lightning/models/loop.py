"""The loop of truncated BPTT, pass by pass. It does not depend on Lightning: it takes a plan, a state, two functions.

What happens to a batch in training under `tbptt`, in this order; the second column says in which file:

    training_step     resume         restore_generators  in the first batch after a resume
     (tbptt_module)   batches        as_batch            checks it; called by `prepare_batch`
                      plan           passes              the passes over it; called by `plan`
                      plan           mark_updates        as many passes as on the device that has the most
                      update         Update.of           the optimizer, and the unfinished step of the previous batch
    _through_batch    epochs         begin               at the first batch of an epoch
     (tbptt_module)   carry          carried.take        the state of the previous batch (only with `carry_state`)
                      plan           split               cuts the spans where sequences begin
                      masks          MaskTape            draws the dropout masks step by step
                      batches        begun               zeroes the state where the batch's `reset` says so
    run, each pass    loop           memory              the detached state from which the pass begins
                      loop           dark                steps without a graph (only if the one loss is at the end)
                      loop           before              `advance` over k2 - k1 steps with a graph, without losses
      each span       batches        cut                 the chunk, or a part of it; its masks are added
       of the chunk   tbptt_module   chunk_step          the losses and the state
                      means          add                 what `chunk_step` returns besides
                      loop           memory              the detached state, for later passes; with the weights so far
      then            update         add                 the mean over the valid targets of all devices, and backward
                      update         step                Lightning unscales the gradient and calls our own hook,
                                                         `on_before_optimizer_step` (tbptt_module), which clips it;
                                                         schedulers of `lr_interval` "step"
    _through_batch    carry          carried.put         the state, for the next batch (only with `carry_state`)
    training_step     schedulers     step_schedulers     those of "batch"; then `train/loss` is logged
    epoch's end       epochs         end                 logs the means; schedulers of "epoch" and plateaus

Legend: B batch (rows), T time steps, t <= T steps of a chunk.
"""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

from torch import Tensor, no_grad

from rnn_lightning.errors import ArgumentError
from rnn_lightning.models.batches import describe
from rnn_lightning.models.plan import Pass, Span
from rnn_lightning.nn import detach_state

if TYPE_CHECKING:
    from rnn_lightning.models.update import Update


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
            ArgumentError: It is not a tuple of three or four values, or one of them is of another kind.
        """
        if not isinstance(given, tuple) or len(given) not in (3, 4):
            raise ArgumentError(
                f"chunk_step returned {describe(given)}: return the sum of the losses, the number of targets and the "
                "state, and optionally a dict of further values"
            )
        result = cls(*given)
        if result.loss is not None and not (isinstance(result.loss, Tensor) and result.loss.numel() == 1):
            raise ArgumentError(
                f"chunk_step returned {describe(result.loss)} as the loss: return the sum of the losses, one number in a "
                "tensor"
            )
        if not isinstance(result.more, dict):
            raise ArgumentError(
                f'chunk_step returned {describe(result.more)} as the fourth value: return a dict, such as {{"prediction": '
                "...}"
            )
        return result


def run(
    plan: list[Pass],
    state: Any,
    chunk_step: Callable[[Span, Any], Result],
    advance: Callable[[Span, Any], Any],
    update: "Update | None" = None,
) -> Result:
    """Goes through a batch from `state` (detached; None for zeros).

    Args:
        plan: The passes.
        state: The state at the batch's beginning.
        chunk_step: Runs the model over a span of the batch, from a state.
        advance: Runs the model over a span whose losses do not count; returns the state after it.
        update: Backward passes and optimizer steps. If not given, the returned sum of the losses has a graph.
    """
    total, memory = Result(None, 0, None), {0: state}  # detached states, by the step that follows them
    steps = sum(current.steps for current in plan)
    for current in plan:
        memory = {at: kept for at, kept in memory.items() if at >= current.begin}
        with no_grad():
            state = _through(current.dark, memory[current.begin], advance)
        state = _through(current.before, state, advance)
        loss: Tensor | None = None
        targets: Tensor | int = 0
        for span in current.spans:
            result = chunk_step(span, state)
            loss, targets, state = _plus(loss, result.loss), targets + result.targets, result.state
            memory[span.stop] = detach_state(state)
        seen = loss if update is None or loss is None else loss.detach()
        total = Result(_plus(total.loss, seen), total.targets + targets, None)
        if update is not None:
            update.add(loss, float(targets), steps / (current.steps or steps), last=current.updates)
            if current.updates and not update.step():
                break
    return total._replace(state=memory[max(memory)])


def _through(spans: Iterable[Span], state: Any, advance: Callable[[Span, Any], Any]) -> Any:
    for span in spans:
        state = advance(span, state)
    return state


def _plus(total: Tensor | None, loss: Tensor | None) -> Tensor | None:
    return loss if total is None else total + loss if loss is not None else total
