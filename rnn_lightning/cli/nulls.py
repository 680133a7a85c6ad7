"""`check_nulls`: reports, in one line, a `null` where an argument needs a value.

jsonargparse accepts `null` for every argument, which then fails somewhere in the code that uses it.
"""

import dataclasses
from collections.abc import Callable
from contextlib import suppress
from inspect import Parameter, signature
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from jsonargparse import Namespace

from rnn_lightning.cli.arguments import class_of
from rnn_lightning.errors import ArgumentError


def check_nulls(name: str, kind: type, arguments: Namespace | None) -> None:
    """Refuses each `null` where the class has another default and the type does not allow None.

    Args:
        name: The configuration's key, such as `"trainer"`.
        kind: The class that takes the arguments.
        arguments: What is configured. Arguments that are objects themselves are checked too.
    """
    if arguments is None:
        raise ArgumentError(f"{name}=null: give its arguments, or leave it out")
    hints = _hints(kind)
    defaults = {parameter.name: parameter.default for parameter in parameters_of(kind)}
    for key, value in arguments.items(branches=True):
        if "." in key:
            continue  # of an inner object
        full, hint, default = f"{name}.{key}", hints.get(key, Any), defaults.get(key)
        if value is None and default not in (None, Parameter.empty) and not _allows_none(hint):
            raise ArgumentError(f"{full}=null: give a value, or leave it out for the default, {default!r}")
        for inner in value if isinstance(value, list) else [value]:
            if isinstance(inner, Namespace):
                _check_inner(full, hint, inner)


def _check_inner(name: str, hint: Any, value: Namespace) -> None:
    """Checks an object that is an argument: a configured class, or a dataclass named by the type."""
    if isinstance(value.get("class_path"), str) and isinstance(value.get("init_args"), Namespace):
        check_nulls(name, class_of(value.class_path), value.init_args)
    else:
        for kind in (hint, *get_args(hint)):
            if isinstance(kind, type) and dataclasses.is_dataclass(kind):
                check_nulls(name, kind, value)


def parameters_of(kind: type) -> list[Parameter]:
    """The named parameters of a class, with those that pass through **kwargs to the classes above."""
    found: dict[str, Parameter] = {}
    for function in _constructors(kind):
        own = list(signature(function).parameters.values())[1:]  # without self
        named = {p.name: p for p in own if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
        found = {**named, **found}
        if all(parameter.kind != Parameter.VAR_KEYWORD for parameter in own):
            break
    return list(found.values())


def _hints(kind: type) -> dict[str, Any]:
    """The types of these parameters, as far as they can be read."""
    found: dict[str, Any] = {}
    for function in reversed(_constructors(kind)):
        with suppress(NameError, TypeError, AttributeError):  # types that only a type checker imports
            found |= get_type_hints(function)
    return found


def _constructors(kind: type) -> list[Callable[..., None]]:
    """The `__init__` of a class and of those above it."""
    return [vars(above)["__init__"] for above in kind.__mro__[:-1] if "__init__" in vars(above)]


def _allows_none(hint: Any) -> bool:
    """Whether a type includes None; an unknown type is assumed to."""
    if get_origin(hint) in (Union, UnionType):
        return any(map(_allows_none, get_args(hint)))
    return hint in (None, type(None), Any, object) or isinstance(hint, str)
