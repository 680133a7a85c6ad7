"""`Epochs`: what happens where an epoch of training, validation, test or predict begins and ends."""

from math import isfinite

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.trainer.states import TrainerFn

from rnn_lightning.errors import NonFiniteLossError
from rnn_lightning.models.carry import CarriedStates
from rnn_lightning.models.loss_guard import LossGuard
from rnn_lightning.models.means import Means
from rnn_lightning.models.schedulers import check_total_steps, step_plateaus, step_schedulers


class Epochs(Callback):
    """Begins states and metrics anew, logs the metrics, and steps the schedulers that Lightning does not step.

    Args:
        carried: The states that go on from batch to batch.
        means: The metrics.
        guard: Of the training losses.
    """

    def __init__(self, carried: CarriedStates, means: Means, guard: LossGuard) -> None:
        self.carried, self.means, self.guard = carried, means, guard

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Refuses a scheduler that would end before the run."""
        if pl_module.automatic_optimization and getattr(pl_module, "lr_interval", "epoch") != "epoch":
            check_total_steps(pl_module)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """The sequences of an epoch begin anew; its metrics have, when the last one ended."""
        self.carried.clear("train")

    def on_validation_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """The sequences and metrics of a validation begin anew."""
        self._begin("val")

    def on_test_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """The sequences and metrics of a test begin anew."""
        self._begin("test")

    def on_predict_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """The sequences to predict begin anew."""
        self._begin("predict")

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Looks for a loss that was not finite, logs the metrics as they were met in training, and steps schedulers."""
        self.guard.look()
        self._log("train", trainer, pl_module)
        self.means.clear("train")
        if not pl_module.automatic_optimization:
            step_schedulers(pl_module, "epoch")
            step_plateaus(pl_module, after="train")

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Logs, stops where the weights have become useless, and steps `ReduceLROnPlateau` under manual optimisation."""
        loss = self._log("val", trainer, pl_module).get("loss", 0.0)
        if trainer.state.fn == TrainerFn.FITTING and not isfinite(loss):
            raise NonFiniteLossError(
                f"val/loss is {loss} at optimizer step {trainer.global_step}: lower the learning rate, clip the "
                "gradients, or look for NaN in the data"
            )
        if not pl_module.automatic_optimization and not trainer.sanity_checking:
            step_plateaus(pl_module, after="val")

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Logs."""
        self._log("test", trainer, pl_module)

    def _begin(self, stage: str) -> None:
        self.carried.clear(stage)
        self.means.clear(stage)

    def _log(self, stage: str, trainer: Trainer, module: LightningModule) -> dict[str, float]:
        means = self.means.compute(stage, trainer.strategy)
        for name, value in means.items():
            module.log(f"{stage}/{name}", value, prog_bar=stage == "val", sync_dist=True)
        return means
