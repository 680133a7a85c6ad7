"""Metrics as plain values, for a checkpoint, so that a later test has the metrics of the fit."""

import importlib
from collections.abc import Mapping
from inspect import Parameter, signature
from typing import Any

from torchmetrics import Metric

from rnn_lightning.models.largest_error import LargestError
from rnn_lightning.models.metrics import Metrics
from rnn_lightning.models.plain import plain


def described(metrics: Metrics | None) -> dict[str, Any] | None:
    """Describes metrics by name: class path and arguments, or only the class's name if these can't restore it."""
    return None if metrics is None else {name: _described(metric) for name, metric in metrics.fresh.items()}


def restored(saved: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Restores the metrics that `described` returned; also returns the names of those that can't be restored.

    Only metrics of torchmetrics and of this package are restored: a checkpoint never runs other code.
    """
    found = {name: metric for name, metric in saved.items() if isinstance(metric, Mapping) and _is_known(metric)}
    return found, [name for name in saved if name not in found]


def _described(metric: Metric) -> dict[str, Any] | str:
    cls = type(metric)
    names = [name for name, p in signature(cls).parameters.items() if p.kind is not Parameter.VAR_KEYWORD]
    arguments, lost = plain({name: getattr(metric, name) for name in names if hasattr(metric, name)})
    description = {"class_path": f"{cls.__module__}.{cls.__qualname__}", "init_args": arguments}
    try:
        same = not lost and _is_known(description) and _settings(cls(**arguments)) == _settings(metric)
    except Exception:  # its attributes may not show all arguments, and a constructor may raise anything
        same = False
    return description if same else cls.__name__


def _is_known(description: Mapping[str, Any]) -> bool:
    module, _, name = str(description.get("class_path")).rpartition(".")
    if module == LargestError.__module__:
        return name == LargestError.__name__
    if module.partition(".")[0] != "torchmetrics":
        return False
    try:
        found = getattr(importlib.import_module(module), name, None)
    except ImportError:
        return False
    return isinstance(found, type) and issubclass(found, Metric)


def _settings(metric: Metric) -> str:
    """Returns the attributes that are plain values, for comparison."""
    return repr(plain({name: value for name, value in vars(metric).items() if not name.startswith("_")})[0])
