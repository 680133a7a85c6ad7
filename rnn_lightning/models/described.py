"""Optimizers, schedulers, losses and metrics as plain values, for a checkpoint.

Only classes of torch, Lightning, torchmetrics and this package are described so that they can be made again: a checkpoint
never runs other code. Of anything else, the name is kept.
"""

import importlib
from collections.abc import Callable, Mapping
from functools import partial
from inspect import Parameter, signature
from typing import Any

import lightning.pytorch.cli
import torch
from torch.optim import Optimizer
from torchmetrics import Metric

from rnn_lightning.models.largest_error import LargestError
from rnn_lightning.models.losses import is_torchs_loss
from rnn_lightning.models.plain import plain

_HOMES = {
    "torch.optim": torch.optim,
    "torch.optim.lr_scheduler": torch.optim.lr_scheduler,
    "lightning": lightning.pytorch.cli,
}


def describe_maker(make: Callable[..., Any], *given: Callable[[], Any]) -> dict[str, Any] | str:
    """Describes the optimizer or scheduler that `make` makes; `maker` turns the description into a function.

    Args:
        make: A class, or a function that returns an object.
        given: Makes the first argument of `make`: the parameters for an optimizer, or the optimizer for a scheduler.
    """
    made = make(*(give() for give in given))
    name = type(made).__name__
    known = {**vars(made), **getattr(made, "defaults", {}), **getattr(make, "keywords", {})}
    known.pop("last_epoch", None)  # its current place
    home = next((home for home, module in _HOMES.items() if getattr(module, name, None) is type(made)), None)
    arguments = None if home is None else _arguments(made, known, *given)
    return name if arguments is None else {"home": home, "name": name, "arguments": arguments}


def maker(saved: Any) -> "partial[Any] | None":
    """Returns a function that makes what was described; None if it can't be made again."""
    cls = getattr(_HOMES.get(saved["home"]), saved["name"], None) if isinstance(saved, Mapping) else None
    return partial(cls, **saved["arguments"]) if isinstance(cls, type) else None


def describe(made: Any) -> dict[str, Any] | str:
    """Describes a loss or a metric by class path and arguments, or by its name if these can't make it again."""
    cls, is_loss = type(made), is_torchs_loss(type(made))
    path = f"{'torch.nn' if is_loss else cls.__module__}.{cls.__qualname__}"
    if is_known({"class_path": path}):
        names = set(signature(cls).parameters) - ({"reduction"} if is_loss else set())  # `TargetLoss` changes it
        arguments = _arguments(made, {name: getattr(made, name) for name in names if hasattr(made, name)})
        if arguments is not None:
            return {"class_path": path, "init_args": arguments}
    return getattr(made, "__name__", cls.__name__)


def is_known(saved: Any) -> bool:
    """Whether a description of a loss or a metric has a class that may be made again."""
    module, _, name = str(saved.get("class_path") if isinstance(saved, Mapping) else None).rpartition(".")
    if module == LargestError.__module__:
        return name == LargestError.__name__
    if module != "torch.nn" and module.partition(".")[0] != "torchmetrics":
        return False
    try:
        found = getattr(importlib.import_module(module), name, None)
    except ImportError:
        return False
    return is_torchs_loss(found) or (isinstance(found, type) and issubclass(found, Metric))


def _arguments(made: Any, known: Mapping[str, Any], *given: Callable[[], Any]) -> dict[str, Any] | None:
    """Returns plain arguments, after those `given`, that make the same object again; None if they are not all `known`."""
    cls = type(made)
    wanted = list(signature(cls).parameters.items())[len(given) :]
    names = [name for name, parameter in wanted if parameter.kind is not Parameter.VAR_KEYWORD and name in known]
    arguments, lost = plain({name: known[name] for name in names})
    try:
        again = cls(*(give() for give in given), **arguments)
        return arguments if not lost and _settings(again) == _settings(made) else None
    except Exception:  # its attributes may not show all arguments, and a constructor may raise anything
        return None


def _settings(made: Any) -> Any:
    """Returns what must be equal if the arguments are; nothing for a loss, whose attributes show all arguments."""
    if isinstance(made, Optimizer):
        return [{name: value for name, value in group.items() if name != "params"} for group in made.param_groups]
    if isinstance(made, Metric):
        return repr(plain({name: value for name, value in vars(made).items() if not name.startswith("_")})[0])
    return None if is_torchs_loss(type(made)) else made.state_dict()
