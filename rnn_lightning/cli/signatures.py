"""What makes a configured object, and the names, defaults and types of the arguments that it takes."""

import pkgutil
from collections.abc import Callable
from contextlib import suppress
from inspect import Parameter, signature
from typing import Any, get_type_hints


def maker_of(class_path: str) -> Callable[..., Any]:
    """The callable that makes a configured object: its class, or a function or class method that returns the object."""
    return pkgutil.resolve_name(class_path)


def class_of(class_path: str) -> type:
    """The class of a configured object; `object` if a function has no return annotation."""
    maker = maker_of(class_path)
    if not isinstance(maker, type):
        with suppress(NameError, TypeError, AttributeError):  # types that only a type checker imports
            maker = get_type_hints(maker).get("return", object)
    return maker if isinstance(maker, type) else object


def parameters_of(maker: Callable[..., Any]) -> dict[str, Parameter]:
    """The named parameters of a function, or of a class and the base classes that its **kwargs reach.

    Their annotations are types; `Any` for one that is missing or cannot be read.
    """
    found: dict[str, Parameter] = {}
    bases = maker.__mro__[:-1] if isinstance(maker, type) else ()
    for function in [vars(base)["__init__"] for base in bases if "__init__" in vars(base)] if bases else [maker]:
        types: dict[str, Any] = {}
        with suppress(Exception):  # annotations may be any code, with types that only a type checker imports
            types = get_type_hints(function)
        own = list(signature(function).parameters.values())[bool(bases) :]  # without self
        for parameter in own:
            if parameter.kind in (Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY):
                found.setdefault(parameter.name, parameter.replace(annotation=types.get(parameter.name, Any)))
        if all(parameter.kind != Parameter.VAR_KEYWORD for parameter in own):
            break
    return found
