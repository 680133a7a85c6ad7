"""`VitalSigns`: logs training progress in numbers: gradient norm, learning rate, speed and memory."""

import sys
import time
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from torch.nn.utils.rnn import PackedSequence
from torch.optim import Optimizer
from typing_extensions import override

from rnn_lightning.callbacks.tensorboard import TensorBoardCallback, logged_step, steps_on_axis


class VitalSigns(TensorBoardCallback):
    """Logs training progress at the interval of the Trainer's `log_every_n_steps`.

    - `train/grad_norm`: the 2-norm of the whole gradient at the optimizer step, before clipping.
    - `train/lr`: the learning rate of the first parameter group; those of other groups are `train/lr_1`, ...
    - `speed/steps_per_second`, `speed/sequences_per_second`: the speed since the last log, validation or beginning of an
      epoch, in optimizer steps and in sequences on all devices. The time includes data loading, but not validations.
    - `memory/peak_MiB`: the peak memory so far, of tensors on a CUDA device or else of the process.

    Lightning's own monitors do not work here. `LearningRateMonitor` raises an error without a logger.
    `ThroughputMonitor` waits for the GPU at every batch, and assumes that all batches are equally large.

    Args:
        enabled: Whether to log these values.
    """

    def __init__(self, enabled: bool = True) -> None:
        super().__init__(enabled)
        self._every = 0  # steps between two logs; 0 if this callback does nothing on this rank in this run
        self._norm: torch.Tensor | None = None
        self._logged = 0  # the number of steps at the last log
        self._since, self._steps, self._sequences = 0.0, 0, 0

    @override
    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._every = trainer.log_every_n_steps if self.writes(trainer) else 0  # type: ignore[attr-defined]  # set by a connector

    @override
    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._restart_clock(trainer)

    on_validation_end = on_train_epoch_start

    @override
    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer) -> None:
        """Measures the gradient's norm if this batch is logged; if the batch has several steps, the last one counts."""
        this = int(pl_module.automatic_optimization)  # under automatic optimisation, this step is not counted yet
        if self._every and (steps_on_axis(trainer) + this) % self._every == 0:
            self._norm = torch.nn.utils.get_total_norm([p.grad for p in pl_module.parameters() if p.grad is not None])

    @override
    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if not self._every:
            return
        self._sequences += _rows(batch)
        taken = steps_on_axis(trainer)
        if taken % self._every or taken == self._logged:
            return
        seconds = time.perf_counter() - self._since
        values = {
            "speed/steps_per_second": (trainer.global_step - self._steps) / seconds,
            "speed/sequences_per_second": self._sequences * trainer.world_size / seconds,
            "memory/peak_MiB": peak_memory(pl_module.device),
            "train/grad_norm": None if self._norm is None else float(self._norm),
        }
        groups = [group for optimizer in trainer.optimizers for group in optimizer.param_groups]
        values |= {f"train/lr_{i}" if i else "train/lr": float(group["lr"]) for i, group in enumerate(groups)}
        for tag, value in values.items():
            if value is not None:
                self.writer(trainer).add_scalar(tag, value, logged_step(trainer))
        self._logged, self._norm = taken, None
        self._restart_clock(trainer)

    def _restart_clock(self, trainer: Trainer) -> None:
        self._since, self._steps, self._sequences = time.perf_counter(), trainer.global_step, 0


def peak_memory(device: torch.device) -> float | None:
    """Returns the peak memory in MiB, of tensors on a CUDA device or else of the process; None if unknown."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    try:
        import resource  # not on Windows
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 1024)  # macOS counts bytes, Linux KiB


def _rows(batch: Any) -> int:
    """Counts the sequences in a batch, which is a dict with x, a tensor, a packed sequence or a pair."""
    x: Any = batch.get("x") if isinstance(batch, dict) else batch
    while isinstance(x, (tuple, list)) and x:
        if isinstance(x, PackedSequence):
            return int(x.batch_sizes[0])
        x = x[0]
    return len(x) if hasattr(x, "__len__") else 0
