"""Which checkpoints a run keeps: the best by validation, and the last."""

from pathlib import Path
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint

from rnn_lightning.runs import BEST, LAST


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

        self._saved_step = -1

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Notes the step of the newest checkpoint."""
        self._saved_step = trainer.global_step

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Saves the last state if the run ended after the newest checkpoint."""
        super().on_train_end(trainer, pl_module)
        if self.dirpath is not None and trainer.global_step > self._saved_step:
            path = Path(self.dirpath, f"{LAST}.ckpt")
            trainer.save_checkpoint(path)
            self.last_model_path = str(path)
