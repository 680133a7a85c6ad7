"""A checkpoint's plain values, in the form in which the command line takes them."""

from dataclasses import dataclass
from enum import Enum
from typing import Any, Optional

import pytest
import torch
import yaml

from rnn_lightning.cli.configurations import inline
from rnn_lightning.cli.from_checkpoint import as_typed


class Kind(Enum):
    """Its values are no names."""

    A = 1
    B = "b"
    C = (1, 2)


@dataclass
class Part:
    """Has members within."""

    kind: Kind
    more: list[Kind] | None = None


@pytest.mark.parametrize(
    ("value", "hint", "typed"),
    [
        (1, Kind, "A"),
        ("b", Kind | None, "B"),
        ("b", Optional[Kind], "B"),  # noqa: UP045
        ((1, 2), Kind, "C"),
        ([1, "b"], list[Kind] | None, ["A", "B"]),
        ((1, 1), tuple[Kind, int], ("A", 1)),
        ((1, "b", 1), tuple[Kind, ...], ("A", "B", "A")),
        ({"x": 1}, dict[str, Kind], {"x": "A"}),
        ({"kind": 1, "more": ["b"]}, Part, {"kind": "A", "more": ["B"]}),
        ([{"kind": 1}], list[Part], [{"kind": "A"}]),
        (torch.tensor([1.0, 2.0]), torch.Tensor | None, [1.0, 2.0]),
        ({"init_args": {"weight": (torch.ones(2),)}}, Any, {"init_args": {"weight": ([1.0, 1.0],)}}),
        ([torch.ones(1), 1], list, [[1.0], 1]),
        # These stay as they are.
        (7, Kind, 7),
        (None, Kind | None, None),
        (1, int, 1),
        (1, Any, 1),
        (1, None, 1),
        ("b", list[Kind], "b"),
        ([1], list, [1]),
    ],
)
def test_members_by_name_and_tensors_as_lists(value, hint, typed):
    assert as_typed(value, hint) == typed


def test_a_configuration_in_one_line_keeps_every_value():
    same = ["a", "1e3", "null", "a: b", "x\ny", 'q"', "", "é"]
    content = {
        "texts": same,
        "again": same,
        "numbers": [1, 1e-5, -2.5, True, None],
        "far": [float("inf"), -float("inf")],
    }
    line = inline(content)
    assert line.startswith("{")
    assert line.count("\n") == 1
    assert "&" not in line, "no anchor"
    assert yaml.safe_load(line) == content
    assert yaml.safe_load(inline({"nan": float("nan")}))["nan"] != 0
    assert yaml.safe_load(inline({"pair": (1, 2), "bytes": b"a", "kind": Kind.A})) == {
        "pair": [1, 2],
        "bytes": b"a",
        "kind": "Kind.A",
    }
