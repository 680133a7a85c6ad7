"""What a DataModule has fitted to its training part travels with the network: in the checkpoint, under `fitted`.

A DataModule gives it as plain values by `fitted_values`, and takes it as its argument `fitted` where a checkpoint is
tested, used or trained further: then nothing is fitted again, and sizes can't change.
"""

import importlib
import inspect
from typing import Any

KEY = "fitted"


def add_fitted(checkpoint: dict[str, Any], data: Any) -> None:
    """Adds to a checkpoint what a DataModule has fitted, if it has."""
    values = getattr(data, "fitted_values", None)
    if values is not None:
        checkpoint[KEY] = values


def takes_fitted(class_path: str) -> bool:
    """Whether a DataModule has the argument `fitted`."""
    module, _, name = class_path.rpartition(".")
    return KEY in inspect.signature(getattr(importlib.import_module(module), name)).parameters
