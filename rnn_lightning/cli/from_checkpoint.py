"""Turns a checkpoint's record of its model, and of how it was trained, into arguments of the configured model.

| argument | in test, validate and predict | in a resumed fit |
|---|---|---|
| those of the network, except sizes that the data has; loss, metrics | the checkpoint's | the checkpoint's |
| tbptt, carry_state, lr_interval | the checkpoint's | the recipe's if it sets them, else the checkpoint's |
| optimizer, lr_scheduler | not used | the recipe's class if it sets one; always the checkpoint's numbers, such as lr |
| weights | not used: the checkpoint has them | not used |

Typed arguments override all of this, except the numbers of an optimizer or scheduler that continues. Anything that the
checkpoint could not keep, such as a loss of your own, must be given again.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from enum import Enum
from inspect import Parameter
from types import UnionType
from typing import Any, Union, get_args, get_origin

from jsonargparse import Namespace
from torch import Tensor

from rnn_lightning.cli.options import SIZES
from rnn_lightning.cli.signatures import maker_of, parameters_of
from rnn_lightning.errors import ArgumentError
from rnn_lightning.models.remembered import MADE, SETTINGS, restored, warn_of_lost_metrics
from rnn_lightning.saved import check_parts, read_checkpoint


def arguments_in(
    checkpoint: str, model: Namespace, recipe: set[str], typed: set[str], subcommand: str
) -> dict[str, Any]:
    """Returns a checkpoint's arguments for a configured model.

    Args:
        checkpoint: The checkpoint's path.
        model: The configured model; required arguments may be missing.
        recipe: The arguments of the model that the recipe sets.
        typed: The arguments of the model that were typed.
        subcommand: The subcommand of the command line.

    Raises:
        ArgumentError: This is no checkpoint of such a model, or it lacks an argument that was not given: one that is
            required, or a loss, an optimizer or a scheduler that can't be restored.
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
    known, parameters = saved.get("hyper_parameters", {}), parameters_of(maker_of(model.class_path))
    required = {name for name, parameter in parameters.items() if parameter.default is Parameter.empty}
    configured = model.get("init_args", Namespace())  # also has the arguments that **kwargs passes to a base class
    given = {name for name, value in configured.items(branches=True) if value is not None} | recipe | typed
    missing = [f"--model.{name}" for name in parameters if name in required - {*known, *given, *SIZES}]
    if missing:
        raise ArgumentError(
            f"{wanted} requires arguments that {checkpoint} does not have: give {' and '.join(missing)}, and call "
            "save_hyperparameters() in its __init__ so that further checkpoints have them"
        )
    types = {name: parameter.annotation for name, parameter in parameters.items()}
    accepted = [name for name in known if name in configured and name not in SIZES]
    arguments = {name: as_typed(known[name], types.get(name)) for name in accepted}
    return arguments | _training_in(saved, checkpoint, configured, recipe, typed, subcommand)


def _training_in(
    saved: dict[str, Any], checkpoint: str, configured: Any, recipe: set[str], typed: set[str], subcommand: str
) -> dict[str, Any]:
    """The arguments of the model that say how it is trained and measured."""
    unused = recipe & {*SETTINGS, *MADE} if subcommand == "fit" else {*MADE}
    if subcommand == "predict" or "metrics" in typed:
        unused |= {"metrics"}
    training = saved.get("training", {}).items()
    found, lost = restored({name: value for name, value in training if name in configured and name not in unused})
    for name, what in lost.items():
        if name == "metrics":
            warn_of_lost_metrics(what, "--model.metrics")
        elif not (name in typed or _is_given(name, what, configured.get(name))):
            raise ArgumentError(
                f"{checkpoint} was trained with a {name} that it can't restore, {what}: give --model.{name}, or the run's "
                "own config.yaml as --config"
            )
    if not found.get("metrics"):
        found.pop("metrics", None)  # the recipe's own
    for name in MADE:
        if (make := found.get(name)) is not None:
            kept = {key: value for key, value in make.keywords.items() if value is not None}
            found[name] = {"class_path": f"{make.func.__module__}.{make.func.__qualname__}", "init_args": kept}
    size = saved.get("hyper_parameters", {}).get("output_size")
    if found.get("loss") is not None and size is not None:
        found["output_size"] = size  # a loss may need more outputs than there are targets
    return {name: as_typed(value, Any) for name, value in found.items()}


def _is_given(name: str, what: str, value: Any) -> bool:
    """Whether a configuration has a loss, or the optimizer or scheduler whose class has this name."""
    return value is not None if name == "loss" else getattr(value, "class_path", str(value)).rpartition(".")[2] == what


def as_typed(value: Any, hint: Any) -> Any:
    """Returns a value in the form that the command line takes: with lists for tensors, and names for enum members.

    Args:
        value: An argument's value from a checkpoint, in plain types.
        hint: The argument's type.
    """
    if isinstance(value, Tensor):
        return value.tolist()
    kinds = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
    for kind in kinds:
        if isinstance(kind, type) and issubclass(kind, Enum):
            found = next((member for member in kind if member.value == value), None)
            if found is not None:
                return found.name
        if isinstance(kind, type) and dataclasses.is_dataclass(kind) and isinstance(value, Mapping):
            types = {name: parameter.annotation for name, parameter in parameters_of(kind).items()}
            return {key: as_typed(part, types.get(key, Any)) for key, part in value.items()}
    within = next((kind for kind in kinds if get_args(kind) and _is_collection(get_origin(kind))), None)
    if not _is_collection(type(value)):
        return value
    parts = get_args(within) or (Any,)  # a collection of unknown type may also contain tensors
    if isinstance(value, Mapping):
        return {key: as_typed(part, parts[-1]) for key, part in value.items()}
    fixed = len(parts) == len(value) and Ellipsis not in parts
    return type(value)(as_typed(part, parts[i] if fixed else parts[0]) for i, part in enumerate(value))


def _is_collection(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, (Sequence, Mapping)) and not issubclass(kind, (str, bytes))
