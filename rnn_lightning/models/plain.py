"""Values that a checkpoint may contain: tensors, numbers, strings, and lists, tuples and dicts of these.

Checkpoints are read with `weights_only=True`, which allows nothing else, so everything in a checkpoint is made plain.
"""

import io
import sys
from collections import Counter, OrderedDict, deque
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from pathlib import PurePath
from typing import Any

import numpy as np
import torch
from lightning.pytorch.utilities.rank_zero import rank_zero_warn

from rnn_lightning.errors import ArgumentError

_TYPE = "__type__"
_LOST = object()


def plain(value: Any, name: str = "", types: bool = False) -> tuple[Any, dict[str, str]]:
    """Converts a value to plain types. A value that is already plain is returned unchanged.

    NumPy scalars become numbers, and its arrays become tensors. Paths become strings, enums become their values,
    named tuples become tuples, and dataclasses become dicts.

    Args:
        value: Anything.
        name: The value's name.
        types: Whether named tuples and dataclasses keep the name of their type, for `rebuilt`.

    Returns:
        The plain value, and the types of what could not be made plain, keyed by where it was. Such values are left out
        of dicts, and become None in lists.
    """
    lost: dict[str, str] = {}
    found = _plain(value, name, types, lost)
    return (None if found is _LOST else found), lost


def listed(lost: dict[str, str]) -> str:
    """Describes what `plain` could not make plain, for a message."""
    return ", ".join(f"{name} ({kind})" for name, kind in lost.items())


def make_plain(checkpoint: dict[str, Any]) -> None:
    """Makes a checkpoint's values plain, in place, and warns about values that can't be."""
    values, lost = plain(checkpoint)
    if values is not checkpoint:
        checkpoint.clear()
        checkpoint.update(values)
    if lost:
        rank_zero_warn(
            f"the checkpoint leaves out {listed(lost)}: it holds tensors and plain values only, so that it can be read "
            "safely; a resumed run, or load_from_checkpoint, will do without it"
        )


def rebuilt(value: Any) -> Any:
    """Restores the value that was given to `plain(..., types=True)`.

    No code is run, and the types must have been imported already.

    Raises:
        ArgumentError: This program has no such named tuple or dataclass.
    """
    if isinstance(value, (list, tuple)):
        return type(value)(rebuilt(part) for part in value)
    if not isinstance(value, dict):
        return value
    parts = {key: rebuilt(part) for key, part in value.items() if key != _TYPE}
    if _TYPE not in value:
        return type(value)(parts)
    cls = _find(value[_TYPE])
    if cls is None:
        raise ArgumentError(f"the checkpoint has a state of type {value[_TYPE]}: import it before you resume")
    if issubclass(cls, tuple):
        return tuple.__new__(cls, parts.values())
    made = object.__new__(cls)
    for key, part in parts.items():
        object.__setattr__(made, key, part)
    return made


def _plain(value: Any, name: str, types: bool, lost: dict[str, str]) -> Any:
    if isinstance(value, Enum):
        value = value.value
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or type(value) in (bool, int, float, str, bytes, complex, torch.Tensor, torch.nn.Parameter):
        return value
    if isinstance(value, PurePath):
        return str(value)
    if isinstance(value, np.ndarray):
        return torch.from_numpy(value.copy()) if value.dtype.kind in "biufc" else value.tolist()
    if is_dataclass(value) and not isinstance(value, type):
        parts = {field.name: getattr(value, field.name) for field in fields(value)}
    elif types and isinstance(value, tuple) and hasattr(value, "_fields"):
        parts = dict(zip(value._fields, value, strict=True))
    else:
        return _collection(value, name, types, lost)
    label = f"{type(value).__module__}:{type(value).__qualname__}"
    if types and _find(label) is not type(value):
        lost[name] = f"{label}, which is not found under this name"
        return _LOST
    return _plain({**({_TYPE: label} if types else {}), **parts}, name, types, lost)


def _collection(value: Any, name: str, types: bool, lost: dict[str, str]) -> Any:
    if isinstance(value, Mapping):
        pairs = [
            (_plain(k, name, types, lost), _plain(v, f"{name}.{k}".strip("."), types, lost)) for k, v in value.items()
        ]
        same = all(a is k and b is v for (a, b), (k, v) in zip(pairs, value.items(), strict=True))
        kind = next((kind for kind in (Counter, OrderedDict) if isinstance(value, kind)), dict)
        if same and type(value) in (dict, Counter, OrderedDict):
            return value  # keeps further attributes, such as the metadata of a state dict
        return kind({key: part for key, part in pairs if part is not _LOST and key is not _LOST})
    if isinstance(value, (list, tuple, deque)) and not isinstance(value, torch.Size):
        parts = [_plain(part, f"{name}[{i}]", types, lost) for i, part in enumerate(value)]
        if type(value) in (list, tuple) and all(a is b for a, b in zip(parts, value, strict=True)):
            return value
        return (tuple if isinstance(value, tuple) else list)(None if part is _LOST else part for part in parts)
    if _is_readable(value):
        return value
    lost[name] = type(value).__qualname__
    return _LOST


def _is_readable(value: Any) -> bool:
    try:
        file = io.BytesIO()
        torch.save(value, file)
        file.seek(0)
        torch.load(file, weights_only=True)
    except Exception:  # an object's own pickling may raise anything
        return False
    return True


def _find(label: str) -> Any:
    """Finds a named tuple or dataclass in an imported module; None if there is none with this name."""
    module, _, names = label.partition(":")
    found: Any = sys.modules.get(module)
    for name in names.split("."):
        found = getattr(found, name, None)
    named = isinstance(found, type) and (
        is_dataclass(found) or (issubclass(found, tuple) and hasattr(found, "_fields"))
    )
    return found if named else None
