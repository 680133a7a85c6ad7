"""`Update`: backward passes and optimizer steps under manual optimisation, on one device or several.

The gradient of a step is that of the mean loss over all its valid targets, on all ranks. DDP takes the mean of the ranks'
gradients, so what each rank goes back from is scaled by the number of ranks over the number of all targets.
"""

from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

import torch
from lightning.pytorch.strategies import ParallelStrategy, Strategy
from torch import Tensor
from torch.optim import Optimizer

from rnn_lightning.models.loss_guard import LossGuard
from rnn_lightning.models.ranks import reduce, world_size


@dataclass
class Pending:
    """What an optimizer step in the making has so far; it may take several batches.

    Attributes:
        divisor: What its losses are divided by; None before its first pass.
        targets: Its valid targets on this rank.
    """

    divisor: float | None = None
    targets: float = 0.0


def mean_over_ranks(loss: Tensor, targets: float, strategy: Strategy) -> tuple[Tensor, float]:
    """A loss whose gradient, after DDP's mean over the ranks, is that of the mean over the targets of all ranks.

    Args:
        loss: Sum of this rank's losses.
        targets: Number of this rank's valid targets.
        strategy: The Trainer's.

    Returns:
        The loss, and the number of all targets.
    """
    everywhere = reduce(strategy, targets, "sum")
    return loss * (world_size(strategy) / everywhere if everywhere else 0.0), everywhere


@dataclass
class Update:
    """Takes the optimizer steps of a batch.

    Attributes:
        optimizer: Lightning's (whose steps the Trainer counts), or torch's own.
        strategy: The Trainer's.
        parameters: Gives all parameters of the model.
        pending: The step in the making, from the batch before.
        guard: Looks at every loss.
        schedulers: Step after each optimizer step.
        each: Whether every pass has a step of its own.
        batches: How many batches share a step otherwise.
        steps_taken: Optimizer steps of the run so far.
        max_steps: Where to stop; -1 for nowhere.
    """

    optimizer: Optimizer
    strategy: Strategy
    parameters: Callable[[], Iterable[Tensor]]
    pending: Pending = field(default_factory=Pending)
    guard: LossGuard = field(default_factory=LossGuard)
    schedulers: Sequence[Any] = ()
    each: bool = True
    batches: int = 1
    steps_taken: Callable[[], int] = lambda: 0
    max_steps: int = -1

    def add(self, loss: Tensor | None, targets: float, windows: int, last: bool) -> None:
        """Goes back from the losses of a pass, and adds its gradient to those of the step in the making.

        How many targets share a step of several passes is known only at its end. Until then losses are divided by a
        guess, and the gradient is put right before the step. The ranks reduce their gradients once a step.

        Args:
            loss: Sum of this rank's losses; None on a rank that has no more data while others have.
            targets: Number of this rank's valid targets.
            windows: The passes of a batch.
            last: Whether this is the last pass of the step.
        """
        first, pending = self.pending.divisor is None, self.pending
        if first:
            self.optimizer.zero_grad()
        if loss is None:  # a zero that reaches every parameter: this rank takes part in the reductions
            loss = torch.as_tensor(sum(parameter.flatten()[:0].sum() for parameter in self.parameters()))
        if self.each:
            loss, pending.targets = mean_over_ranks(loss, targets, self.strategy)
            pending.divisor = 1.0
        else:
            if first:
                guess = max(targets, 1.0) * windows * self.batches
                pending.divisor, pending.targets = reduce(self.strategy, guess, "max"), 0.0
            loss = loss / (pending.divisor or 1.0)
            pending.targets += targets
        self.guard.check(loss, self.steps_taken)
        waits = not last and isinstance(self.strategy, ParallelStrategy)
        with self.strategy.block_backward_sync() if waits else nullcontext():  # type: ignore[attr-defined]
            self.strategy.backward(loss, None)

    def step(self) -> bool:
        """Steps optimizer and schedulers, unless there was no valid target; returns whether there is a step left."""
        pending, targets = self.pending, self.pending.targets
        if not self.each:
            targets = reduce(self.strategy, targets, "sum")
            self._scale_gradients((pending.divisor or 1.0) * world_size(self.strategy) / (targets or 1.0))
        pending.divisor = None
        if targets == 0:  # momentum alone must not move the weights
            return True
        self.optimizer.step()
        torch.clear_autocast_cache()  # it may hold low-precision copies of the weights as they were before the step
        for scheduler in self.schedulers:
            scheduler.step()
        return not 0 <= self.max_steps <= self.steps_taken()

    def _scale_gradients(self, scale: float) -> None:
        if scale != 1.0:
            for parameter in self.parameters():
                if parameter.grad is not None:
                    parameter.grad.mul_(scale)
