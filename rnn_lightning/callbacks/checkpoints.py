"""Which checkpoints a run keeps: the best by validation, the last, and one from time to time in between."""

import time
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from typing_extensions import override

from rnn_lightning.errors import ArgumentError
from rnn_lightning.runs import BEST, LAST
from rnn_lightning.saved import read_checkpoint


class BestAndLast(ModelCheckpoint):
    """Keeps `best.ckpt`, of the lowest `val/loss`, and `last.ckpt`, also of a run that ends within an epoch."""

    def __init__(self) -> None:
        super().__init__(
            filename=BEST,
            monitor="val/loss",
            mode="min",
            save_last=True,
            auto_insert_metric_name=False,  # "val/loss" has a slash
            enable_version_counter=False,
        )

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Saves the last state if the run ended after the newest `last.ckpt`."""
        if self.dirpath is None or trainer.fast_dev_run:  # type: ignore[attr-defined]
            return
        super().on_train_end(trainer, pl_module)
        path = f"{self.dirpath}/{LAST}.ckpt"
        # One rank looks, and all save together.
        if trainer.strategy.broadcast(trainer.is_global_zero and self._step_of(path) < trainer.global_step):
            trainer.save_checkpoint(path, weights_only=False)
            self.last_model_path = path

    def _step_of(self, path: str) -> int:
        """The optimizer step of a checkpoint; -1 if there is none that can be read: it is then written anew."""
        try:
            return int(read_checkpoint(path)["global_step"])
        except ArgumentError:
            return -1


class PeriodicCheckpoint(Callback):
    """Saves `last.ckpt` within an epoch, every so many optimizer steps or seconds, also under truncated BPTT.

    Lightning's `ModelCheckpoint(train_time_interval=...)` never fires under manual optimisation, and its
    `every_n_train_steps` only where n and the steps of a batch have a common multiple. This one saves at the end of the
    batch in which the time came, or of the group of batches that share a step (`tbptt.step_every`), so that a resumed run
    equals an undisturbed one.

    Args:
        every_n_steps: Optimizer steps between two checkpoints; None for no such rule.
        every_n_seconds: Seconds between two checkpoints; None for no such rule.
        dirpath: Where `last.ckpt` goes, a path or a URL; the run's other checkpoints lie there if it is not given.

    Raises:
        ArgumentError: Neither rule is given, or one is not above 0.
    """

    def __init__(
        self, every_n_steps: int | None = None, every_n_seconds: float | None = None, dirpath: str | None = None
    ) -> None:
        if every_n_steps is None and every_n_seconds is None:
            raise ArgumentError("PeriodicCheckpoint needs every_n_steps or every_n_seconds: give one of them")
        for name, value in (("every_n_steps", every_n_steps), ("every_n_seconds", every_n_seconds)):
            if value is not None and not value > 0:
                raise ArgumentError(f"PeriodicCheckpoint: {name}={value!r}, give a number above 0")
        self.every_n_steps, self.every_n_seconds, self.dirpath = every_n_steps, every_n_seconds, dirpath
        self._step, self._time = 0, 0.0

    @override
    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._step, self._time = trainer.global_step, time.monotonic()
        if self.dirpath is None:
            folders = [c.dirpath for c in trainer.checkpoint_callbacks if isinstance(c, ModelCheckpoint) and c.dirpath]
            self.dirpath = str(folders[0] if folders else Path(trainer.default_root_dir, "checkpoints"))

    @override
    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if getattr(pl_module, "accumulating", False) or not self._is_time(trainer):
            return
        assert self.dirpath is not None, "known from on_train_start"
        self._step, self._time = trainer.global_step, time.monotonic()
        trainer.save_checkpoint(f"{self.dirpath}/{LAST}.ckpt", weights_only=False)

    def _is_time(self, trainer: Trainer) -> bool:
        # A multiple of n lies between the last checkpoint and now.
        n = self.every_n_steps
        if n is not None and trainer.global_step // n > self._step // n:
            return True
        if self.every_n_seconds is None:
            return False
        # The processes' clocks differ, and all must save together.
        return bool(trainer.strategy.broadcast(time.monotonic() - self._time >= self.every_n_seconds))
