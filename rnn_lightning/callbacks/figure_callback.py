"""`FigureCallback`: the base class of the callbacks that draw figures in TensorBoard, at little cost to the fit."""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from lightning.pytorch import LightningModule, Trainer
from tensorboard.compat.proto.summary_pb2 import Summary
from typing_extensions import override

from rnn_lightning.callbacks.tensorboard import TensorBoardCallback, logged_step
from rnn_lightning.errors import ArgumentError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Draw = Callable[[], "Figure"]

SHARE = 0.01
"""The share of the training time that the figures of one callback take by default."""

_NEXT = 0.25
"""About how many seconds the next figures take. They count as spent before the figures are drawn."""


class FigureCallback(TensorBoardCallback):
    """Base class of callbacks that draw figures after validations.

    The figures of the last validation are always drawn, even if the fit is stopped. Those of earlier validations are
    drawn if figures then take no more than `share` of the time since training began. So short epochs, which end more
    often than anyone looks, are not slowed down, and after long epochs all figures are drawn.

    Args:
        enabled: Whether to draw the figures.
        share: The share of the training time that figures may take; 1 to draw them after every validation.

    Raises:
        ArgumentError: `share` is not between 0 and 1.
    """

    def __init__(self, enabled: bool = True, share: float = SHARE) -> None:
        if not 0 <= share <= 1:
            raise ArgumentError(f"share={share}: give the share of the training time, between 0 and 1")
        super().__init__(enabled)
        self.share = share
        self._began, self._spent = 0.0, _NEXT  # seconds
        self._waiting: dict[str, tuple[Draw, int]] = {}  # the newest figures, if they were not drawn yet

    @override
    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._began, self._spent, self._waiting = time.perf_counter(), _NEXT, {}

    @override
    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._draw_waiting(trainer)

    @override
    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        if not isinstance(exception, Exception):  # stopped by a signal; after an error, drawing may fail as well
            self._draw_waiting(trainer)

    def show(self, trainer: Trainer, figures: dict[str, Draw]) -> None:
        """Adds the figures of a validation as images, now or when training ends, unless newer ones replace them.

        Args:
            trainer: The Trainer, at the step at which the validation's metrics are logged.
            figures: For each tag, a function that draws the figure from values that no longer change.
        """
        self._waiting = {tag: (draw, logged_step(trainer)) for tag, draw in figures.items()}
        if self.share == 1 or self._spent <= self.share * (time.perf_counter() - self._began):
            self._draw_waiting(trainer)

    def _draw_waiting(self, trainer: Trainer) -> None:
        waiting, self._waiting = self._waiting, {}  # so that figures that can't be drawn are tried only once
        if not waiting:
            return
        from rnn_lightning.figures import png  # before the clock starts, as it loads matplotlib

        start = time.perf_counter()
        for tag, (draw, step) in waiting.items():
            picture, width, height = png(draw())  # `add_figure` imports pyplot, and takes twice as long to compress
            image = Summary.Image(width=width, height=height, colorspace=3, encoded_image_string=picture)
            self.write(trainer, Summary(value=[Summary.Value(tag=tag, image=image)]), step)
        self._spent += time.perf_counter() - start
