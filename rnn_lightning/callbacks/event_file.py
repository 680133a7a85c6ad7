"""`EventFile`: lets a fit continue if TensorBoard's event file can no longer be written."""

import threading
from functools import partialmethod
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.utilities import rank_zero_warn
from typing_extensions import override

from rnn_lightning.callbacks.tensorboard import tensorboard_loggers
from rnn_lightning.errors import is_of_disk


class EventFile(Callback):
    """Lets a fit continue without its event file if the disk is full, and warns in one line.

    A checkpoint that can't be written still ends the run, which would be lost without checkpoints. TensorBoard writes
    in a thread of its own, whose traceback is suppressed.
    """

    def __init__(self) -> None:
        self._files: dict[TensorBoardLogger, _Lenient] = {}

    @override
    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if stage != "fit":  # otherwise, the test after a fit would begin another event file
            lost = [logger for logger, file in self._files.items() if file.lost]
            trainer.loggers = [logger for logger in trainer.loggers if logger not in lost]
            self._files = {}

    @override
    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not trainer.is_global_zero:
            return
        for logger in tensorboard_loggers(trainer):
            if (file_writer := logger.experiment.file_writer) is not None:
                self._files[logger] = file_writer.event_writer = _Lenient(file_writer.event_writer)
        if not isinstance(threading.excepthook, _Quiet):
            threading.excepthook = _Quiet(threading.excepthook)


class _Lenient:
    """Writes events until the disk fails, and then ignores them."""

    def __init__(self, writer: Any) -> None:
        self.writer, self.lost = writer, False

    def _try(self, name: str, *arguments: Any) -> None:
        if self.lost:
            return
        try:
            getattr(self.writer, name)(*arguments)
        except OSError as error:
            if not is_of_disk(error):
                raise
            self.lost = True
            rank_zero_warn(
                f"TensorBoard's event file in {self.writer.get_logdir()} cannot be written ({error.strerror}): "
                "the run continues without it"
            )

    add_event = partialmethod(_try, "add_event")
    flush = partialmethod(_try, "flush")
    close = partialmethod(_try, "close")

    def get_logdir(self) -> str:
        return str(self.writer.get_logdir())


class _Quiet:
    """Suppresses the traceback of an error that `_Lenient` has already reported in one line."""

    def __init__(self, other: Any) -> None:
        self.other = other

    def __call__(self, arguments: Any) -> None:
        of_tensorboard = type(arguments.thread).__module__.startswith("tensorboard.")
        if not (of_tensorboard and is_of_disk(arguments.exc_value)):
            self.other(arguments)
