"""After a fit: tests the best checkpoint, and prints how to view the run."""

import traceback
from typing import Any

from lightning.pytorch import LightningDataModule, LightningModule, Trainer
from lightning.pytorch.utilities.model_helpers import is_overridden

from rnn_lightning.callbacks import BestAndLast
from rnn_lightning.callbacks.tensorboard import tensorboard_loggers
from rnn_lightning.errors import reason


def after_fit(trainer: Trainer, model: LightningModule, data: LightningDataModule) -> None:
    """Tests the best checkpoint, and prints how to view the run."""
    callbacks: list[Any] = trainer.callbacks  # type: ignore[attr-defined]
    kept = next((c for c in callbacks if isinstance(c, BestAndLast)), None)
    best = "" if kept is None else kept.best_model_path  # the path would be different after a test in spawned processes
    if best:
        _test(trainer, model, data, best)
    if not trainer.is_global_zero:
        return
    if kept is not None and best:
        score = kept.best_model_score  # spawned processes do not send the score back
        print(f"Best checkpoint: {best}{'' if score is None else f' (val/loss {score:.4g})'}")
    elif kept is not None:
        if is_overridden("val_dataloader", data) and is_overridden("validation_step", model):
            print("No best checkpoint and no test: no val/loss was logged")
        print(f"Last checkpoint: {kept.last_model_path}")
    for logger in tensorboard_loggers(trainer):
        print(f"Look at it: tensorboard --logdir {logger.root_dir}")


def _test(trainer: Trainer, model: LightningModule, data: LightningDataModule, checkpoint: str) -> None:
    """Tests a checkpoint after a fit. The fit has succeeded, so a test that can't run is no failure."""
    own = (("test_step", model), ("test_dataloader", data))
    missing = [f"{type(owner).__name__} has no {name}" for name, owner in own if not is_overridden(name, owner)]
    if missing:
        print(f"No test: {' and '.join(missing)}")
        return
    try:
        trainer.test(model, datamodule=data, ckpt_path=checkpoint)
    except Exception as error:
        if trainer.world_size > 1:
            raise  # otherwise the other processes would wait for this one
        line = reason(error)
        if line is None:
            traceback.print_exc()
        print(f"No test: {line or repr(error)}")
