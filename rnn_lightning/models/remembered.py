"""How a model was trained, as plain values: what `load_from_checkpoint` needs so that a further fit trains as before."""

from collections.abc import Callable
from functools import partial
from inspect import Parameter, signature
from typing import Any

import lightning.pytorch.cli
import torch
from torch.optim import Optimizer

from rnn_lightning.models.plain import plain

_HOMES = {
    "torch.optim": torch.optim,
    "torch.optim.lr_scheduler": torch.optim.lr_scheduler,
    "lightning": lightning.pytorch.cli,
}


def remember(make: Callable[..., Any], *given: Callable[[], Any]) -> dict[str, Any] | str:
    """Describes what `make` makes.

    Args:
        make: A class, or a function that gives one of its objects.
        given: Makes its first argument: parameters for an optimizer, an optimizer for a scheduler.

    Returns:
        Where the class is found, and arguments with which it makes the same again; only its name where it is none of
        torch's or Lightning's, or its arguments can't be told.
    """
    made, arguments = make(*(give() for give in given)), {}
    cls = type(made)
    home = next((home for home, module in _HOMES.items() if getattr(module, cls.__name__, None) is cls), None)
    known = {**vars(made), **getattr(made, "defaults", {}), **getattr(make, "keywords", {})}
    for name, parameter in list(signature(cls).parameters.items())[1:]:
        if parameter.kind is not Parameter.VAR_KEYWORD and name in known and name != "last_epoch":  # where it is now
            arguments[name] = known[name]
    arguments, lost = plain(arguments)
    try:
        again = cls(*(give() for give in given), **arguments)
        same = home is not None and not lost and _settings(again) == _settings(made)
    except Exception:  # arguments that its attributes do not tell; whatever a constructor raises
        same = False
    return {"home": home, "name": cls.__name__, "arguments": arguments} if same else cls.__name__


def maker(saved: dict[str, Any]) -> Callable[..., Any] | None:
    """What makes the object that was remembered; None where it is none of torch's or Lightning's."""
    cls = getattr(_HOMES.get(saved["home"]), saved["name"], None)
    return None if cls is None else partial(cls, **saved["arguments"])


def _settings(made: Any) -> Any:
    if isinstance(made, Optimizer):
        return [{name: value for name, value in group.items() if name != "params"} for group in made.param_groups]
    return made.state_dict()
