"""`Epochs`: what happens where an epoch of training, validation, test or predict begins and ends."""

from math import isfinite
from typing import TYPE_CHECKING

from lightning.pytorch.trainer.states import TrainerFn

from rnn_lightning.errors import NonFiniteLossError
from rnn_lightning.models.carry import CarriedStates
from rnn_lightning.models.loss_guard import LossGuard
from rnn_lightning.models.means import Means
from rnn_lightning.models.schedulers import step_plateaus, step_schedulers

if TYPE_CHECKING:
    from rnn_lightning.models.tbptt_module import TruncatedBPTTModule


class Epochs:
    """Begins states and metrics anew, logs the metrics, and steps the schedulers that Lightning does not step.

    Args:
        carried: The states that go on from batch to batch.
        means: The metrics.
        guard: Of the training losses.
    """

    def __init__(self, carried: CarriedStates, means: Means, guard: LossGuard) -> None:
        self.carried, self.means, self.guard = carried, means, guard

    def begin(self, stage: str) -> None:
        """The sequences of an epoch begin anew, and its metrics; those of training did when its last epoch ended."""
        self.carried.clear(stage)
        if stage != "train":
            self.means.clear(stage)

    def end(self, stage: str, module: "TruncatedBPTTModule") -> None:
        """Logs the metrics, stops where the weights have become useless, and under manual optimisation steps schedulers."""
        self.guard.look()
        trainer, means = module.trainer, self.means.compute(stage, module.trainer.strategy)
        for name, value in {**means, **module.derived_metrics(stage, means)}.items():
            module.log(f"{stage}/{name}", value, prog_bar=stage == "val", sync_dist=True)
        loss = means.get("loss", 0.0)
        if stage == "val" and trainer.state.fn == TrainerFn.FITTING and not isfinite(loss):
            raise NonFiniteLossError(
                f"val/loss is {loss} at optimizer step {trainer.global_step}: lower the learning rate, clip the "
                "gradients, or look for NaN in the data"
            )
        if stage == "train":
            self.means.clear("train")
        if not module.automatic_optimization and trainer.state.fn == TrainerFn.FITTING and not trainer.sanity_checking:
            if stage == "train":
                step_schedulers(module, "epoch")
            step_plateaus(module, after=stage)
