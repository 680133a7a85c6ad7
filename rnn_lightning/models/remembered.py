"""How a model was trained, as plain values: `load_from_checkpoint` uses it to make a further fit train as before."""

from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from inspect import Parameter, signature
from typing import TYPE_CHECKING, Any

import lightning.pytorch.cli
import torch
from lightning.pytorch.utilities.rank_zero import rank_zero_warn
from torch.optim import Optimizer

from rnn_lightning.models import saved_metrics
from rnn_lightning.models.losses import described, restored
from rnn_lightning.models.plain import plain

if TYPE_CHECKING:
    from rnn_lightning.models.sequence_module import SequenceModule

_KEPT = {"tbptt", "carry_state", "lr_interval", "optimizer", "lr_scheduler", "loss", "metrics"}
_HOMES = {
    "torch.optim": torch.optim,
    "torch.optim.lr_scheduler": torch.optim.lr_scheduler,
    "lightning": lightning.pytorch.cli,
}


def training_of(module: "SequenceModule") -> dict[str, Any]:
    """Describes how a module is trained, in plain values."""
    scheduler = module.lr_scheduler
    return {
        "tbptt": None if module.tbptt is None else asdict(module.tbptt),
        "carry_state": module.carry_state,
        "lr_interval": module.lr_interval,
        "optimizer": remember(module.optimizer, module.parameters),
        "lr_scheduler": None if scheduler is None else remember(scheduler, module.make_optimizer),
        "loss": described(module.objective.loss),
        "metrics": saved_metrics.described(module.metrics),
    }


def train_as(module: "SequenceModule", saved: dict[str, Any], given: dict[str, Any]) -> None:
    """Restores what `training_of` returned, except what is `given` anew; warns about what could not be saved."""
    for name in saved.keys() & _KEPT:
        value = saved[name]
        if name in given:
            continue
        if name == "tbptt":
            module.truncate(value)
        elif name in ("carry_state", "lr_interval"):
            setattr(module, name, value)
        elif name == "loss" and isinstance(value, dict):
            if restored(value):
                module.aim(value)
        elif name == "metrics" and isinstance(value, dict):
            module.measure(restore_metrics(value, "load_from_checkpoint(metrics=...)"))
        elif isinstance(value, dict) and (make := maker(value)) is not None:
            setattr(module, name, make)
        elif value is not None:
            wanted = value if isinstance(value, str) else value["name"]
            instead = {"optimizer": module.optimizer_name, "loss": "its task's default"}.get(name, "none")
            rank_zero_warn(
                f"the checkpoint is from a run whose {name} was a {wanted} with arguments that can't be saved: a "
                f"further fit will use {instead}; give {name}=... to load_from_checkpoint"
            )


def tell_what_continues(module: "SequenceModule", saved: dict[str, Any]) -> None:
    """Warns where a resumed run's settings differ from the checkpoint's, and says which are used."""
    own = training_of(module)
    for name in ("tbptt", "carry_state", "lr_interval"):
        if name in saved and own[name] != saved[name]:
            rank_zero_warn(f"{name}={own[name]} from here on: the resumed run had {saved[name]}")
    for name in ("optimizer", "lr_scheduler"):
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


def restore_metrics(saved: dict[str, Any], instead: str) -> dict[str, Any] | None:
    """Restores what `training_of` returned as metrics; warns of those that can't be restored, and how to give them."""
    found, lost = saved_metrics.restored(saved)
    if lost:
        rank_zero_warn(
            f"the checkpoint's run had the metrics {', '.join(lost)}, which it can't restore: give all metrics as {instead}"
        )
    return found or None


def remember(make: Callable[..., Any], *given: Callable[[], Any]) -> dict[str, Any] | str:
    """Describes the object that `make` makes.

    Args:
        make: A class, or a function that returns an object.
        given: Makes the first argument of `make`: the parameters for an optimizer, or the optimizer for a scheduler.

    Returns:
        The class's import path, and the arguments that make the same object again. If the class is not torch's or
        Lightning's, or if its arguments are unknown, only the class's name.
    """
    made, arguments = make(*(give() for give in given)), {}
    cls = type(made)
    home = next((home for home, module in _HOMES.items() if getattr(module, cls.__name__, None) is cls), None)
    known = {**vars(made), **getattr(made, "defaults", {}), **getattr(make, "keywords", {})}
    for name, parameter in list(signature(cls).parameters.items())[1:]:
        if parameter.kind is not Parameter.VAR_KEYWORD and name in known and name != "last_epoch":  # its current place
            arguments[name] = known[name]
    arguments, lost = plain(arguments)
    try:
        again = cls(*(give() for give in given), **arguments)
        same = home is not None and not lost and _settings(again) == _settings(made)
    except Exception:  # its attributes may not show all arguments, and a constructor may raise anything
        same = False
    return {"home": home, "name": cls.__name__, "arguments": arguments} if same else cls.__name__


def maker(saved: dict[str, Any]) -> Callable[..., Any] | None:
    """Returns a function that makes the remembered object again; None if its class is not torch's or Lightning's."""
    cls = getattr(_HOMES.get(saved["home"]), saved["name"], None)
    return None if cls is None else partial(cls, **saved["arguments"])


def _settings(made: Any) -> Any:
    if isinstance(made, Optimizer):
        return [{name: value for name, value in group.items() if name != "params"} for group in made.param_groups]
    return made.state_dict()
