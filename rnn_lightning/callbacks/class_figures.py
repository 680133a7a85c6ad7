"""`ClassFigures`: shows which classes a sequence classifier confuses, after validations."""

from typing import Any

from lightning.pytorch import LightningModule, Trainer
from typing_extensions import override

from rnn_lightning.callbacks.figure_callback import SHARE, FigureCallback
from rnn_lightning.predictions import ClassTally


class ClassFigures(FigureCallback):
    """Draws two figures of a `Seq2Vec` classifier after validations.

    - `val/confusion`: how often each class was predicted as each class, over the whole validation.
    - `val/mistakes`: the first few misclassified sequences, each with its true class, its predicted class and the
      prediction's probability. This needs a data module that can show sequences as `images`, such as `SequenceMNIST`.

    Args:
        enabled: Whether to draw the figures.
        share: The share of the training time that the figures may take before the last validation; 1 to draw them after
            every validation.
        mistakes: The maximum number of misclassified sequences to show.
    """

    def __init__(self, enabled: bool = True, share: float = SHARE, mistakes: int = 6) -> None:
        super().__init__(enabled, share)
        self.mistakes = mistakes
        self._tally: ClassTally | None = None

    @override
    def on_validation_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._tally = ClassTally.of(pl_module, self.mistakes) if self.is_active(trainer) else None

    @override
    def on_validation_batch_end(
        self, trainer: Trainer, pl_module: Any, outputs: Any, batch: Any, *args: Any, **kwargs: Any
    ) -> None:
        if self._tally is not None:
            batch, y_hat = pl_module.prepare_batch(batch), outputs["outputs"].T  # (B, O)
            valid = pl_module.valid(batch)
            y = pl_module.objective.prepare(y_hat, batch["y"], valid)  # (B,)
            y = y if valid is None else y.masked_fill(~valid, -100)
            self._tally.add(batch["x"], y, y_hat.softmax(-1))

    @override
    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._tally is None:
            return
        self._tally.reduce(trainer.strategy)
        if not trainer.is_global_zero:
            return
        figures = self._tally.figures(getattr(trainer, "datamodule", None))
        self.show(trainer, {f"val/{name}": draw for name, draw in figures.items()})
