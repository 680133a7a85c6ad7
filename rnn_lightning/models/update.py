"""`Update`: backward passes and optimizer steps under manual optimisation, on one device or several.

A step uses the gradient of the mean loss over all its valid targets on all ranks. DDP averages the ranks' gradients, so
each rank scales its loss by the number of ranks divided by the number of all targets.
"""

from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from lightning.pytorch import Callback, LightningModule
from lightning.pytorch.core.optimizer import LightningOptimizer
from lightning.pytorch.plugins import Precision
from lightning.pytorch.strategies import ParallelStrategy, SingleDeviceStrategy, Strategy
from lightning.pytorch.utilities.model_helpers import is_overridden
from torch import Tensor
from torch.optim import LBFGS, Optimizer

from rnn_lightning.errors import ArgumentError
from rnn_lightning.models.loss_guard import LossGuard
from rnn_lightning.models.ranks import reduce, share_of_mean, world_size
from rnn_lightning.models.schedulers import schedulers_of
from rnn_lightning.models.truncated_bptt import TruncatedBPTT

if TYPE_CHECKING:
    from rnn_lightning.models.tbptt_module import TruncatedBPTTModule


@dataclass
class Pending:
    """What has been accumulated for the next optimizer step, which may span several batches.

    Attributes:
        divisor: The number that the step's losses are divided by; None before the step's first pass.
        targets: The step's valid targets: on all ranks if every pass has its own step, else on this rank.
    """

    divisor: float | None = None
    targets: float = 0.0


@dataclass
class Update:
    """Takes the optimizer steps of a batch.

    Attributes:
        optimizer: Lightning's (whose steps the Trainer counts), or torch's own.
        strategy: The Trainer's.
        parameters: Returns all parameters of the model.
        backward: Runs backward from a loss; by default the strategy does it.
        pending: The unfinished step, from the previous batch.
        guard: Checks every loss.
        schedulers: The schedulers to step after each optimizer step.
        each: Whether every pass has its own step.
        steps_taken: Optimizer steps of the run so far.
        max_steps: Where to stop; -1 for no limit.
    """

    optimizer: Optimizer
    strategy: Strategy
    parameters: Callable[[], Iterable[Tensor]]
    backward: Callable[[Tensor], Any] | None = None
    pending: Pending = field(default_factory=Pending)
    guard: LossGuard = field(default_factory=LossGuard)
    schedulers: Sequence[Any] = ()
    each: bool = True
    steps_taken: Callable[[], int] = lambda: 0
    max_steps: int = -1

    @classmethod
    def of(cls, module: "TruncatedBPTTModule", tbptt: TruncatedBPTT) -> "Update":
        """Makes the update for a training batch; raises `ArgumentError` if the module's optimizer does not allow it."""
        trainer, optimizer = module.trainer, module.optimizers()
        if not isinstance(optimizer, LightningOptimizer):
            raise ArgumentError("truncated BPTT trains with one optimizer: return one from configure_optimizers")
        if isinstance(optimizer.optimizer, LBFGS):
            raise ArgumentError(
                "LBFGS evaluates the loss several times per step, which truncated BPTT does not: use tbptt=null, or Adam"
            )
        return cls(
            optimizer,  # type: ignore[arg-type]  # has all that torch's has
            trainer.strategy,
            module.parameters,
            Tensor.backward if _backward_is_plain(module) else None,
            module.pending,
            module.guard,
            schedulers_of(module, "step"),
            each=tbptt.batches_per_step == 0,
            steps_taken=lambda: trainer.global_step,
            max_steps=trainer.max_steps,
        )

    def add(self, loss: Tensor | None, targets: float, passes_per_batch: float, last: bool) -> None:
        """Runs backward from the losses of a pass, and adds the gradient to that of the unfinished step.

        If a step has several passes, its number of targets is known only at the end. Until then losses are divided by
        an estimate, and the gradient is rescaled before the step. The ranks reduce their gradients once per step.

        Args:
            loss: Sum of this rank's losses; None on a rank that ran out of data before the others.
            targets: Number of this rank's valid targets.
            passes_per_batch: How many passes of this length a batch has.
            last: Whether this is the last pass of the step.
        """
        first, pending = self.pending.divisor is None, self.pending
        if first:
            for group in self.optimizer.param_groups:  # like zero_grad, but faster
                for parameter in group["params"]:
                    parameter.grad = None
        if loss is None:  # a zero that reaches every parameter, so that this rank joins the reductions
            loss = torch.as_tensor(sum(parameter.flatten()[:0].sum() for parameter in self.parameters()))
        if self.each:
            loss, pending.targets = share_of_mean(self.strategy, loss, targets)
            pending.divisor = 1.0
        else:
            if first:
                pending.divisor = reduce(self.strategy, max(targets, 1.0) * passes_per_batch, "max")
                pending.targets = 0.0
            loss = loss / (pending.divisor or 1.0)
            pending.targets += targets
        self.guard.check(loss, self.steps_taken)
        if self.backward is not None:
            self.backward(loss)
            return
        waits = not last and isinstance(self.strategy, ParallelStrategy)
        with self.strategy.block_backward_sync() if waits else nullcontext():  # type: ignore[attr-defined]
            self.strategy.backward(loss, None)

    def step(self) -> bool:
        """Steps optimizer and schedulers, unless there was no valid target; returns whether steps are left to take."""
        pending, targets = self.pending, self.pending.targets
        if not self.each:
            targets = reduce(self.strategy, targets, "sum")
            self._scale_gradients((pending.divisor or 1.0) * world_size(self.strategy) / (targets or 1.0))
        pending.divisor = None
        if targets == 0:  # without targets, momentum alone must not move the weights
            return True
        self.optimizer.step()  # Lightning unscales and calls on_before_optimizer_step, which clips
        torch.clear_autocast_cache()  # it may hold low-precision copies of the old weights
        for scheduler in self.schedulers:
            scheduler.step()
        return not 0 <= self.max_steps <= self.steps_taken()

    def _scale_gradients(self, scale: float) -> None:
        if scale != 1.0:
            for parameter in self.parameters():
                if parameter.grad is not None:
                    parameter.grad.mul_(scale)


def _backward_is_plain(module: LightningModule) -> bool:
    """Whether Lightning's backward would do no more than torch's; calling its hooks takes as long as a small pass."""
    trainer, hooks = module.trainer, ("on_before_backward", "on_after_backward")
    listeners = [(callback, Callback, hooks) for callback in trainer.callbacks]  # type: ignore[attr-defined]
    return (
        type(trainer.strategy) is SingleDeviceStrategy
        and type(trainer.strategy.precision_plugin) is Precision
        and not any(
            is_overridden(name, of, base)
            for of, base, names in [(module, LightningModule, ("backward", *hooks)), *listeners]
            for name in names
        )
    )
