"""Saves the values that a DataModule fits on its training part with the network, in checkpoints and exports.

A DataModule that fits something (scales, a vocabulary) has

- the property `fitted_values`, a dict of JSON values, which is {} if there are none. Its entry `"kind"` says which
DataModule can read it;
- the constructor's argument `fitted: dict | None`. If this argument is given, nothing is fitted.

Checkpoints and an export's `network.json` contain the values under `"fitted"`. For test, predict and resume, the
command line passes the checkpoint's values to the DataModule's constructor, so that no size can change.
"""

from typing import Any

from rnn_lightning.errors import ArgumentError

KEY = "fitted"
"""The key in a checkpoint and in `network.json`, and the name of the constructor's argument."""


def add_fitted(checkpoint: dict[str, Any], data: Any) -> None:
    """Writes the fitted values of a DataModule, if it has any, into a checkpoint."""
    values = getattr(data, "fitted_values", None)
    if values:
        checkpoint[KEY] = values


def check_kind(fitted: dict[str, Any], kind: str, data: str) -> None:
    """Raises `ArgumentError` if fitted values come from another kind of DataModule."""
    if fitted.get("kind") != kind:
        raise ArgumentError(
            f"the checkpoint's fitted values have the kind {fitted.get('kind')!r}, but {data} needs {kind!r}: give the "
            "data that the network was trained on"
        )
