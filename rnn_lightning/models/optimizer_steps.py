"""Backward passes and optimizer steps under manual optimisation, on one device or several.

The gradient of a step is that of the mean loss over all its valid targets, on all ranks. DDP takes the mean of the ranks'
gradients, so what each rank goes back from is scaled by the number of ranks over the number of all targets.
"""

import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.core.optimizer import LightningOptimizer
from torch import Tensor

from rnn_lightning.errors import ArgumentError
from rnn_lightning.models.loss_guard import LossGuard
from rnn_lightning.models.schedulers import step_schedulers


class OptimizerSteps:
    """Takes the optimizer steps of a module.

    Args:
        module: A LightningModule with one optimizer and an attribute `lr_interval`.
    """

    def __init__(self, module: LightningModule) -> None:
        self.module = module
        self.guard = LossGuard()
        self._expected: float | None = None  # targets that losses are divided by while a step is accumulated
        self._targets = 0.0  # valid targets of that step so far

    @property
    def accumulating(self) -> bool:
        """Whether gradients wait for an optimizer step."""
        return self._expected is not None

    def mean_over_ranks(self, loss_sum: Tensor, targets: float) -> tuple[Tensor, float]:
        """A loss whose gradient, after DDP's mean over the ranks, is that of the mean over the targets of all ranks.

        Args:
            loss_sum: Sum of this rank's losses.
            targets: Number of this rank's valid targets.

        Returns:
            The loss, and the number of all targets.
        """
        everywhere = self.reduce(targets, "sum")
        loss = loss_sum * (self.module.trainer.world_size / everywhere) if everywhere else loss_sum * 0.0
        self.guard.check(loss, self.module.trainer.global_step)
        return loss, everywhere

    def step_on(self, loss_sum: Tensor, targets: float) -> None:
        """An optimizer step on the losses of one pass."""
        optimizer = self._optimizer()
        loss, everywhere = self.mean_over_ranks(loss_sum, targets)
        optimizer.zero_grad()
        self.module.manual_backward(loss)
        self._step(optimizer, everywhere)

    def accumulate(self, loss_sum: Tensor, targets: float, expected: int, last: bool) -> None:
        """Adds the gradient of a pass to those of the optimizer step in hand, and takes the step after the last.

        How many targets share the step is known only at its end. Until then losses are divided by the number that is
        expected, and the gradient is put right before the step.

        Args:
            loss_sum: Sum of this rank's losses.
            targets: Number of this rank's valid targets.
            expected: A guess at the targets of the whole step.
            last: Whether this is the last pass of the step.
        """
        optimizer = self._optimizer()
        if self._expected is None:
            optimizer.zero_grad()
            self._expected, self._targets = self.reduce(expected, "max"), 0.0
        loss = loss_sum / self._expected
        self.guard.check(loss, self.module.trainer.global_step)
        with optimizer.toggle_model(sync_grad=last):  # the ranks reduce their gradients once a step
            self.module.manual_backward(loss)
        self._targets += targets
        if last:
            everywhere = self.reduce(self._targets, "sum")
            self._scale_gradients(self._expected * self.module.trainer.world_size / max(everywhere, 1.0))
            self._expected = None
            self._step(optimizer, everywhere)

    def reduce(self, value: float, op: str) -> float:
        """A number, reduced over all ranks by "sum" or "max"."""
        trainer = self.module.trainer
        if trainer.world_size == 1:
            return float(value)
        tensor = torch.tensor(value, dtype=torch.float64, device=self.module.device)
        return float(trainer.strategy.reduce(tensor, reduce_op=op))

    def _scale_gradients(self, scale: float) -> None:
        if scale != 1.0:
            for parameter in self.module.parameters():
                if parameter.grad is not None:
                    parameter.grad.mul_(scale)

    def _step(self, optimizer: LightningOptimizer, targets: float) -> None:
        if targets == 0:  # no valid target anywhere: momentum alone must not move the weights
            return
        optimizer.step()
        torch.clear_autocast_cache()  # it may hold low-precision copies of the weights as they were before the step
        step_schedulers(self.module, "step")

    def _optimizer(self) -> LightningOptimizer:
        optimizer = self.module.optimizers()
        if not isinstance(optimizer, LightningOptimizer):
            raise ArgumentError("truncated BPTT trains with one optimizer: return one from configure_optimizers")
        return optimizer
