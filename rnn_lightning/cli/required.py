"""Arguments that a model of your own requires: a checkpoint that has them spares you from typing them again."""

import inspect
from typing import Any

import yaml

from rnn_lightning import runs
from rnn_lightning.cli.arguments import Arguments, class_of
from rnn_lightning.cli.sizes import SIZES
from rnn_lightning.errors import ArgumentError
from rnn_lightning.recipes import recipe_or_file
from rnn_lightning.saved import read_checkpoint


def required_from_checkpoint(arguments: Arguments) -> dict[str, Any] | None:
    """A configuration of the model with the required arguments that were not given; None if there are none.

    It is for a first parse only, by which the checkpoint that `best` or `last` means is found: until then, the newest
    one of this model serves, whatever its run's name and data.

    Raises:
        ArgumentError: The checkpoint does not have them.
    """
    if arguments.ckpt_path is None:
        return None
    given: dict[str, Any] = {}
    for config in arguments.configs:
        _merge(given, _read(config))
    class_path = arguments.last_of("--model") or given.get("model", {}).get("class_path")
    cls = _class(class_path)
    if cls is None:
        return None
    there = arguments.typed_of_model | set(given.get("model", {}).get("init_args") or ())
    needed = [name for name in _required(cls) if name not in there and name not in SIZES]
    checkpoint = _checkpoint(arguments, given, class_path) if needed else None
    if checkpoint is None:
        return None
    known = read_checkpoint(checkpoint).get("hyper_parameters", {})
    missing = [f"--model.{name}" for name in needed if name not in known]
    if missing:
        raise ArgumentError(
            f"{cls.__name__} requires arguments that {checkpoint} does not have: give {' and '.join(missing)}, and call "
            "save_hyperparameters() in its __init__ so that further checkpoints have them"
        )
    return {"model": {"class_path": class_path, "init_args": {name: known[name] for name in needed}}}


def _read(config: str) -> Any:
    """The content of a `--config`; an unreadable one gets its error from the parser."""
    found = recipe_or_file(config)
    try:
        if found != config or not config.startswith("{"):
            with open(found, encoding="utf-8") as file:
                found = file.read()
        return yaml.safe_load(found)
    except (OSError, yaml.YAMLError):
        return None


def _merge(into: dict[str, Any], other: Any) -> None:
    for key, value in other.items() if isinstance(other, dict) else ():
        if key == "model" and isinstance(value, str):
            value = {"class_path": value}
        if isinstance(value, dict) and isinstance(into.get(key), dict):
            _merge(into[key], value)
        else:
            into[key] = value


def _class(class_path: Any) -> type | None:
    """The class of an import path; None for anything else, which gets its error from the parser."""
    if not isinstance(class_path, str) or "." not in class_path:
        return None  # a short name is that of a class of this package or of Lightning
    try:
        found = class_of(class_path)
    except (ImportError, AttributeError):
        return None
    return found if isinstance(found, type) else None


def _required(cls: type) -> list[str]:
    """The arguments without a default, also those of classes above to which `**kwargs` are passed on."""
    names: list[str] = []
    for base in cls.__mro__:
        if "__init__" not in vars(base):
            continue
        parameters = list(inspect.signature(base.__init__).parameters.values())[1:]  # type: ignore[misc]
        names += [
            p.name for p in parameters if p.default is p.empty and p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)
        ]
        if not any(p.kind is p.VAR_KEYWORD for p in parameters):
            break
    return names


def _checkpoint(arguments: Arguments, given: dict[str, Any], class_path: str) -> str | None:
    path = str(arguments.ckpt_path)
    trainer: Any = given.get("trainer") if isinstance(given.get("trainer"), dict) else {}
    logger: Any = trainer.get("logger") if isinstance(trainer.get("logger"), dict) else {}
    roots = [
        arguments.last_of("--trainer.logger.save_dir"),
        (logger.get("init_args") or {}).get("save_dir"),
        arguments.last_of("--trainer.default_root_dir"),
        trainer.get("default_root_dir"),
        runs.RUNS,
    ]
    found = (runs.newest_of_model(path, str(root), class_path, arguments.last_of("--name")) for root in roots if root)
    return next((checkpoint for checkpoint in found if checkpoint is not None), None)
