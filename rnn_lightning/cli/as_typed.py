"""`as_typed` turns an argument's value from a checkpoint into the form that the command line takes."""

import dataclasses
from collections.abc import Mapping, Sequence
from enum import Enum
from types import UnionType
from typing import Any, Union, get_args, get_origin

from torch import Tensor

from rnn_lightning.cli.signatures import hints_of


def as_typed(value: Any, hint: Any) -> Any:
    """Returns a value with lists in place of tensors and names in place of enum members.

    Args:
        value: An argument's value from a checkpoint, in plain types.
        hint: The argument's type.
    """
    if isinstance(value, Tensor):
        return value.tolist()
    kinds = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
    for kind in kinds:
        if isinstance(kind, type) and issubclass(kind, Enum):
            found = next((member for member in kind if member.value == value), None)
            if found is not None:
                return found.name
        if isinstance(kind, type) and dataclasses.is_dataclass(kind) and isinstance(value, Mapping):
            inner = hints_of(kind)
            return {key: as_typed(part, inner.get(key, Any)) for key, part in value.items()}
    within = next((kind for kind in kinds if get_args(kind) and _is_collection(get_origin(kind))), None)
    if not _is_collection(type(value)):
        return value
    parts = get_args(within) or (Any,)  # a collection of unknown type may also contain tensors
    if isinstance(value, Mapping):
        return {key: as_typed(part, parts[-1]) for key, part in value.items()}
    fixed = len(parts) == len(value) and Ellipsis not in parts
    return type(value)(as_typed(part, parts[i] if fixed else parts[0]) for i, part in enumerate(value))


def _is_collection(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, (Sequence, Mapping)) and not issubclass(kind, (str, bytes))
