"""Gives every run of the command line its callbacks, and checkpoints that are either complete or absent."""

from typing import Any

from jsonargparse import Namespace
from lightning.pytorch.callbacks import ModelSummary, ProgressBar
from lightning.pytorch.plugins.io import CheckpointIO, TorchCheckpointIO
from lightning.pytorch.strategies import Strategy

from rnn_lightning.callbacks import BesideBaseline, BestAndLast, EventFile, StopOnSignal, progress
from rnn_lightning.checkpoint_io import AtomicCheckpointIO

_OWN_WAY = ("fsdp", "deepspeed", "xla", "modelparallel")
"""Strategies that save checkpoints in their own way."""


def callbacks_of(trainer: Namespace, subcommand: str | None) -> list[Any]:
    """Returns the callbacks of a configured Trainer, and those that every run has."""
    callbacks = list(trainer.callbacks or [])
    if trainer.enable_progress_bar is not False and not any(isinstance(c, ProgressBar) for c in callbacks):
        callbacks.append(progress())
    if trainer.enable_model_summary is not False and not any(isinstance(c, ModelSummary) for c in callbacks):
        callbacks.append(ModelSummary(max_depth=2))
    if subcommand == "fit" and trainer.enable_checkpointing is not False:
        callbacks.append(BestAndLast())
    if subcommand in ("fit", "test"):
        callbacks.append(BesideBaseline())
    return [*callbacks, EventFile(), StopOnSignal()]


def save_atomically(trainer: Namespace) -> dict[str, Any]:
    """Lets a configured Trainer save with `AtomicCheckpointIO`, unless the Trainer has its own way to save.

    Returns:
        Arguments to add to the Trainer's: its plugins with this one, or nothing.
    """
    if has_checkpoint_io(trainer):
        return {}
    if not isinstance(strategy := trainer.strategy, Strategy):
        return {"plugins": [*_as_list(trainer.plugins), AtomicCheckpointIO()]}
    if type(strategy.checkpoint_io) is TorchCheckpointIO:
        strategy.checkpoint_io = AtomicCheckpointIO()
    return {}


def has_checkpoint_io(trainer: Namespace) -> bool:
    """Whether you gave a plugin that saves checkpoints, or a strategy that saves them in its own way."""
    strategy = trainer.strategy if isinstance(trainer.strategy, str) else type(trainer.strategy).__name__
    own = any(word in strategy.lower() for word in _OWN_WAY)
    return own or any(isinstance(plugin, CheckpointIO) for plugin in _as_list(trainer.plugins))


def _as_list(value: Any) -> list[Any]:
    return [] if value is None else list(value) if isinstance(value, (list, tuple)) else [value]
