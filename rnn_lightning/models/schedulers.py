"""Learning-rate schedulers: how Lightning is told of them, and their steps under manual optimisation.

Under manual optimisation Lightning steps no scheduler, so a module does it by these functions.
"""

from typing import Any, Literal

from lightning.pytorch import LightningModule
from torch.optim.lr_scheduler import ReduceLROnPlateau

LRInterval = Literal["epoch", "batch", "step"]


def scheduler_config(scheduler: Any, interval: LRInterval, automatic: bool) -> dict[str, Any]:
    """What `configure_optimizers` returns for a scheduler.

    Args:
        scheduler: Any scheduler of torch.optim; `ReduceLROnPlateau` may have an attribute `monitor`.
        interval: When it steps. Automatic optimisation knows "epoch" and "step".
        automatic: Whether optimisation is automatic; else Lightning warns of what it does not use.
    """
    config: dict[str, Any] = {"scheduler": scheduler}
    if automatic:
        config["interval"] = "epoch" if interval == "epoch" else "step"
        if isinstance(scheduler, ReduceLROnPlateau):
            config |= {"monitor": _monitor(scheduler), "interval": "epoch"}
    return config


def step_schedulers(module: LightningModule, interval: LRInterval) -> None:
    """Steps the schedulers of a module under manual optimisation, if its `lr_interval` is this one."""
    if module.lr_interval == interval:
        for scheduler in _schedulers(module):
            if not isinstance(scheduler, ReduceLROnPlateau):
                scheduler.step()


def step_plateaus(module: LightningModule, after: str) -> None:
    """Steps `ReduceLROnPlateau` by its monitored metric, after the epoch of the stage that the metric belongs to."""
    for scheduler in _schedulers(module):
        if isinstance(scheduler, ReduceLROnPlateau) and _monitor(scheduler).partition("/")[0] == after:
            metric = module.trainer.callback_metrics.get(_monitor(scheduler))
            if metric is not None:
                scheduler.step(metric)


def _schedulers(module: LightningModule) -> list[Any]:
    schedulers = module.lr_schedulers() or []
    return schedulers if isinstance(schedulers, list) else [schedulers]


def _monitor(scheduler: Any) -> str:
    """Torch's own class has no `monitor`, `lightning.pytorch.cli.ReduceLROnPlateau` has."""
    return getattr(scheduler, "monitor", None) or "val/loss"
