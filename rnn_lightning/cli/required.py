"""Takes the required arguments of your own model from a checkpoint, so that you need not type them again."""

from inspect import Parameter
from typing import Any

from rnn_lightning import runs
from rnn_lightning.cli.arguments import Arguments, class_of
from rnn_lightning.cli.as_typed import as_typed
from rnn_lightning.cli.signatures import hints_of, parameters_of
from rnn_lightning.cli.sizes import SIZES
from rnn_lightning.errors import ArgumentError
from rnn_lightning.saved import read_checkpoint


def required_from_checkpoint(arguments: Arguments) -> dict[str, Any] | None:
    """Returns a configuration with the model's required arguments that were not given; None if all were given.

    The configuration is only for a first parse, which finds the checkpoint that `best` or `last` means. That parse uses
    the newest checkpoint of the model, with any run's name and data.

    Raises:
        ArgumentError: The checkpoint lacks one of these arguments.
    """
    if arguments.ckpt_path is None:
        return None
    given = arguments.content
    class_path = arguments.last_of("--model") or given.get("model", {}).get("class_path")
    cls = _class(class_path)
    if cls is None:
        return None
    there = arguments.typed_of_model | set(given.get("model", {}).get("init_args") or ())
    required = (parameter.name for parameter in parameters_of(cls) if parameter.default is Parameter.empty)
    needed = [name for name in required if name not in there and name not in SIZES]
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
    hints = hints_of(cls)
    found = {name: as_typed(known[name], hints.get(name)) for name in needed}
    return {"model": {"class_path": class_path, "init_args": found}}


def _class(class_path: Any) -> type | None:
    """The class of an import path; None for anything else, which the parser reports."""
    if not isinstance(class_path, str) or "." not in class_path:
        return None  # a short name is a class of this package or of Lightning
    try:
        return class_of(class_path)
    except (ImportError, AttributeError):
        return None


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
