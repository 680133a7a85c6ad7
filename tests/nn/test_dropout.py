"""Dropout masks: their shapes, values and statistics."""

import dataclasses
import itertools
import math

import pytest
import torch

from rnn_lightning import ArgumentError
from rnn_lightning.nn import DropoutMasks, Mask
from rnn_lightning.nn.dropout import check_probability, drop
from rnn_lightning.nn.mask_drawing import draw_mask

from .helpers import DEVICES, make

P = {"input_dropout": 0.1, "output_dropout": 0.5, "state_dropout": 0.9}


def all_masks(masks):
    """The masks of all layers with their probability of dropping."""
    return [(mask.keep, p) for layer in masks.layers for mask, p in zip(layer, P.values(), strict=True)]


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("variational", [False, True])
def test_shapes(variational, bidirectional):
    layers = make("lstm", 5, 3, 2, bidirectional=bidirectional, variational=variational, **P)
    masks, time, directions = layers.sample_masks(4, 7), 1 if variational else 7, 2 if bidirectional else 1
    assert masks.variational == variational
    for layer, features in zip(masks.layers, (5, 3 * directions), strict=True):
        assert layer.input.keep.shape == (time, 4, features)
        assert layer.output.keep.shape == (time, 4, 3 * directions)
        assert layer.state.keep.shape == (time, directions, 4, 3)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("rows", [1, 7], ids=["variational", "fresh"])
def test_what_is_kept_is_scaled_and_so_is_its_gradient(rows, dtype):
    x, mask = torch.randn(7, 4, 5, dtype=dtype, requires_grad=True), draw_mask((rows, 4, 5), 0.3, torch.device("cpu"))
    y = drop(x, mask)
    expected = torch.where(mask.keep.bool(), x / 0.7, 0.0)
    tolerance = {} if dtype != torch.bfloat16 else {"rtol": 0.02, "atol": 0.0}
    torch.testing.assert_close(y, expected, **tolerance)
    grad = torch.randn_like(y)
    (actual,), (wanted,) = torch.autograd.grad(y, x, grad), torch.autograd.grad(expected, x, grad)
    torch.testing.assert_close(actual, wanted, **tolerance)


@pytest.mark.parametrize("rows", [1, 3])
def test_second_derivatives_of_a_masked_input(rows):
    x, mask = torch.randn(3, 2, 4, dtype=torch.float64, requires_grad=True), torch.randint(0, 2, (rows, 2, 4))
    assert torch.autograd.gradgradcheck(lambda x: drop(x.sin(), Mask(mask.bfloat16(), 1 / 0.6)), x)


def test_fresh_masks_stay_small_for_the_backward_pass():
    """Of what autograd keeps, nothing is a mask in float32."""
    kept = []
    x = torch.randn(6, 4, 5, requires_grad=True)
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t.dtype) or t, lambda t: t):
        drop(x, draw_mask((6, 4, 5), 0.3, x.device))
    assert kept == [torch.bfloat16]


def test_no_dropout_has_no_masks():
    assert make("gru", 5, 3, variational=True).sample_masks(4) is None
    assert make("gru", 5, 3).sample_masks(4) is None
    masks = make("gru", 5, 3, state_dropout=0.5).sample_masks(4, 2)
    assert masks.layers[0].input is None
    assert masks.layers[0].output is None


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("variational", [False, True], ids=["fresh", "variational"])
def test_keep_rate(variational, device):
    """Within 5 standard deviations: kept with 1 - p."""
    layers = make("lstm", 50, 40, 2, bidirectional=True, variational=variational, device=device, **P)
    for mask, p in all_masks(layers.sample_masks(200 if variational else 20, 10)):
        kept, n = mask[mask > 0], mask.numel()
        assert n >= 8000
        assert set(mask.unique().tolist()) == {0.0, 1.0}
        assert abs(len(kept) / n - (1 - p)) < 5 * math.sqrt(p * (1 - p) / n)


