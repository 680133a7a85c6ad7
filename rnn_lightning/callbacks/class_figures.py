"""`ClassFigures`: what a sequence classifier takes for what, after each validation."""

from typing import TYPE_CHECKING, Any

import torch
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor

from rnn_lightning.callbacks.tensorboard import TensorBoardCallback
from rnn_lightning.models import Seq2Vec

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class ClassFigures(TensorBoardCallback):
    """Draws two figures of a `Seq2Vec` classifier after each validation.

    - `val/confusion`: how often each class was taken for each, over the whole validation.
    - `val/mistakes`: the first few sequences that were got wrong, with truth, prediction and its probability. Where the
      data module can show them (`images`), as `SequenceMNIST` can its digits.

    Args:
        enabled: Whether to draw them.
        mistakes: How many wrong ones are shown at most.
    """

    def __init__(self, enabled: bool = True, mistakes: int = 12) -> None:
        super().__init__(enabled)
        self.mistakes = mistakes
        self._counts: Tensor | None = None  # (O, O)
        self._confusion: Figure | None = None
        self._wrong: list[tuple[Tensor, int, int, float]] = []  # x (T, I), truth, prediction, probability

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Forgets the classes of another fit."""
        self._confusion = None

    def on_validation_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begins anew."""
        self._counts, self._wrong = None, []
        if isinstance(pl_module, Seq2Vec) and pl_module.objective.classifies and self.is_active(trainer):
            size = pl_module.objective.output_size
            self._counts = torch.zeros(size, size, dtype=torch.int64, device=pl_module.device)

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Counts a batch, and keeps its mistakes as long as there is room."""
        if self._counts is None or not isinstance(pl_module, Seq2Vec):
            return
        batch, y_hat, size = pl_module.prepare_batch(batch), outputs["outputs"].T, len(self._counts)  # y_hat (B, O)
        y = pl_module.objective.prepare(y_hat, batch["y"], None)  # (B,)
        self._counts += torch.bincount(y * size + y_hat.argmax(-1), minlength=size * size).view(size, size)
        if len(self._wrong) >= self.mistakes or not hasattr(getattr(trainer, "datamodule", None), "images"):
            return
        probability, prediction = y_hat.softmax(-1).max(-1)
        rows = (prediction != y).nonzero().flatten()[: self.mistakes - len(self._wrong)].tolist()
        if rows:
            x = batch["x"]
            self._wrong += [
                (x[row].float().cpu(), int(y[row]), int(prediction[row]), float(probability[row])) for row in rows
            ]

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Draws, on rank zero."""
        if self._counts is None:
            return
        if trainer.world_size > 1:
            self._counts = trainer.strategy.reduce(self._counts, reduce_op="sum")
        if not trainer.is_global_zero:
            return
        from rnn_lightning.figures import confusion_figure, mistakes_figure

        self._confusion = confusion_figure(self._counts.cpu(), into=self._confusion)
        self.show(trainer, "val/confusion", self._confusion)
        data: Any = getattr(trainer, "datamodule", None)
        if self._wrong and hasattr(data, "images"):
            x, truths, predictions, probabilities = zip(*self._wrong, strict=True)
            images = data.images(torch.stack(x))
            if images is not None:
                self.show(trainer, "val/mistakes", mistakes_figure(images, truths, predictions, probabilities))
