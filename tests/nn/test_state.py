"""Functions on states."""

from typing import NamedTuple

import pytest
import torch

from rnn_lightning.nn import detach_state, reset_rows
from rnn_lightning.nn.state import map_state, where_rows


class Named(NamedTuple):
    one: object
    two: object


def test_map_state_keeps_the_structure():
    one, two = torch.tensor([1.0]), torch.tensor([2.0])
    nest = {"a": (one, [two, None, "text", 3]), "b": Named(one, (two,)), "c": one}
    doubled = map_state(lambda s: s * 2, nest)
    assert doubled == {"a": (one * 2, [two * 2, None, "text", 3]), "b": Named(one * 2, (two * 2,)), "c": one * 2}
    assert isinstance(doubled["b"], Named)
    assert isinstance(doubled["a"][1], list)
    assert nest["c"] is one
    assert map_state(lambda s: s * 2, None) is None
    assert map_state(lambda s: s * 2, ()) == ()


def test_detach_state_cuts_the_graph():
    h = torch.ones(1, 2, 3, requires_grad=True) * 2
    for state in (h, (h, h * 2)):
        detached = detach_state(state)
        assert type(detached) is type(state)
        for part, whole in zip(detached, state, strict=True):
            assert not part.requires_grad
            assert torch.equal(part, whole)
    assert detach_state(None) is None


@pytest.mark.parametrize("pair", [False, True])
def test_where_rows_takes_each_row_from_its_state(pair):
    first, second = torch.rand(2, 3, 4), torch.rand(2, 3, 4)
    chosen = where_rows(
        torch.tensor([True, False, True]), (first, -first) if pair else first, (second, -second) if pair else second
    )
    expected = torch.stack((first[:, 0], second[:, 1], first[:, 2]), dim=1)
    assert torch.equal(chosen[0] if pair else chosen, expected)
    if pair:
        assert isinstance(chosen, tuple)
        assert torch.equal(chosen[1], -expected)


@pytest.mark.parametrize("pair", [False, True])
def test_reset_rows_zeroes_rows_that_begin_anew(pair):
    """Also a state that has gone bad; the rest keep their values and gradients, and the given state is unchanged."""
    h = torch.rand(2, 3, 4, requires_grad=True)
    bad = h + torch.tensor([0.0, float("nan"), 0.0])[:, None]
    state = (bad, bad * 2) if pair else bad
    reset = reset_rows(state, torch.tensor([False, True, False]))
    for part, factor in zip(reset, (1, 2), strict=True) if pair else ((reset, 1),):
        assert not part[:, 1].any()
        assert torch.equal(part[:, [0, 2]], h[:, [0, 2]] * factor)
    assert bad[:, 1].isnan().all()
    total = sum(part.sum() for part in reset) if pair else reset.sum()
    (gradient,) = torch.autograd.grad(total, h)
    assert not gradient[:, 1].any()
    assert (gradient[:, [0, 2]] == (3 if pair else 1)).all()


def test_reset_rows_of_none():
    h = torch.rand(2, 3, 4)
    assert torch.equal(reset_rows(h, torch.zeros(3, dtype=torch.bool)), h)
    assert not reset_rows(h, torch.ones(3, dtype=torch.bool)).any()
