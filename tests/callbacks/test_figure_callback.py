"""How often figures are drawn: after the last validation always, and before it within a share of the training time."""

import contextlib

import pytest
import torch
from lightning.pytorch import Trainer
from lightning.pytorch.loggers import TensorBoardLogger
from matplotlib.figure import Figure
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch.utils.data import DataLoader
from typing_extensions import override

from rnn_lightning.callbacks import figure_callback
from rnn_lightning.callbacks.figure_callback import FigureCallback
from rnn_lightning.errors import ArgumentError
from rnn_lightning.models import Seq2Seq

EPOCH, DRAWING = 10.0, 2.0


class Clock:
    """A clock that only moves when it is told to."""

    def __init__(self):
        self.now = 1000.0

    def perf_counter(self):
        return self.now


class Drawing(FigureCallback):
    """Draws two figures after each validation, in two seconds together, after epochs of some seconds."""

    def __init__(self, clock, epoch, stops_after=None, **arguments):
        super().__init__(**arguments)
        self.clock, self.epoch, self.stops_after = clock, epoch, stops_after

    @override
    def on_train_epoch_start(self, trainer, pl_module):
        if trainer.current_epoch == self.stops_after:
            raise SystemExit(130)

    @override
    def on_validation_epoch_end(self, trainer, pl_module):
        if self.writes(trainer):
            self.clock.now += self.epoch
            self.show(trainer, {"a": lambda epoch=trainer.current_epoch: self.draw(epoch), "b": lambda: self.draw(0)})

    def draw(self, epoch):
        self.clock.now += DRAWING / 2
        return Figure(figsize=(1 + epoch, 1), dpi=100)


@pytest.fixture
def fit(tmp_path, monkeypatch):
    """A function that fits with the callback, and returns the epochs at which each figure of the last fit was drawn."""

    def run(epochs, seconds=EPOCH, fits=1, **arguments):
        clock = Clock()
        monkeypatch.setattr(figure_callback, "time", clock)
        batch = {"x": torch.randn(2, 3, 1), "y": torch.randn(2, 3, 1)}
        quiet = {"enable_checkpointing": False, "enable_progress_bar": False, "enable_model_summary": False}
        callback = Drawing(clock, seconds, **arguments)
        train, val = (DataLoader([batch] * n, batch_size=None) for n in (5, 1))
        for number in range(fits):
            logger = TensorBoardLogger(tmp_path, "", number)
            trainer = Trainer(accelerator="cpu", max_epochs=epochs, logger=logger, callbacks=[callback], **quiet)
            with pytest.raises(SystemExit) if callback.stops_after else contextlib.nullcontext():
                trainer.fit(Seq2Seq(1, 1, hidden_size=2), train, val)
        events = EventAccumulator(logger.log_dir, size_guidance={"images": 0}).Reload()
        found = {tag: [event.step // 5 for event in events.Images(tag)] for tag in events.Tags()["images"]}
        widths = [event.width for event in events.Images("a")] if found else []
        assert widths == [100 * (1 + epoch) for epoch in found.get("a", [])], "each shows the values of its own step"
        return found

    return run


@pytest.mark.parametrize(
    ("share", "drawn"),
    [
        (1.0, [0, 1, 2, 3, 4, 5, 6, 7, 8]),
        (0.2, [0, 1, 2, 3, 4, 5, 6, 7, 8]),
        (0.1, [0, 2, 3, 5, 7, 8]),  # at first, a quarter of a second is counted
        (0.07, [0, 3, 5, 8]),
        (0.01, [2, 8]),
        (0.0, [8]),
    ],
)
def test_figures_take_no_more_than_their_share_until_the_last(fit, share, drawn):
    assert fit(9, share=share) == {"a": drawn, "b": drawn}


def test_a_share_of_1_draws_after_every_validation_even_if_drawing_takes_longer_than_training(fit):
    assert fit(3, seconds=0.01, share=1.0) == {"a": [0, 1, 2], "b": [0, 1, 2]}


def test_a_second_fit_has_a_share_of_its_own_time(fit):
    """What the first fit spent on its figures does not count."""
    drawn = [0, 2, 3, 5, 7, 8]  # as in a first fit
    assert fit(9, share=0.1, fits=2) == {"a": drawn, "b": drawn}


def test_the_only_validation_is_drawn_once(fit):
    assert fit(1, share=0.0) == {"a": [0], "b": [0]}


def test_the_last_validation_of_a_fit_that_is_stopped_is_drawn(fit):
    assert fit(9, share=0.0, stops_after=3) == {"a": [2], "b": [2]}


def test_a_disabled_callback_draws_nothing(fit):
    assert fit(2, enabled=False) == {}


@pytest.mark.parametrize("share", [-0.1, 1.5, float("nan")])
def test_a_share_is_between_none_and_all(share):
    with pytest.raises(ArgumentError, match=r"share=.*between 0 and 1"):
        FigureCallback(share=share)
