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
        self._batch: tuple[Tensor, Tensor] | None = None  # the outputs and targets of the batch in hand
        self._confusion: Figure | None = None
        self._wrong: list[tuple[Tensor, int, int, float]] = []  # x (T, I), truth, prediction, probability

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Forgets the classes of another fit."""
        self._confusion = None

    def on_validation_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begins to listen."""
        self._counts, self._wrong = None, []
        if isinstance(pl_module, Seq2Vec) and pl_module.objective.classifies and self.is_active(trainer):
            size = pl_module.objective.output_size
            self._counts = torch.zeros(size, size, dtype=torch.int64, device=pl_module.device)
            pl_module.observers.append(self._observe)

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Keeps the batch's mistakes, as long as there is room."""
        if self._counts is None or self._batch is None or not isinstance(pl_module, Seq2Vec):
            return
        y_hat, y = self._batch
        self._batch = None
        if len(self._wrong) >= self.mistakes or not hasattr(getattr(trainer, "datamodule", None), "images"):
            return
        probability, prediction = y_hat.softmax(-1).max(-1)
        rows = (prediction != y).nonzero().flatten()[: self.mistakes - len(self._wrong)].tolist()
        if rows:
            x = pl_module.prepare_batch(batch)["x"]
            self._wrong += [
                (x[row].float().cpu(), int(y[row]), int(prediction[row]), float(probability[row])) for row in rows
            ]

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Draws, on rank zero."""
        self._stop_listening(pl_module)
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

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Leaves no listener behind."""
        self._stop_listening(pl_module)

    def _stop_listening(self, module: LightningModule) -> None:
        if isinstance(module, Seq2Vec) and self._observe in module.observers:
            module.observers.remove(self._observe)

    def _observe(self, y_hat: Tensor, y: Tensor, valid: Tensor | None) -> None:
        """Counts a batch: y_hat (B, O), y (B,)."""
        assert self._counts is not None, "made before it listens"
        size = len(self._counts)
        places = y * size + y_hat.argmax(-1)
        self._counts += torch.bincount(places, minlength=size * size).view(size, size)
        self._batch = (y_hat, y)
