"""What a configuration says of its run: its name, its folder, its loggers; and a checkpoint of its network."""

import importlib
import inspect
from pathlib import Path
from typing import Any

from jsonargparse import Namespace
from lightning.pytorch.loggers import CSVLogger

from rnn_lightning import claims, runs
from rnn_lightning.cli.sizes import SIZES
from rnn_lightning.errors import ArgumentError
from rnn_lightning.saved import check_parts, read_checkpoint

_UNNAMED = "lightning_logs"
"""The name that Lightning's loggers have by default."""


def run_name(config: Namespace) -> str | None:
    """The run's name: what `--name` says, else the data's file, else the first `--config`, else of both classes."""
    if config.name is not None:
        runs.check_name(config.name)
        return config.name
    path = config.data.get("init_args", {}).get("path") if config.get("data") else None
    if isinstance(path, (str, Path)):
        return Path(path).stem  # a file of the user's
    paths = [str(path) for path in config.get("config") or [] if path is not None]
    if paths:
        return Path(paths[0]).stem
    if not config.get("model") or not config.get("data"):
        return None
    texts = [value for value in config.data.get("init_args", {}).values() if isinstance(value, str)]
    file = next((Path(text).stem for text in texts if Path(text).is_file()), None)
    return f"{config.model.class_path.rpartition('.')[2]}-{file or config.data.class_path.rpartition('.')[2]}"


def runs_folder(trainer: Namespace) -> str:
    """The folder of all runs: that of the first logger which keeps one for each run, else the Trainer's."""
    folder = trainer.default_root_dir or "."
    for logger in _loggers(trainer)[:1]:
        folder = folder if logger.init_args.save_dir == runs.RUNS else logger.init_args.save_dir
    return str(folder)


def place_loggers(config: Namespace, checkpoint: str | None) -> None:
    """Names the loggers of a fit and sets their folders: in that of the run, where it continues from a checkpoint."""
    root = runs_folder(config.trainer)
    runs.check_root(root)
    if (folder := runs.resumed_folder(checkpoint)) is not None and not config.trainer.fast_dev_run:
        runs.check_root(folder)
        claims.claim(folder)
    for number, logger in enumerate(_loggers(config.trainer)):
        init = logger.init_args
        if number == 0 and folder is not None and folder.count("/") > 1:
            init.save_dir, init.name, init.version = folder.rsplit("/", 2)
            if issubclass(class_of(logger.class_path), CSVLogger):
                runs.keep(f"{folder}/metrics.csv")
            continue
        if init.get("name") == _UNNAMED:
            init.name = config.name
        if init.save_dir == runs.RUNS:
            init.save_dir = root


def network_in(checkpoint: str, class_path: str) -> dict[str, Any]:
    """The arguments of a checkpoint's network that a model of this class takes, but for those that the data gives."""
    saved = read_checkpoint(checkpoint)
    if "state_dict" not in saved or "pytorch-lightning_version" not in saved:
        raise ArgumentError(
            f"{checkpoint} is no checkpoint of a run: give one that a fit has written, or weights alone as --model.weights"
        )
    check_parts(saved, checkpoint)
    wanted, found = class_path.rpartition(".")[2], saved.get("model")
    if found not in (None, wanted):
        raise ArgumentError(
            f"{checkpoint} holds a {found}, the configuration asks for a {wanted}: give the checkpoint of the same recipe"
        )
    accepted = set(inspect.signature(class_of(class_path)).parameters) - set(SIZES)
    return {name: value for name, value in saved.get("hyper_parameters", {}).items() if name in accepted}


def class_of(class_path: str) -> type:
    """The class of a path such as `rnn_lightning.models.Seq2Seq`."""
    module, _, name = class_path.rpartition(".")
    return getattr(importlib.import_module(module), name)


def _loggers(trainer: Namespace) -> list[Namespace]:
    """The configured loggers that keep a folder for each run."""
    loggers = trainer.logger if isinstance(trainer.logger, list) else [trainer.logger]
    return [x for x in loggers if isinstance(x, Namespace) and issubclass(class_of(x.class_path), runs.FOLDERS)]
