"""`main`: runs the command line, and turns how it ends into an exit code and, for an expected error, one line."""

import logging
import os
import signal
import sys
import warnings
from typing import Any

import torch
from lightning.pytorch import LightningDataModule, LightningModule
from torch.multiprocessing import ProcessExitedException

from rnn_lightning import __version__, claims
from rnn_lightning.cli.arguments import Parser, fail
from rnn_lightning.cli.command_line import CLI
from rnn_lightning.cli.save_config import SaveConfig
from rnn_lightning.errors import reason

EPILOG = "Each has its own help, as in: export --help"

_LOGGERS = ("pytorch.utilities.rank_zero", "fabric.utilities.rank_zero", "fabric.utilities.seed")
_NOISE = ("Tip:", "available: False", "Seed set to", "Trainer already configured")
_WARNINGS = (
    r".*`isinstance\(treespec, LeafSpec\)` is deprecated.*",
    ".*does not have many workers.*",  # batches are drawn as whole tensors
    "Checkpoint directory .* exists and is not empty",  # as after a resume
    "Experiment logs directory .* exists and is not empty",  # which is kept
    "Detected call of `lr_scheduler.step",  # at an epoch's end after a resume
    "LightningCLI's args parameter is intended",
    "Be aware that when using `ckpt_path`",  # in a test, about callbacks of the fit
)
"""Patterns of warnings; `_NOISE` has parts of other messages."""


def main(args: Any = None, cli: type[CLI] = CLI) -> None:
    """Runs the command line.

    Args:
        args: The arguments as a list, or a configuration as a dict; None for the arguments of the process.
        cli: `CLI`, or your own subclass that does more before or after a subcommand.
    """
    _quiet()
    if args is None and os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())  # `rnn-lightning --data my_data.Sales` finds the same modules as `python -m`
    on_ctrl_c = signal.getsignal(signal.SIGINT)
    try:
        cli(
            LightningModule,
            LightningDataModule,
            subclass_mode_model=True,
            subclass_mode_data=True,
            save_config_callback=SaveConfig,
            seed_everything_default=0,
            parser_class=Parser,
            parser_kwargs={"version": __version__, "prog": "rnn_lightning", "epilog": EPILOG, "allow_abbrev": False},
            auto_configure_optimizers=False,
            load_from_checkpoint_support=False,  # checkpoints contain plain values, no classes
            args=args,
        )
    except (KeyboardInterrupt, SystemExit) as end:
        _leave_group()
        if KeyboardInterrupt in (type(end), type(end.__context__)):
            signal.signal(signal.SIGINT, on_ctrl_c)  # Lightning ignores it from the first one on, and exits with 1
            raise SystemExit(128 + signal.SIGINT) from None
        raise
    except ProcessExitedException as error:
        sys.exit(error.exit_code)  # a spawned process has already said why
    except Exception as error:
        line = reason(error)
        if line is None:
            raise
        fail(line)
    finally:
        claims.release_all()
    _leave_group()


def _leave_group() -> None:
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()  # otherwise its threads may outlive the interpreter, which then aborts


def _quiet() -> None:
    """Hides messages of Lightning and torch that appear in every run and that no user can act on."""
    for name in _LOGGERS:
        logging.getLogger(f"lightning.{name}").addFilter(_is_news)
    for message in _WARNINGS:
        warnings.filterwarnings("ignore", message=message)


def _is_news(record: logging.LogRecord) -> bool:
    return not any(noise in record.getMessage() for noise in _NOISE)
