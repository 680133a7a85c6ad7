"""What a DataModule has fitted on its training part travels with the network: checkpoint, export, and back again.

A DataModule that fits something (scales, a vocabulary) has two names for it:

- the property `fitted_values`, a dict of plain values as JSON holds them, {} if there are none. Its `"kind"` says which
  DataModule can read it;
- the constructor's argument `fitted: dict | None`. Where it is given, nothing is fitted.

A checkpoint holds the values under `"fitted"`, an export's `network.json` does, too. For test, predict and resume the
command line gives the checkpoint's to the DataModule before it is made, so that no size can change.
"""

import inspect
from typing import Any

from rnn_lightning.errors import ArgumentError

KEY = "fitted"
"""Their key in a checkpoint and in `network.json`, and the name of the constructor's argument."""


def add_fitted(checkpoint: dict[str, Any], data: Any) -> None:
    """Writes the fitted values of a DataModule, if it has any, into a checkpoint."""
    values = getattr(data, "fitted_values", None)
    if values:
        checkpoint[KEY] = values


def takes_fitted(cls: type) -> bool:
    """Whether a DataModule's constructor takes fitted values."""
    return KEY in inspect.signature(cls).parameters


def check_kind(fitted: dict[str, Any], kind: str, data: str) -> None:
    """Raises `ArgumentError` if fitted values are those of another kind of DataModule."""
    if fitted.get("kind") != kind:
        raise ArgumentError(
            f"the checkpoint's fitted values are of the kind {fitted.get('kind')!r}, {data} needs {kind!r}: give the data "
            "that the network was trained on"
        )
