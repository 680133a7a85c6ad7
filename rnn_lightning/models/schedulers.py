"""Learning-rate schedulers: their configuration for Lightning, and their steps under manual optimisation.

Under manual optimisation, Lightning steps no scheduler, so modules step them with these functions. Schedulers that
follow a metric are stepped here even under automatic optimisation, if `scheduler_config` made their configuration.
"""

from typing import Any, Literal

from lightning.pytorch import LightningModule
from lightning.pytorch.cli import LRSchedulerCallable
from torch.optim import Optimizer
from torch.optim.lr_scheduler import ConstantLR, LinearLR, ReduceLROnPlateau, SequentialLR

from rnn_lightning.errors import ArgumentError, check_ints

LRInterval = Literal["epoch", "batch", "step"]
_NEVER = 1 << 62
"""A frequency so low that Lightning never steps the scheduler."""


class WarmUp(SequentialLR):
    """Linear warm-up of the learning rate, followed by another scheduler: a `SequentialLR` that can be written in YAML.

    Args:
        optimizer: The optimizer.
        steps: How many scheduler steps the warm-up takes; `lr_interval` says what a step is.
        start_factor: The factor for the learning rate in the first step.
        then: Makes the scheduler that follows; by default, the learning rate stays constant after the warm-up.

    Raises:
        ArgumentError: `steps` is below 1, or `then` is `ReduceLROnPlateau`, which follows a metric.
    """

    def __init__(
        self, optimizer: Optimizer, steps: int, start_factor: float = 0.01, then: LRSchedulerCallable | None = None
    ) -> None:
        check_ints(1, steps=steps)
        after = ConstantLR(optimizer, factor=1.0) if then is None else then(optimizer)
        if isinstance(after, ReduceLROnPlateau):
            raise ArgumentError("WarmUp: then=ReduceLROnPlateau follows a metric, not steps: give another scheduler")
        first = LinearLR(optimizer, start_factor=start_factor, total_iters=steps)
        super().__init__(optimizer, [first, after], milestones=[steps])


def scheduler_config(scheduler: Any, interval: LRInterval, automatic: bool) -> dict[str, Any]:
    """Makes what `configure_optimizers` returns for a scheduler.

    Args:
        scheduler: Any scheduler of torch.optim; `ReduceLROnPlateau` may have an attribute `monitor`.
        interval: When it steps. Automatic optimisation only has "epoch" and "step".
        automatic: Whether optimisation is automatic. If not, entries that Lightning would not use are left out, as it
            would warn about them.
    """
    config: dict[str, Any] = {"scheduler": scheduler, "interval": "epoch" if interval == "epoch" else "step"}
    if isinstance(scheduler, ReduceLROnPlateau):
        config["interval"] = "epoch"
        ours = _monitor(scheduler).partition("/")[0] in ("train", "val")
        if automatic:
            config["monitor"] = _monitor(scheduler)
            # Lightning's own step would come after the best checkpoint is saved, and would be skipped in a resumed
            # epoch.
            config["frequency"] = _NEVER if ours else 1
        elif not ours:
            raise ArgumentError(
                f"lr_scheduler.monitor={_monitor(scheduler)!r}: give a metric such as val/loss or train/loss"
            )
    return config


def check_total_steps(module: LightningModule) -> None:
    """Raises `ArgumentError` if a scheduler with a fixed length, such as OneCycleLR, has fewer steps than the run."""
    for scheduler in _schedulers(module):
        total, steps = getattr(scheduler, "total_steps", None), module.trainer.estimated_stepping_batches
        if total is not None and steps > total:
            raise ArgumentError(
                f"lr_scheduler.total_steps={total} is less than this run's {steps:g} steps: set it to {steps:g}, or train "
                "for fewer epochs"
            )


def schedulers_of(module: LightningModule, interval: LRInterval) -> list[Any]:
    """Returns the schedulers that do not follow a metric; none if the module's `lr_interval` is not `interval`."""
    if module.lr_interval != interval:
        return []
    return [scheduler for scheduler in _schedulers(module) if not isinstance(scheduler, ReduceLROnPlateau)]


def step_schedulers(module: LightningModule, interval: LRInterval) -> None:
    """Steps a module's schedulers under manual optimisation, if its `lr_interval` is `interval`."""
    for scheduler in schedulers_of(module, interval):
        scheduler.step()


def step_plateaus(module: LightningModule, after: str) -> None:
    """Steps `ReduceLROnPlateau` with its monitored metric, after the epoch of the stage that the metric belongs to.

    Under automatic optimisation, Lightning itself steps those that a module of your own returns.
    """
    for config in module.trainer.lr_scheduler_configs:
        scheduler, ours = config.scheduler, not module.automatic_optimization or config.frequency == _NEVER
        if ours and isinstance(scheduler, ReduceLROnPlateau) and _monitor(scheduler).partition("/")[0] == after:
            metrics = module.trainer.callback_metrics
            if _monitor(scheduler) not in metrics:
                raise ArgumentError(
                    f"lr_scheduler.monitor={_monitor(scheduler)!r} is not logged: choose one of "
                    f"{', '.join(sorted(metrics))}"
                )
            scheduler.step(metrics[_monitor(scheduler)])


def _schedulers(module: LightningModule) -> list[Any]:
    schedulers = module.lr_schedulers() or []
    return schedulers if isinstance(schedulers, list) else [schedulers]


def _monitor(scheduler: Any) -> str:
    """Torch's own class has no `monitor`, but `lightning.pytorch.cli.ReduceLROnPlateau` has one."""
    return getattr(scheduler, "monitor", None) or "val/loss"
