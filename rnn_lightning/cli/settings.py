"""Reads a run's name from its configuration, and a model's arguments from a checkpoint."""

import os
from pathlib import Path
from typing import Any

from jsonargparse import Namespace

from rnn_lightning import runs
from rnn_lightning.cli.arguments import Arguments, class_of, maker_of
from rnn_lightning.cli.as_typed import as_typed
from rnn_lightning.cli.signatures import hints_of
from rnn_lightning.cli.sizes import SIZES
from rnn_lightning.cli.training import training_in
from rnn_lightning.errors import ArgumentError
from rnn_lightning.models import SequenceModule
from rnn_lightning.saved import check_parts, read_checkpoint


def run_name(config: Namespace) -> str | None:
    """The run's name: `--name`, else the data's file, else the first `--config`, else the names of both classes."""
    if config.name is not None:
        runs.check_name(config.name)
        return config.name
    path = config.data.get("init_args", {}).get("path") if config.get("data") else None
    if isinstance(path, (str, Path)) and (name := runs.name_of_file(path)) is not None:
        return name  # one of the user's files
    paths = [str(path) for path in config.get("config") or [] if path is not None]
    if paths:
        return Path(paths[0]).stem
    if not config.get("model") or not config.get("data"):
        return None
    texts = [value for value in config.data.get("init_args", {}).values() if isinstance(value, str)]
    file = next((Path(text).stem for text in texts if os.path.isfile(text)), None)
    return f"{config.model.class_path.rpartition('.')[2]}-{file or config.data.class_path.rpartition('.')[2]}"


def arguments_in(checkpoint: str, model: Namespace, typed: Arguments | None, subcommand: str) -> dict[str, Any]:
    """Returns a checkpoint's arguments for a configured model: of the network, without sizes, and of training.

    Args:
        checkpoint: The checkpoint's path.
        model: The configured model.
        typed: The command line's arguments; None for a configuration as a dict.
        subcommand: The subcommand of the command line.
    """
    saved = read_checkpoint(checkpoint)
    if "state_dict" not in saved or "pytorch-lightning_version" not in saved:
        raise ArgumentError(
            f"{checkpoint} is not a checkpoint of a run: give one that a fit wrote, or weights alone as --model.weights"
        )
    check_parts(saved, checkpoint)
    wanted, found = model.class_path.rpartition(".")[2], saved.get("model")
    if found not in (None, wanted):
        raise ArgumentError(
            f"{checkpoint} holds a {found}, but the configuration asks for a {wanted}: give the same recipe's checkpoint"
        )
    # `init_args` also has the arguments that **kwargs passes to a base class.
    accepted = set(model.get("init_args", {}).keys()) - set(SIZES)
    known = saved.get("hyper_parameters", {})
    hints = hints_of(maker_of(model.class_path))
    arguments = {name: as_typed(value, hints.get(name)) for name, value in known.items() if name in accepted}
    own = typed.content.get("model") if typed else None
    recipe = set(own.get("init_args") or ()) if isinstance(own, dict) else set()
    names = typed.typed_of_model if typed else set()
    return arguments | training_in(saved, checkpoint, model, recipe, names, subcommand)


def is_of_another_cell(model: Namespace | None) -> bool:
    """Whether a configured model is one of ours, with cells that have no nonlinearity to choose."""
    if model is None:
        return False
    arguments = model.get("init_args", {})
    ours = arguments.get("cell", "rnn") != "rnn" and "nonlinearity" in arguments
    return ours and issubclass(class_of(model.class_path), SequenceModule)
