"""Stops a run whose loss became NaN or infinite."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from rnn_lightning.errors import NonFiniteLossError


class LossGuard:
    """Checks every loss before its backward pass, and reports the step at which a loss was not finite.

    On a CPU, it raises at once, before the loss can reach the weights. On an accelerator, a check at every step would
    wait for the device, so the first bad step is stored there and read every `interval` steps.

    Args:
        interval: How many steps pass between two checks on an accelerator.
    """

    def __init__(self, interval: int = 50) -> None:
        self.interval = interval
        self._first_bad: Tensor | None = None

    def check(self, loss: Tensor, step: Callable[[], int]) -> None:
        """Checks the loss of optimizer step number `step`, counted from 0.

        Raises:
            NonFiniteLossError: The loss of this step is not finite; on an accelerator, the loss of this step or a
                recent one.
        """
        if loss.device.type == "cpu":
            if not math.isfinite(value := loss.item()):
                self._raise(step(), value)
            return
        finite = torch.isfinite(loss.detach())
        if self._first_bad is None:
            self._first_bad = torch.full((), -1, device=loss.device)
        self._first_bad = torch.where((self._first_bad < 0) & ~finite, step(), self._first_bad)
        if step() % self.interval == 0:
            self.look()

    def look(self) -> None:
        """Raises if a bad step was stored on the accelerator."""
        if self._first_bad is not None and self._first_bad >= 0:
            self._raise(int(self._first_bad), float("nan"))

    @staticmethod
    def _raise(step: int, value: float) -> None:
        raise NonFiniteLossError(
            f"train/loss is {value} at optimizer step {step}: lower the learning rate, clip the gradients "
            "(trainer.gradient_clip_val, with truncated BPTT tbptt.gradient_clip_val), or look for NaN in the data"
        )
