"""Tells the configured loggers that keep a folder for each run where to write, before they are made."""

from typing import Any

from jsonargparse import Namespace
from lightning.pytorch.loggers import CSVLogger

from rnn_lightning import claims, runs
from rnn_lightning.cli.signatures import class_of

UNNAMED = "lightning_logs"
"""The name that Lightning's loggers have by default."""


def folder_loggers(trainer: Any, known: bool = True) -> list[Any]:
    """The configurations of the loggers that say where they write or, with `known=False`, of those that do not."""
    loggers = trainer.logger if isinstance(trainer.logger, list) else [trainer.logger]
    ours = [x for x in loggers if isinstance(x, Namespace) and issubclass(class_of(x.class_path), runs.FOLDERS)]
    return [x for x in ours if ("save_dir" in x.get("init_args", {})) is known]


def root_of_runs(trainer: Any) -> str:
    """The folder of all runs: from the first logger that says where it writes, else from the Trainer."""
    if trainer is None:
        return runs.RUNS  # `check_nulls` then reports it
    first = next((logger.init_args.save_dir for logger in folder_loggers(trainer)), None)
    return str(trainer.default_root_dir or ".") if first in (None, runs.RUNS) else str(first)


def direct_loggers(config: Any, root: str, checkpoint: str | None) -> None:
    """Makes each logger write to a new place; if a run continues, the first logger writes into its folder.

    Args:
        config: The configuration of a fit.
        root: The folder of all runs.
        checkpoint: The checkpoint from which the fit continues, if there is one.

    Raises:
        ArgumentError: Nothing can be written there, or another fit is writing there now.
    """
    resumed = runs.resumed_folder(checkpoint)
    runs.check_root(root)
    if resumed is not None and not config.trainer.fast_dev_run:
        runs.check_root(resumed)
        claims.claim(resumed)
    for number, logger in enumerate(folder_loggers(config.trainer)):
        if number == 0 and resumed is not None:
            _continue_in(resumed, logger)
        else:
            _begin(logger.init_args, config.name, root)


def _begin(arguments: Any, name: str, root: str) -> None:
    if arguments.get("name") == UNNAMED:
        arguments.name = name
    if arguments.save_dir == runs.RUNS:
        arguments.save_dir = root
    if arguments.get("version") is not None:
        folder = f"{arguments.save_dir}/{arguments.get('name') or ''}"
        arguments.version = runs.free_version(folder, arguments.version, arguments.get("sub_dir"))


def _continue_in(folder: str, logger: Any) -> None:
    arguments = logger.init_args
    above, _, version = folder.rpartition("/")
    if not above or not {"name", "version"} <= set(arguments.keys()):
        return  # this logger cannot be told where to write
    save_dir, _, name = above.rpartition("/") if "/" in above else (above, "", "")
    arguments.save_dir, arguments.name, arguments.version = save_dir, name, version
    if arguments.get("sub_dir"):
        arguments.sub_dir = None  # the folder already includes it
    if issubclass(class_of(logger.class_path), CSVLogger):
        runs.keep(f"{folder}/metrics.csv")
