"""`null` as an argument: refused where it would fail, and nowhere else."""

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Generic, Literal, NewType, Optional, Protocol, TypeVar

import numpy as np
import pytest
import torch
import torchmetrics
from jsonargparse import Namespace

from rnn_lightning.cli.nulls import check_nulls
from rnn_lightning.errors import ArgumentError

if TYPE_CHECKING:
    from decimal import Decimal as Missing

T = TypeVar("T")
Size = NewType("Size", object)


class Asked(Protocol):
    """Can't be used with isinstance."""

    size: int


class Above:
    """Says what it takes."""

    def __init__(self, size: int = 3, depth: int = 1):
        pass


class Untyped(Above):
    """Takes the same argument in another way."""

    def __init__(self, size=5, **kwargs):
        super().__init__(4 if size is None else size, **kwargs)


class Lenient(Generic[T]):
    """Each argument may be None, or may be for all that can be known."""

    def __init__(
        self,
        literal: Literal["mean", None] = "mean",
        variable: T = 3,
        new: Size = 3,
        annotated: Annotated[Optional[int], "steps"] = 3,  # noqa: UP045
        hashable: Hashable = 3,
        asked: Asked = 3,
        text: "int | None" = 3,
        array: np.ndarray | None = np.zeros(2),  # noqa: B008
        untyped=torch.zeros(2),  # noqa: B008
    ):
        pass


class Unreadable:
    """Its types can't be evaluated, in two ways."""

    def __init__(self, first: "Missing" = 3, second: int = 3):
        pass


class Misspelt:
    """Its type is no expression."""

    def __init__(self, first: "int or" = 3):  # type: ignore  # noqa: F722
        pass


@dataclass
class Inner:
    """What arguments consist of."""

    width: int = 6
    rate: float | None = 0.1


class Outer:
    """Has it in every place."""

    def __init__(
        self,
        one: Inner | None = None,
        many: list[Inner] | None = None,
        named: dict[str, Inner] | None = None,
        array: np.ndarray = np.zeros(2),  # noqa: B008
        call: Callable[[], None] = print,
        mapping: dict[str, int] = {},  # noqa: B006
    ):
        pass


def make(size: int = 3, rate: float | None = 0.1) -> Above:
    """A function in the place of a class."""
    return Above(size)


LENIENT = ("literal", "variable", "new", "annotated", "hashable", "asked", "text", "array", "untyped")


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        *((Lenient, name) for name in LENIENT),
        (Untyped, "size"),
        (Unreadable, "first"),
        (Misspelt, "first"),
        (make, "rate"),
        (torchmetrics.KLDivergence, "reduction"),
        (torch.optim.SGD, "foreach"),
    ],
)
def test_null_is_taken_where_the_class_may_take_it(kind, name):
    check_nulls("model", kind, Namespace({name: None}))


@pytest.mark.parametrize(
    ("kind", "arguments", "line"),
    [
        (Above, {"size": None}, "model.size=null: give a value, or leave it out for the default, 3"),
        (Untyped, {"depth": None}, "model.depth=null: give a value, or leave it out for the default, 1"),
        (make, {"size": None}, "model.size=null: give a value, or leave it out for the default, 3"),
        (Outer, {"one": Namespace(width=None, rate=None)}, "model.one.width=null"),
        (Outer, {"many": [Namespace(rate=None), Namespace(width=None)]}, "model.many.width=null"),
        (Outer, {"named": {"a": Namespace(width=None, rate=None)}}, "model.named.width=null"),
        (
            Outer,
            {"one": Namespace(class_path=f"{__name__}.make", init_args=Namespace(size=None))},
            "model.one.size=null",
        ),
        (Outer, {"array": None}, "model.array=null"),
        (Outer, {"call": None}, "model.call=null"),
        (Outer, {"mapping": None}, "model.mapping=null"),
    ],
)
def test_null_is_one_line_where_a_value_is_needed(kind, arguments, line):
    with pytest.raises(ArgumentError) as error:
        check_nulls("model", kind, Namespace(arguments))
    assert str(error.value).startswith(line)
