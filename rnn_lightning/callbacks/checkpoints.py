"""Keeps a run's best and last checkpoints on every machine, and optionally saves the last one at intervals."""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from typing_extensions import override

from rnn_lightning.errors import ArgumentError
from rnn_lightning.files import local_path, write_atomically
from rnn_lightning.models.place import waits_for_epoch_end, within_step
from rnn_lightning.models.ranks import reduce
from rnn_lightning.runs import BEST, LAST


def last_of(trainer: Trainer) -> str:
    """Returns the path of a run's `last.ckpt`, in the folder of its other checkpoints."""
    kept = [c for c in trainer.checkpoint_callbacks if isinstance(c, ModelCheckpoint) and c.dirpath]
    kept.sort(key=lambda callback: not isinstance(callback, BestAndLast))
    return f"{kept[0].dirpath if kept else Path(trainer.default_root_dir, 'checkpoints')}/{LAST}.ckpt"


def save(trainer: Trainer, path: str) -> None:
    """Saves a checkpoint, and copies it to the machines that cannot see it. Call this function on all ranks."""
    trainer.save_checkpoint(path, weights_only=False)
    _copy_to_nodes(trainer, path)


class BestAndLast(ModelCheckpoint):
    """Keeps `best.ckpt`, which has the lowest `val/loss`, and `last.ckpt`, which is saved after each epoch and run."""

    def __init__(self) -> None:
        super().__init__(
            filename=BEST,
            monitor="val/loss",
            mode="min",
            auto_insert_metric_name=False,  # the slash in "val/loss" would make a folder
            enable_version_counter=False,
        )
        self._saved = (0, 0)  # the epoch and the step of last.ckpt

    @override
    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        super().on_train_start(trainer, pl_module)
        self._saved = (trainer.current_epoch, trainer.global_step)

    @override
    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Saves the previous epoch. It only ends here, as schedulers step after `on_train_epoch_end`."""
        self._save_last(trainer)

    @override
    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._save_last(trainer)

    @override
    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._save_best(super().on_train_epoch_end, trainer, pl_module)

    @override
    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._save_best(super().on_validation_end, trainer, pl_module)

    @override
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restores the state, with all paths in the run's current folder, as the run may have been moved."""
        paths = ("best_model_path", "kth_best_model_path", "last_model_path")
        here = {key: self._here(value) if key in paths else value for key, value in state_dict.items()}
        here["dirpath"] = self.dirpath
        here["best_k_models"] = {self._here(path): score for path, score in state_dict["best_k_models"].items()}
        super().load_state_dict(here)

    def _here(self, path: str) -> str:
        return path and f"{self.dirpath}/{path.replace(os.sep, '/').rpartition('/')[2]}"

    def _save_best(self, hook: Callable[[Trainer, LightningModule], None], trainer: Trainer, module: Any) -> None:
        """Calls a hook of Lightning's if there is a `val/loss`, and copies the checkpoint that it may have saved."""
        if self.monitor not in trainer.callback_metrics:
            return  # your own module may not log it, or all targets may be missing
        before = self.best_model_score
        hook(trainer, module)
        if self.best_model_score is not before:
            _copy_to_nodes(trainer, self.best_model_path)

    def _save_last(self, trainer: Trainer) -> None:
        now = (trainer.current_epoch, trainer.global_step)
        if trainer.fast_dev_run or now == self._saved:  # type: ignore[attr-defined]
            return
        self._saved, self.last_model_path = now, last_of(trainer)
        save(trainer, self.last_model_path)


class PeriodicCheckpoint(Callback):
    """Saves `last.ckpt` within an epoch, at intervals of optimizer steps or seconds, even under truncated BPTT.

    Under manual optimisation, Lightning's `ModelCheckpoint(train_time_interval=...)` never saves, and
    `every_n_train_steps` only saves if a batch's last step is a multiple of n. This callback saves at the end of the
    batch in which a checkpoint is due, or of the group of batches that share a step (`tbptt.step_every`). So a resumed
    run equals an uninterrupted one.

    Args:
        every_n_steps: Optimizer steps between two checkpoints; None to ignore steps.
        every_n_seconds: Seconds between two checkpoints; None to ignore time.
        dirpath: The folder of `last.ckpt`, as a path or a URL; by default, the folder of the run's other checkpoints.

    Raises:
        ArgumentError: Neither interval is given, or an interval is not above 0.
    """

    def __init__(
        self, every_n_steps: int | None = None, every_n_seconds: float | None = None, dirpath: str | None = None
    ) -> None:
        if every_n_steps is None and every_n_seconds is None:
            raise ArgumentError("PeriodicCheckpoint needs every_n_steps or every_n_seconds: give one of them")
        for name, value in (("every_n_steps", every_n_steps), ("every_n_seconds", every_n_seconds)):
            if value is not None and not value > 0:
                raise ArgumentError(f"PeriodicCheckpoint: {name}={value!r}: give a number above 0")
        self.every_n_steps, self.every_n_seconds, self.dirpath = every_n_steps, every_n_seconds, dirpath
        self._step, self._time = 0, 0.0
        self._waits = False  # whether to save at the end of the epoch instead

    @override
    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._step, self._time = trainer.global_step, time.monotonic()

    @override
    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if within_step(trainer, pl_module) or not self._is_time(trainer):
            return
        self._step, self._time = trainer.global_step, time.monotonic()
        self._waits = waits_for_epoch_end(trainer)
        if not self._waits:
            self._save(trainer)

    @override
    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._waits:
            self._save(trainer)

    on_train_end = on_train_epoch_start

    def _save(self, trainer: Trainer) -> None:
        self._waits = False
        save(trainer, last_of(trainer) if self.dirpath is None else f"{self.dirpath}/{LAST}.ckpt")

    def _is_time(self, trainer: Trainer) -> bool:
        # A checkpoint is due if a multiple of n has been reached since the last one.
        n = self.every_n_steps
        if n is not None and trainer.global_step // n > self._step // n:
            return True
        if self.every_n_seconds is None:
            return False
        # The processes' clocks differ, but all must save together.
        return bool(trainer.strategy.broadcast(time.monotonic() - self._time >= self.every_n_seconds))


def _copy_to_nodes(trainer: Trainer, path: str) -> None:
    """Copies rank 0's file to the same path on each machine that cannot see it. Call this function on all ranks."""
    if trainer.num_nodes == 1 or (place := local_path(path)) is None:
        return
    strategy = trainer.strategy
    stamp = strategy.broadcast(_stamp(place))
    lacks = trainer.local_rank == 0 and stamp != _stamp(place)
    if reduce(strategy, lacks, "max"):
        content = strategy.broadcast(Path(place).read_bytes() if trainer.is_global_zero else b"")
        if lacks and not trainer.is_global_zero:
            write_atomically(place, content)
        strategy.barrier()


def _stamp(path: str) -> tuple[int, int] | None:
    """Returns a stamp that identifies a version of a file on any machine; None if there is no file."""
    try:
        status = Path(path).stat()
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns
