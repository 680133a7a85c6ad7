"""Gives every run of the command line its callbacks, and checkpoints that are either complete or absent."""

from typing import Any

from jsonargparse import Namespace
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import ModelSummary, ProgressBar
from lightning.pytorch.plugins.io import CheckpointIO, TorchCheckpointIO

from rnn_lightning.callbacks import BesideBaseline, BestAndLast, EventFile, StopOnSignal, progress
from rnn_lightning.checkpoint_io import AtomicCheckpointIO


def callbacks_of(trainer: Namespace, subcommand: str | None) -> list[Any]:
    """Returns the callbacks of a configured Trainer, and those that every run has."""
    given = trainer.callbacks or []
    callbacks = [*given] if isinstance(given, list) else [given]
    if trainer.enable_progress_bar is not False and not any(isinstance(c, ProgressBar) for c in callbacks):
        callbacks.append(progress())
    if trainer.enable_model_summary is not False and not any(isinstance(c, ModelSummary) for c in callbacks):
        callbacks.append(ModelSummary(max_depth=2))
    if subcommand == "fit" and trainer.enable_checkpointing is not False:
        callbacks.append(BestAndLast())
    if subcommand in ("fit", "test"):
        callbacks.append(BesideBaseline())
    return [*callbacks, EventFile(), StopOnSignal()]


def save_atomically(trainer: Trainer, plugins: Any) -> None:
    """Makes a Trainer save with `AtomicCheckpointIO`, unless its configured plugins or its strategy save otherwise."""
    given = plugins if isinstance(plugins, (list, tuple)) else [plugins]
    if any(isinstance(plugin, CheckpointIO) for plugin in given):
        return
    if type(trainer.strategy.checkpoint_io) is TorchCheckpointIO:
        trainer.strategy.checkpoint_io = AtomicCheckpointIO()
