"""`HyperParameters`: shows a run's settings beside its metrics, so that TensorBoard can compare runs."""

from collections.abc import Mapping
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from torch.utils.tensorboard.summary import hparams
from typing_extensions import override

from rnn_lightning.callbacks.tensorboard import TensorBoardCallback
from rnn_lightning.models import SequenceModule


class HyperParameters(TensorBoardCallback):
    """Fills TensorBoard's HParams tab with the run's settings and its validation and test metrics.

    The tab shows the last value of each metric, so it includes unfinished runs. Test metrics appear after a test.
    (Lightning would log the final values once more, at step 0 of the same charts.)

    Args:
        enabled: Whether to write the settings.
    """

    @override
    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self.writes(trainer):
            names = pl_module.metric_names if isinstance(pl_module, SequenceModule) else ["loss"]
            metrics = {f"{stage}/{name}": 0.0 for stage in ("val", "test") for name in names}  # the values are not used
            for summary in hparams(settings(trainer, pl_module), metrics)[:2]:
                self.write(trainer, summary)

    @override
    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self.writes(trainer) and not trainer.interrupted:
            self.write(trainer, hparams({}, {})[2])


_LEFT_OUT = {"input_size", "output_size", "task", "bias", "data_dir", "verify", "num_workers"}
_LEFT_OUT |= {"eval_batch_size", "eval_windows"}
"""Settings that follow from others or do not change what is learned. They would only make the table wider."""


def settings(trainer: Trainer, module: LightningModule) -> dict[str, int | float | str]:
    """Collects a run's settings in a flat dict: model, data, optimizer, truncation, and the Trainer's main arguments.

    Settings that are false, None, zero or empty are left out. TensorBoard initially shows only five settings, in
    alphabetical order.
    """
    found: dict[str, Any] = {**module.hparams, **getattr(getattr(trainer, "datamodule", None), "hparams", {})}
    for optimizer in trainer.optimizers[:1]:
        found["optimizer"] = type(optimizer).__name__
        found |= {name: optimizer.defaults.get(name) for name in ("lr", "weight_decay", "momentum")}
    for config in trainer.lr_scheduler_configs[:1]:
        found["lr_scheduler"] = type(config.scheduler).__name__
    loss, tbptt = getattr(getattr(module, "objective", None), "loss", None), getattr(module, "tbptt", None)
    found |= {
        "loss": getattr(loss, "name", None),
        "tbptt": {name: getattr(tbptt, name, None) for name in ("k1", "k2", "step_every")},
        "gradient_clip_val": trainer.gradient_clip_val or getattr(tbptt, "gradient_clip_val", None),
        "carry_state": getattr(module, "carry_state", None),
        "max_epochs": trainer.max_epochs,
        "precision": trainer.precision if trainer.precision != "32-true" else None,
        "devices": trainer.world_size if trainer.world_size > 1 else None,
    }
    return {
        key: str(value).lower() if isinstance(value, bool) else value
        for key, value in _flat(found)
        if isinstance(value, bool | int | float | str) and value and key not in _LEFT_OUT
    }


def _flat(values: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    flat: list[tuple[str, Any]] = []
    for key, value in values.items():
        flat += _flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else [(f"{prefix}{key}", value)]
    return flat
