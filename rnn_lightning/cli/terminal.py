"""Keeps the terminal quiet: drops messages that appear in every run and that no user can act on."""

import logging
import warnings

_LOGGERS = ("pytorch.utilities.rank_zero", "fabric.utilities.rank_zero", "fabric.utilities.seed")
_NOISE = ("Tip:", "available: False", "Seed set to", "Trainer already configured")


def quiet() -> None:
    """Hides messages of Lightning and torch that appear in every run and that you can't act on."""
    for name in _LOGGERS:
        logging.getLogger(f"lightning.{name}").addFilter(_is_news)
    warnings.filterwarnings("ignore", message=".*`isinstance\\(treespec, LeafSpec\\)` is deprecated.*")
    warnings.filterwarnings("ignore", message=".*does not have many workers.*")  # batches are drawn as whole tensors
    warnings.filterwarnings("ignore", message="Checkpoint directory .* exists and is not empty")  # as after a resume
    warnings.filterwarnings("ignore", message="Experiment logs directory .* exists and is not empty")  # which is kept
    warnings.filterwarnings("ignore", message="Detected call of `lr_scheduler.step")  # at an epoch's end after a resume
    warnings.filterwarnings("ignore", message="LightningCLI's args parameter is intended")
    warnings.filterwarnings(
        "ignore", message="Be aware that when using `ckpt_path`"
    )  # in a test, about callbacks of the fit


def _is_news(record: logging.LogRecord) -> bool:
    return not any(noise in record.getMessage() for noise in _NOISE)
