"""How a model was trained, as plain values, so that `load_from_checkpoint` and the command line train as before."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from lightning.pytorch.utilities.rank_zero import rank_zero_warn

from rnn_lightning.models.described import describe, describe_maker, is_known, maker

if TYPE_CHECKING:
    from rnn_lightning.models.sequence_module import SequenceModule

SETTINGS = ("tbptt", "carry_state", "lr_interval")
MADE = ("optimizer", "lr_scheduler")
MEASURED = ("loss", "metrics")
"""The arguments of a model that are remembered: plain values, what is made for a fit, and what also a test needs."""


def training_of(module: "SequenceModule") -> dict[str, Any]:
    """Describes how a module is trained, in plain values."""
    scheduler, loss, metrics = module.lr_scheduler, module.objective.loss, module.metrics
    return {
        "tbptt": None if module.tbptt is None else asdict(module.tbptt),
        "carry_state": module.carry_state,
        "lr_interval": module.lr_interval,
        "optimizer": describe_maker(module.optimizer, module.parameters),
        "lr_scheduler": None if scheduler is None else describe_maker(scheduler, module.make_optimizer),
        "loss": None if loss is None else describe(loss.call),
        "metrics": None if metrics is None else {name: describe(one) for name, one in metrics.by_name.items()},
    }


def restored(training: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """Turns what `training_of` returned into arguments of a model.

    Returns:
        The arguments, with functions that make the optimizer and the scheduler; and the names of what can't be restored,
        by argument.
    """
    found: dict[str, Any] = {}
    lost: dict[str, str] = {}
    for name, value in training.items():
        if name in SETTINGS or (value is None and name in (*MADE, *MEASURED)):
            found[name] = value
        elif name == "metrics":
            found[name] = {key: metric for key, metric in value.items() if is_known(metric)}
            if len(found[name]) < len(value):
                lost[name] = ", ".join(key for key in value if key not in found[name])
        elif name in (*MADE, *MEASURED):
            known = maker(value) if name in MADE else value if is_known(value) else None
            if known is not None:
                found[name] = known
            else:
                lost[name] = value if isinstance(value, str) else value.get("name") or str(value.get("class_path"))
    return found, lost


def train_as(module: "SequenceModule", saved: Mapping[str, Any], given: Mapping[str, Any]) -> None:
    """Restores what `training_of` returned, except what is `given` anew; warns about what could not be saved."""
    found, lost = restored({name: value for name, value in saved.items() if name not in given})
    for name, value in found.items():
        if name == "tbptt":
            module.truncate(value)
        elif name == "loss" and value is not None:
            module.aim(value)
        elif name == "metrics" and value is not None:
            module.measure(value)
        elif name in SETTINGS or value is not None:
            setattr(module, name, value)
    for name, what in lost.items():
        if name == "metrics":
            warn_of_lost_metrics(what, "load_from_checkpoint(metrics=...)")
            continue
        instead = {"optimizer": module.optimizer_name, "loss": "its task's default"}.get(name, "none")
        rank_zero_warn(
            f"the checkpoint is from a run whose {name} was a {what} with arguments that can't be saved: a further fit "
            f"will use {instead}; give {name}=... to load_from_checkpoint"
        )


def warn_of_lost_metrics(names: str, instead: str) -> None:
    """Warns of metrics that can't be restored, and says how to give them."""
    rank_zero_warn(
        f"the checkpoint's run had the metrics {names}, which it can't restore: give all metrics as {instead}"
    )


def tell_what_continues(module: "SequenceModule", saved: dict[str, Any]) -> None:
    """Warns where a resumed run's settings differ from the checkpoint's, and says which are used."""
    own = training_of(module)
    for name in SETTINGS:
        if name in saved and own[name] != saved[name]:
            rank_zero_warn(f"{name}={own[name]} from here on: the resumed run had {saved[name]}")
    for name in MADE:
        ours, theirs = own[name], saved.get(name)
        if not (isinstance(ours, dict) and isinstance(theirs, dict) and ours["name"] == theirs["name"]):
            continue
        here, there = ours["arguments"], theirs["arguments"]
        for key in sorted(here.keys() & there.keys()):
            if _comparable(here[key]) != _comparable(there[key]):
                rank_zero_warn(
                    f"{name}.{key}={here[key]} is not used: the run continues with {there[key]} from the checkpoint; for "
                    "another value, begin a new run from its weights (model.weights)"
                )


def _comparable(value: Any) -> str:
    return str(list(value) if isinstance(value, tuple) else value)
