"""`VitalSigns`: how the training goes along, as numbers: gradient norm, learning rate, speed and memory."""

import sys
import time
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from torch.optim import Optimizer

from rnn_lightning.callbacks.tensorboard import TensorBoardCallback, logged_step, steps_taken

_MIB = 2**20


class VitalSigns(TensorBoardCallback):
    """Logs every `log_every_n_steps` steps of the Trainer.

    - `train/grad_norm`: the 2-norm of the whole gradient, as the optimizer step finds it before clipping.
    - `train/lr`: the learning rate, of the first group of parameters; of others `train/lr_1`, ...
    - `speed/steps_per_second`, `speed/sequences_per_second`: since the last time, loading of data included, validations
      not; optimizer steps, and sequences of all devices.
    - `memory/peak_MiB`: the most that was in use so far: on CUDA of the device's memory by tensors, else of the
      process's.

    Args:
        enabled: Whether to log them.
    """

    def __init__(self, enabled: bool = True) -> None:
        super().__init__(enabled)
        self._logs = False  # whether this callback does anything in this run, on this rank
        self._norm: torch.Tensor | None = None
        self._logged = 0  # steps at the last log
        self._since, self._steps, self._sequences = 0.0, 0, 0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Counts from here."""
        self._logs = self.is_active(trainer) and trainer.is_global_zero and self._every(trainer) > 0

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """What lies between epochs is not training."""
        self._begin(trainer)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Nor is a validation."""
        self._begin(trainer)

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer) -> None:
        """Takes the gradient's norm, if this batch is logged; of several steps in a batch the last one's holds."""
        if self._logs:
            taken = steps_taken(trainer) + int(pl_module.automatic_optimization)  # this step included
            if taken % self._every(trainer) == 0:
                gradients = [p.grad for p in pl_module.parameters() if p.grad is not None]
                self._norm = torch.nn.utils.get_total_norm(gradients)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Logs, if it is time."""
        if not self._logs:
            return
        self._sequences += _rows(batch)
        taken = steps_taken(trainer)
        if taken % self._every(trainer) != 0 or taken == self._logged:
            return
        seconds = time.perf_counter() - self._since
        values = {
            "speed/steps_per_second": (trainer.global_step - self._steps) / seconds,
            "speed/sequences_per_second": self._sequences * trainer.world_size / seconds,
        }
        if self._norm is not None:
            values["train/grad_norm"] = float(self._norm)
        for number, group in enumerate(group for optimizer in trainer.optimizers for group in optimizer.param_groups):
            values["train/lr" if number == 0 else f"train/lr_{number}"] = float(group["lr"])
        peak = peak_memory(pl_module.device)
        if peak is not None:
            values["memory/peak_MiB"] = peak
        writer, step = self.writer(trainer), logged_step(trainer)
        for tag, value in values.items():
            writer.add_scalar(tag, value, step)
        self._logged, self._norm = taken, None
        self._begin(trainer)

    def _begin(self, trainer: Trainer) -> None:
        self._since, self._steps, self._sequences = time.perf_counter(), trainer.global_step, 0

    @staticmethod
    def _every(trainer: Trainer) -> int:
        return trainer.log_every_n_steps  # type: ignore[attr-defined]  # set by the Trainer's logger connector


def peak_memory(device: torch.device) -> float | None:
    """The most memory in use so far, in MiB: by tensors on a CUDA device, else by the process; None where unknown."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / _MIB
    try:
        import resource  # not on Windows
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (_MIB if sys.platform == "darwin" else 1024)  # macOS counts bytes, Linux KiB


def _rows(batch: Any) -> int:
    """The number of sequences in a batch: a dict with x, a tensor, or a pair."""
    x: Any = batch.get("x") if isinstance(batch, dict) else batch
    while isinstance(x, (tuple, list)) and x:
        x = x[0]
    return len(x) if hasattr(x, "__len__") else 0
