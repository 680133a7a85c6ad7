"""`check_nulls`: reports, in one line, a `null` where an argument needs a value.

jsonargparse accepts `null` for every argument, which then fails somewhere in the code that uses it.
"""

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from inspect import Parameter
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

from jsonargparse import Namespace

from rnn_lightning.cli.arguments import maker_of
from rnn_lightning.cli.signatures import hints_of, parameters_of
from rnn_lightning.errors import ArgumentError


def check_nulls(name: str, kind: Callable[..., Any], arguments: Namespace | None) -> None:
    """Refuses each `null` for an argument that has another default and whose type does not allow it.

    Args:
        name: The configuration's key, such as `"trainer"`.
        kind: The class that takes the arguments, or a function that makes an object.
        arguments: The configured arguments. Those that are objects themselves are also checked.
    """
    if arguments is None:
        raise ArgumentError(f"{name}=null: give its arguments, or leave it out")
    hints = hints_of(kind)
    defaults = {parameter.name: parameter.default for parameter in parameters_of(kind)}
    for key, value in arguments.items(branches=True):
        if "." in key:
            continue  # belongs to an inner object
        full, hint, default = f"{name}.{key}", hints.get(key, Any), defaults.get(key)
        needed = default is not None and default is not Parameter.empty
        if value is None and needed and not _allows_none(hint):
            raise ArgumentError(f"{full}=null: give a value, or leave it out for the default, {default!r}")
        for inner in _parts(value):
            if isinstance(inner, Namespace):
                _check_inner(full, hint, inner)


def _parts(value: Any) -> list[Any]:
    """The parts of a value: the elements of a list, the values of a mapping, or else the value itself."""
    if isinstance(value, Mapping):
        return list(value.values())
    return list(value) if isinstance(value, (list, tuple)) else [value]


def _check_inner(name: str, hint: Any, value: Namespace) -> None:
    """Checks an argument that is an object: of a configured class, or of the dataclass that the type names."""
    if isinstance(value.get("class_path"), str) and isinstance(value.get("init_args"), Namespace):
        check_nulls(name, maker_of(value.class_path), value.init_args)
        return
    named = [kind for kind in _within(hint) if isinstance(kind, type) and dataclasses.is_dataclass(kind)]
    if len(named) == 1:  # if the type names several, it may be any of them
        check_nulls(name, named[0], value)


def _within(hint: Any) -> Iterator[Any]:
    """Yields a type and all types within it, as in `list[int | None]`."""
    yield hint
    for part in get_args(hint):
        yield from _within(part)


def _allows_none(hint: Any) -> bool:
    """Whether a type includes None; an unknown type counts as including it."""
    origin = get_origin(hint)
    if origin in (Union, UnionType):
        return any(map(_allows_none, get_args(hint)))
    if origin is Literal:
        return None in get_args(hint)
    kind = hint if origin is None else origin
    try:
        return not isinstance(kind, type) or isinstance(None, kind)
    except TypeError:  # a protocol that isinstance cannot check
        return True
