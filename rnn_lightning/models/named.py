"""Finds the loss or metric that a setting names, and says whether it can be called like one."""

import importlib
import traceback
from collections.abc import Callable, Mapping
from inspect import signature
from typing import Any

from rnn_lightning.errors import ArgumentError, is_of_import


def named(given: Any, known: Mapping[str, Any], refusal: str) -> tuple[Any, dict[str, Any]]:
    """Returns the object that was given or named, and its arguments.

    Args:
        given: An object, its name in `known`, its import path, or a dict with `class_path` and `init_args`.
        known: The objects that can be named without a path.
        refusal: The error's message, with `{name}`.

    Raises:
        ArgumentError: Nothing has that name.
    """
    arguments: dict[str, Any] = {}
    if isinstance(given, Mapping):
        given, arguments = given.get("class_path"), dict(given.get("init_args") or {})
    if not isinstance(given, str) or given in known:
        return known[given] if isinstance(given, str) else given, arguments
    module, _, attribute = given.rpartition(".")
    try:
        return getattr(importlib.import_module(module), attribute), arguments
    except (ImportError, AttributeError, ValueError) as error:
        if is_of_import(error):
            raise
        raise ArgumentError(refusal.format(name=repr(given))) from error


def refuses_two(call: Callable[..., Any], **options: Any) -> str | None:
    """Says why a function can't take two values and these options, such as "takes (value)"; None if it can."""
    try:
        wanted = signature(call)
    except (TypeError, ValueError):  # some built-in functions have none
        return None
    try:
        wanted.bind(None, None, **options)
    except TypeError:
        return f"takes ({', '.join(wanted.parameters)})"
    return None


def construct(cls: Callable[..., Any], arguments: Mapping[str, Any], what: str, instead: str, is_own: bool) -> Any:
    """Calls a class; says in one line, which names `what` is made and what to do `instead`, that arguments are wrong.

    An error from within a class of your own (`is_own`) is a bug, and keeps its traceback.
    """
    try:
        return cls(**arguments)
    except (TypeError, ValueError, RuntimeError) as error:
        within = len(list(traceback.walk_tb(error.__traceback__))) > 1  # not raised by the call itself
        if (is_own and within) or isinstance(error, ArgumentError):
            raise
        raise ArgumentError(f"{what} cannot be made ({error}): {instead}") from error
