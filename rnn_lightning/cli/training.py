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
from rnn_lightning.models.remembered import MADE, SETTINGS, restored, warn_of_lost_metrics


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
    arguments = model.get("init_args", {})
    unused = recipe & {*SETTINGS, *MADE} if subcommand == "fit" else {*MADE}
    if subcommand == "predict" or "metrics" in typed:
        unused |= {"metrics"}
    training = saved.get("training", {}).items()
    found, lost = restored({name: value for name, value in training if name in arguments and name not in unused})
    for name, what in lost.items():
        if name == "metrics":
            warn_of_lost_metrics(what, "--model.metrics")
        elif not (name in typed or _is_given(name, what, arguments.get(name))):
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
