"""Turns a checkpoint's record of how its model was trained into arguments of the configured model.

| argument | in test, validate and predict | in a resumed fit |
|---|---|---|
| loss, metrics | the checkpoint's | the checkpoint's |
| tbptt, carry_state, lr_interval | the checkpoint's | the recipe's if it sets them, else the checkpoint's |
| optimizer, lr_scheduler | not used | the recipe's if it sets them, else the checkpoint's |
| weights | not used: the checkpoint has them | not used |

Typed arguments override all of this. Anything that the checkpoint could not keep, such as a loss of your own, must be
given again.
"""

from typing import Any

from jsonargparse import Namespace

from rnn_lightning.cli.as_typed import as_typed
from rnn_lightning.errors import ArgumentError
from rnn_lightning.models.losses import restored
from rnn_lightning.models.remembered import maker, restore_metrics

_PLAIN = ("tbptt", "carry_state", "lr_interval")
_MADE = ("optimizer", "lr_scheduler")


def training_in(
    saved: dict[str, Any], checkpoint: str, model: Namespace, recipe: set[str], typed: set[str], subcommand: str
) -> dict[str, Any]:
    """The arguments that a checkpoint's `training` gives a configured model.

    Args:
        saved: The checkpoint.
        checkpoint: The checkpoint's path, for messages.
        model: The configured model.
        recipe: The arguments of the model that the recipe sets.
        typed: The arguments of the model that were typed.
        subcommand: The subcommand of the command line.

    Raises:
        ArgumentError: The run had a loss, an optimizer or a scheduler that can't be restored, and no other was given.
    """
    training, arguments = saved.get("training", {}), model.get("init_args", {})
    if subcommand == "fit":  # the recipe decides how to train
        theirs = recipe & {*_PLAIN, *_MADE}
        training = {name: value for name, value in training.items() if name not in theirs}
    found = {name: training[name] for name in _PLAIN if name in training}
    given = {name: arguments.get(name) for name in ("loss", *_MADE)} | dict.fromkeys(typed, "typed")
    if "loss" in training and "loss" in arguments:
        found |= _loss_in(training["loss"], saved.get("hyper_parameters", {}), checkpoint, given["loss"])
    if subcommand != "predict" and "metrics" not in typed and training.get("metrics"):
        found["metrics"] = restore_metrics(training["metrics"], "--model.metrics") or arguments.get("metrics")
    for name in _MADE if subcommand == "fit" else ():
        if name in training:
            found |= _made_in(training[name], name, checkpoint, given[name])
    return {name: as_typed(value, Any) for name, value in found.items() if name in arguments or name == "output_size"}


def _loss_in(loss: Any, hyper_parameters: dict[str, Any], checkpoint: str, given: Any) -> dict[str, Any]:
    """The loss that a checkpoint was trained with, and its number of outputs; None for the task's own loss."""
    size = hyper_parameters.get("output_size")
    if loss is None:
        return {"loss": None}
    if isinstance(loss, dict) and restored(loss):
        return {"loss": loss} | ({} if size is None else {"output_size": size})
    if given is None:
        raise ArgumentError(_refusal(checkpoint, "loss", loss))
    return {}


def _made_in(made: Any, name: str, checkpoint: str, given: Any) -> dict[str, Any]:
    """The optimizer or scheduler of a checkpoint's run."""
    if made is None:
        return {name: None}
    if isinstance(made, dict) and (make := maker(made)) is not None:
        cls: Any = make.func  # type: ignore[attr-defined]
        kept = {key: value for key, value in made["arguments"].items() if value is not None}
        return {name: {"class_path": f"{cls.__module__}.{cls.__qualname__}", "init_args": kept}}
    kind = made if isinstance(made, str) else made["name"]
    if given != "typed" and getattr(given, "class_path", str(given)).rpartition(".")[2] != kind:
        raise ArgumentError(_refusal(checkpoint, name, kind))
    return {}


def _refusal(checkpoint: str, name: str, what: Any) -> str:
    return (
        f"{checkpoint} was trained with a {name} that it can't restore, {what}: give --model.{name}, or the run's own "
        "config.yaml as --config"
    )
