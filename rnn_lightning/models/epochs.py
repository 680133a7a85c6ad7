"""Runs what is due at the beginning and end of an epoch of training, validation, test or predict."""

from math import isfinite
from typing import TYPE_CHECKING

from lightning.pytorch import Trainer
from lightning.pytorch.trainer.states import TrainerFn

from rnn_lightning.errors import NonFiniteLossError
from rnn_lightning.models.metrics import Metrics
from rnn_lightning.models.schedulers import step_plateaus, step_schedulers

if TYPE_CHECKING:
    from rnn_lightning.models.tbptt_module import TruncatedBPTTModule


def stage_of(trainer: Trainer) -> str:
    """Returns what a Trainer runs: "train", "val" (also for the sanity check), "test" or "predict"."""
    assert trainer.state.stage is not None, "it runs"
    return trainer.state.stage.dataloader_prefix or ""


def begin(module: "TruncatedBPTTModule", stage: str) -> None:
    """Clears the carried state, and the means and metrics of an interrupted epoch."""
    module.carried.clear(stage)
    module.means.clear(stage)
    for metrics in _added(module):
        metrics.clear(stage)


def end(module: "TruncatedBPTTModule") -> None:
    """Logs the metrics, stops if the weights are useless, and steps the schedulers that Lightning does not step."""
    stage = stage_of(module.trainer)
    for metrics in _added(module) if stage != "train" else ():
        metrics.log(stage, module)
    module.guard.look()
    trainer, means = module.trainer, module.means.compute(stage, module.trainer.strategy)
    for name, value in {**means, **module.derived_metrics(stage, means)}.items():
        module.log(f"{stage}/{name}", value, prog_bar=stage == "val", sync_dist=True)
    loss = means.get("loss", 0.0)
    if stage == "val" and trainer.state.fn == TrainerFn.FITTING and not isfinite(loss):
        raise NonFiniteLossError(
            f"val/loss is {loss} at optimizer step {trainer.global_step}: lower the learning rate, clip the "
            "gradients, or look for NaN in the data"
        )
    module.means.clear(stage)
    if trainer.state.fn == TrainerFn.FITTING and not trainer.sanity_checking:
        if stage == "train" and not module.automatic_optimization:
            step_schedulers(module, "epoch")
        step_plateaus(module, after=stage)


def _added(module: "TruncatedBPTTModule") -> list[Metrics]:
    """Returns the metrics that were added; in a module of your own, `metrics` may be something else."""
    return [metrics] if isinstance(metrics := getattr(module, "metrics", None), Metrics) else []


def is_logged(trainer: Trainer, batch_idx: int) -> bool:
    """Whether this batch's loss is logged. For a small network, logging every loss would take 10 % of the time."""
    if batch_idx == 0 or trainer.is_last_batch or trainer.accumulate_grad_batches > 1:
        return True
    every: int = trainer.log_every_n_steps  # type: ignore[attr-defined]  # set by the Trainer's logger connector
    return every > 0 and (trainer.fit_loop.total_batch_idx + 1) % every == 0
