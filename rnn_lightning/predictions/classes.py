"""`ClassTally`: counts which classes a classifier confuses, and keeps some of its mistakes.

Legend: B batch, T time steps, I input features, O outputs.
"""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.strategies import Strategy
from torch import Tensor

from rnn_lightning.models import Seq2Vec
from rnn_lightning.models.ranks import gather

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class ClassTally:
    """Counts predictions batch by batch, and keeps the first few wrong predictions.

    Args:
        classes: O, the number of classes.
        mistakes: The maximum number of wrong predictions to keep.
        device: The device of the counts.

    Attributes:
        counts: (O, O) int64, how often the class of the row was predicted as the class of the column.
    """

    def __init__(self, classes: int, mistakes: int, device: torch.device | str = "cpu") -> None:
        self.counts = torch.zeros(classes, classes, dtype=torch.int64, device=device)
        self.mistakes = mistakes
        self._wrong: list[tuple[Tensor, int, int, float]] = []  # x (T, I), truth, prediction, probability

    @classmethod
    def of(cls, module: LightningModule, mistakes: int) -> "ClassTally | None":
        """Makes a tally for a `Seq2Vec` that classifies; returns None for any other model."""
        if not isinstance(module, Seq2Vec) or not module.objective.classifies:
            return None
        return cls(module.objective.output_size, mistakes, module.device)

    def add(self, x: Tensor, y: Tensor, probability: Tensor) -> None:
        """Adds a batch: x (B, T, I), y (B,) with -100 for missing targets, and probability (B, O)."""
        sure, prediction = probability.max(-1)
        size = len(self.counts)
        y, known = y.flatten(), y.flatten() >= 0
        x, y, sure, prediction = (part[known] for part in (x, y, sure, prediction))
        self.counts += torch.bincount(y * size + prediction, minlength=size * size).view(size, size)
        room = self.mistakes - len(self._wrong)
        for row in (prediction != y).nonzero().flatten()[:room].tolist() if room > 0 else ():
            self._wrong.append((x[row].float().cpu(), int(y[row]), int(prediction[row]), float(sure[row])))

    def reduce(self, strategy: Strategy) -> None:
        """Sums the counts over all processes. Call this method on all ranks."""
        self.counts = torch.stack(gather(strategy, self.counts.cpu())).sum(0)

    def figures(self, data: Any) -> dict[str, Callable[[], "Figure"]]:
        """Returns functions that draw `confusion`, and `mistakes` if there are any and the data can show them.

        Args:
            data: The data module, whose method `images` shows sequences; or None.
        """
        from rnn_lightning import figures

        found: dict[str, Callable[[], Figure]] = {"confusion": partial(figures.confusion_figure, self.counts.cpu())}
        if self._wrong and hasattr(data, "images") and len({x.shape for x, *_ in self._wrong}) == 1:
            x, truths, predictions, probabilities = zip(*self._wrong, strict=True)
            if (images := data.images(torch.stack(x))) is not None:
                found["mistakes"] = partial(figures.mistakes_figure, images, truths, predictions, probabilities)
        return found