@pytest.mark.parametrize("variational", [False, True], ids=["fresh", "variational"])
def test_layers_kinds_directions_rows_steps_and_units_are_independent(variational):
    """Every pair of masks, and every mask with itself shifted along any dimension, is uncorrelated within 5 sigma."""
    layers = make("lstm", 40, 40, 3, variational=variational, **dict.fromkeys(P, 0.5))
    both = make("lstm", 40, 40, 1, bidirectional=True, variational=variational, **dict.fromkeys(P, 0.5))
    batch, steps = (200, None) if variational else (20, 10)
    masks = [mask.keep for layer in layers.sample_masks(batch, steps).layers for mask in layer]
    two_ways = both.sample_masks(batch, steps).layers[0].state.keep
    pairs = list(itertools.combinations([mask.flatten() for mask in masks], 2))
    pairs.append((two_ways[:, 0].flatten(), two_ways[:, 1].flatten()))
    for mask in masks:
        for dim, size in enumerate(mask.shape):
            if size > 1:
                pairs.append((mask.narrow(dim, 1, size - 1).flatten(), mask.narrow(dim, 0, size - 1).flatten()))
    for one, other in pairs:
        correlation = ((2 * one.float() - 1) * (2 * other.float() - 1)).mean()  # entries -1 or 1: mean 0, variance 1
        assert abs(float(correlation)) < 5 / math.sqrt(one.numel())


def test_a_seed_draws_the_same_masks():
    layers = make("gru", 5, 3, 2, **P)
    draws = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        draws.append(torch.cat([mask.flatten() for mask, _ in all_masks(layers.sample_masks(4, 7))]))
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])


def test_masks_cannot_be_changed_in_place():
    masks = make("gru", 5, 3, **P).sample_masks(4, 7)
    with pytest.raises(dataclasses.FrozenInstanceError):
        masks.variational = True


def test_one_piece_joins_to_itself():
    masks = make("gru", 5, 3, **P).sample_masks(4, 7)
    assert DropoutMasks.cat([masks]) is masks


def test_probabilities():
    assert check_probability("p", 0) == 0.0
    assert isinstance(check_probability("p", 0), float)
    assert check_probability("p", 0.999) == 0.999
    for wrong in (1, 1.0, -1e-9, float("nan"), float("inf"), False, "0.1", None, torch.tensor(0.1)):
        with pytest.raises(ArgumentError, match=r"^input_dropout=.* is not in \[0, 1\)") as caught:
            check_probability("input_dropout", wrong)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("variational", [False, True], ids=["fresh", "variational"])
def test_masks_keep_their_own_p_in_a_layer_with_another(variational):
    """What is kept is scaled by the p that the mask was drawn with, at each of the three places."""
    drawn = make("rnn_relu", 5, 3, 2, variational=variational, **P)
    other = make("rnn_relu", 5, 3, 2, variational=variational, **dict.fromkeys(P, 0.3))
    none = make("rnn_relu", 5, 3, 2)
    for layers in (other, none):
        layers.load_state_dict(drawn.state_dict())
    x, masks = torch.randn(4, 7, 5, dtype=torch.float64), drawn.sample_masks(4, 7)
    expected = drawn(x, masks=masks)
    for layers in (other, none):
        torch.testing.assert_close(layers(x, masks=masks), expected, rtol=0, atol=0)


def test_masks_of_different_p_are_not_joined():
    one, other = (make("gru", 5, 3, state_dropout=p).sample_masks(4, 2) for p in (0.3, 0.4))
    with pytest.raises(ArgumentError, match="different p"):
        DropoutMasks.cat([one, other])


@pytest.mark.parametrize("rows", [1, 3], ids=["variational", "fresh"])
def test_transforms_pass_through_a_masked_input(rows):
    x, tangent = torch.randn(2, 3, 2, 4, dtype=torch.float64).unbind(0)
    mask = Mask(torch.randint(0, 2, (rows, 2, 4)).bfloat16(), 1 / 0.6)
    factors = mask.factors(torch.float64)
    value, change = torch.func.jvp(lambda x: drop(x, mask), (x,), (tangent,))
    torch.testing.assert_close(value, x * factors)
    torch.testing.assert_close(change, tangent * factors)
    torch.testing.assert_close(torch.func.jacrev(lambda x: drop(x, mask).sum())(x), factors.expand_as(x))
    torch.testing.assert_close(
        torch.vmap(lambda x: drop(x, mask))(torch.stack((x, tangent))), torch.stack((value, change))
    )
