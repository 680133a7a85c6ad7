"""Reads the names, defaults and types of the arguments that a configured class or function takes."""

from collections.abc import Callable
from contextlib import suppress
from inspect import Parameter, signature
from typing import Any, get_type_hints


def parameters_of(kind: Callable[..., Any]) -> list[Parameter]:
    """The named parameters of a function, or of a class and the base classes that its **kwargs reach."""
    found: dict[str, Parameter] = {}
    for function in _constructors(kind):
        own = _own(kind, function)
        named = {p.name: p for p in own if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
        found = {**named, **found}
        if all(parameter.kind != Parameter.VAR_KEYWORD for parameter in own):
            break
    return list(found.values())


def _own(kind: Callable[..., Any], function: Callable[..., Any]) -> list[Parameter]:
    parameters = list(signature(function).parameters.values())
    return parameters[1:] if isinstance(kind, type) else parameters  # without self


def hints_of(kind: Callable[..., Any]) -> dict[str, Any]:
    """The types of a function's or class's named parameters, as far as they can be read."""
    found: dict[str, Any] = {}
    for function in reversed(_constructors(kind)):
        for parameter in _own(kind, function):
            found.pop(parameter.name, None)  # the class nearest to `kind` decides its type
        with suppress(Exception):  # annotations may be any code, with types that only a type checker imports
            found |= get_type_hints(function)
    return found


def _constructors(kind: Callable[..., Any]) -> list[Callable[..., Any]]:
    """The `__init__` methods of a class and its base classes; or the function itself."""
    if not isinstance(kind, type):
        return [kind]
    return [vars(above)["__init__"] for above in kind.__mro__[:-1] if "__init__" in vars(above)]
