"""`check_nulls`: reports, in one line, a `null` where an argument needs a value.

jsonargparse accepts `null` for every argument, which then fails somewhere in the code that uses it.
"""

import dataclasses
from collections.abc import Iterator, Mapping
from inspect import Parameter
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

from jsonargparse import Namespace

from rnn_lightning.cli.signatures import maker_of, parameters_of
from rnn_lightning.errors import ArgumentError


def check_nulls(name: str, kind: Any, arguments: Namespace | None) -> None:
    """Refuses each `null` for an argument that has another default and whose type does not allow it.

    Args:
        name: The configuration's key, such as `"trainer"`.
        kind: The class that takes the arguments, or a function that makes an object. If the configuration itself names
            one as its `class_path`, `kind` is not used.
        arguments: The configured arguments. Those that are objects themselves are also checked.
    """
    if arguments is None:
        raise ArgumentError(f"{name}=null: give its arguments, or leave it out")
    if isinstance(arguments.get("class_path"), str):
        kind, arguments = maker_of(arguments.class_path), arguments.get("init_args", Namespace())
    parameters, unknown = parameters_of(kind), Parameter("unknown", Parameter.KEYWORD_ONLY, annotation=Any)
    for key, value in arguments.items(branches=True):
        if "." in key:
            continue  # belongs to an inner object
        full, parameter = f"{name}.{key}", parameters.get(key, unknown)
        needed = parameter.default is not None and parameter.default is not Parameter.empty
        if value is None and needed and not _allows_none(parameter.annotation):
            raise ArgumentError(f"{full}=null: give a value, or leave it out for the default, {parameter.default!r}")
        named = [x for x in _within(parameter.annotation) if isinstance(x, type) and dataclasses.is_dataclass(x)]
        parts = value.values() if isinstance(value, Mapping) else value if isinstance(value, (list, tuple)) else [value]
        for part in parts:
            # If the type names several dataclasses, the part may be any of them.
            if isinstance(part, Namespace) and (isinstance(part.get("class_path"), str) or len(named) == 1):
                check_nulls(full, named[0] if named else Any, part)


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
