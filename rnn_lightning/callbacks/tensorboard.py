"""`TensorBoardCallback`: the base class of the callbacks that write to TensorBoard.

None of these callbacks affects training: they draw no random numbers, leave no gradients, and do not change the
network's mode.
"""

from typing import TYPE_CHECKING

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.trainer.states import TrainerFn
from tensorboard.compat.proto.summary_pb2 import Summary

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter


class TensorBoardCallback(Callback):
    """Base class of callbacks that write to TensorBoard, in fits that log to it.

    Args:
        enabled: Whether the callback does anything.
    """

    def __init__(self, enabled: bool = True) -> None:
        self.enabled = enabled

    def is_active(self, trainer: Trainer) -> bool:
        """Returns whether to write anything. All ranks get the same answer, so that they can reduce together."""
        fits = trainer.state.fn == TrainerFn.FITTING and not trainer.sanity_checking
        return self.enabled and fits and bool(tensorboard_loggers(trainer))

    def writes(self, trainer: Trainer) -> bool:
        """Returns whether this process is the one that writes."""
        return trainer.is_global_zero and self.is_active(trainer)

    def writer(self, trainer: Trainer) -> "SummaryWriter":
        """Returns TensorBoard's writer. Call this method only on rank zero, and if the callback is active."""
        return tensorboard_loggers(trainer)[0].experiment

    def write(self, trainer: Trainer, summary: Summary, step: int | None = None) -> None:
        """Adds a finished summary, at the step at which metrics are logged now, or at an earlier one."""
        file_writer = self.writer(trainer).file_writer
        if file_writer is not None:  # it is None once the writer is closed
            file_writer.add_summary(summary, logged_step(trainer) if step is None else step)


def tensorboard_loggers(trainer: Trainer) -> list[TensorBoardLogger]:
    """Returns the loggers that write for TensorBoard; none under `fast_dev_run`, which replaces all loggers."""
    return [logger for logger in trainer.loggers if isinstance(logger, TensorBoardLogger)]


def as_code(text: str) -> str:
    """Turns text into Markdown that shows it unchanged, line by line."""
    return "\n".join(f"    {line}" for line in text.splitlines())


def steps_on_axis(trainer: Trainer) -> int:
    """Counts the steps so far on the axis of logged metrics: optimizer steps, or batches in manual optimisation."""
    module: LightningModule = trainer.lightning_module
    return trainer.global_step if module.automatic_optimization else trainer.fit_loop.total_batch_idx + 1


def logged_step(trainer: Trainer) -> int:
    """Returns the step, counted from 0, at which metrics of the last batch or of a validation after it are logged."""
    return max(0, steps_on_axis(trainer) - 1)
