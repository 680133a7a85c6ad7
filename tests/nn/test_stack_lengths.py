"""Lengths: every row as if it stood alone and unpadded, whatever stands in the padding."""

import hypothesis
import pytest
import torch
from hypothesis import strategies as st
from torch.nn.utils.rnn import pack_sequence

from rnn_lightning import ArgumentError
from rnn_lightning.nn import force_path
from rnn_lightning.nn.state import map_state

from .helpers import CELLS, DROPPING, PATHS, assert_same, few, make, no_masks, outcome, random_state, twins

B, T, F, H = 3, 4, 2, 3
NAN = float("nan")


def row_by_row(theirs, lengths):
    """torch.nn over each row alone, cut at its own length."""

    def run(x, hx):
        outputs, finals = [], []
        for row, length in enumerate(lengths):
            output = x.new_zeros(T, theirs.hidden_size * (2 if theirs.bidirectional else 1))
            final = map_state(lambda s, row=row: s[:, row], hx)
            if length:
                y, final = theirs(x[row, :length], final)
                output = torch.cat((y, output[length:]))
            outputs.append(output)
            finals.append(final if isinstance(final, tuple) else (final,))
        state = tuple(torch.stack(parts, dim=1) for parts in zip(*finals, strict=True))
        return torch.stack(outputs), state if len(state) == 2 else state[0]

    return run


@pytest.mark.parametrize("path", [*PATHS, "layer by layer"])
@pytest.mark.parametrize("cell", CELLS)
@few(4)
@hypothesis.given(
    lengths=st.lists(st.integers(0, T), min_size=1, max_size=4),
    num_layers=st.integers(1, 2),
    bidirectional=st.booleans(),
    batch_first=st.booleans(),
    dtype=st.sampled_from([torch.int64, torch.int32, torch.uint8]),
)
@hypothesis.example(lengths=[2, 0, 4, 1], num_layers=2, bidirectional=True, batch_first=True, dtype=torch.int64)
@hypothesis.example(lengths=[0, 0], num_layers=2, bidirectional=True, batch_first=False, dtype=torch.int64)
def test_each_row_runs_as_if_alone(cell, path, lengths, num_layers, bidirectional, batch_first, dtype):
    """Outputs, final states and all gradients, with NaN in the padding and some rows of no steps at all."""
    torch.manual_seed(0)
    ours, theirs = twins(cell, F, H, num_layers, bidirectional=bidirectional)
    ours.batch_first = batch_first
    x, hx = torch.randn(len(lengths), T, F, dtype=torch.float64), random_state(ours, len(lengths))
    for row, length in enumerate(lengths):
        x[row, length:] = NAN
    masks = no_masks(ours) if path == "layer by layer" else None

    def run(x, hx):
        y, state = ours(x if batch_first else x.transpose(0, 1), hx, torch.tensor(lengths, dtype=dtype), masks)
        return y if batch_first else y.transpose(0, 1), state

    with force_path("auto" if masks else path):
        actual = outcome(run, ours, x, hx)
    assert_same(actual, outcome(row_by_row(theirs, lengths), theirs, x, hx))


@pytest.mark.parametrize("dropout", ["none", "input and output", "all"])
@pytest.mark.parametrize("path", DROPPING)
@pytest.mark.parametrize("cell", CELLS)
def test_what_stands_past_a_rows_end_does_not_matter(cell, path, dropout):
    """Outputs past the end are exactly zero, no steps leave the state exactly as given, NaN goes nowhere."""
    options = {} if dropout == "none" else {"input_dropout": 0.5, "output_dropout": 0.5}
    layers = make(cell, F, H, 2, bidirectional=True, state_dropout=0.5 if dropout == "all" else 0.0, **options)
    x, hx, lengths = torch.randn(B, T, F, dtype=torch.float64), random_state(layers, B), torch.tensor([2, 0, 4])
    padding = torch.arange(T) >= lengths[:, None]
    masks = layers.sample_masks(B, T)
    results = []
    with force_path(path):
        for filling in (0.0, 1e6, float("inf"), NAN):
            filled = torch.where(padding[..., None], filling, x)
            results.append(outcome(lambda x, hx: layers(x, hx, lengths, masks), layers, filled, hx))
    for result in results:
        assert_same(result, results[0])
        assert not result["output"][padding].any()
        assert not result["gradient of input"][padding].any()
        for name, given in {"h": hx[0], "c": hx[1]}.items() if isinstance(hx, tuple) else {"h": hx}.items():
            assert torch.equal(result[f"state {name}"][:, 1], given[:, 1])


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("cell", CELLS)
def test_full_lengths_change_nothing(cell, path):
    layers = make(cell, F, H, 2, bidirectional=True)
    x, hx = torch.randn(B, T, F, dtype=torch.float64), random_state(layers, B)
    with force_path(path):
        with_lengths = outcome(lambda x, hx: layers(x, hx, torch.full((B,), T)), layers, x, hx)
        assert_same(with_lengths, outcome(layers, layers, x, hx))


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("cell", CELLS)
def test_no_steps_and_no_state_given_is_a_zero_state(cell, path):
    layers = make(cell, F, H)
    with force_path(path):
        y, state = layers(torch.full((B, T, F), NAN, dtype=torch.float64), None, torch.zeros(B, dtype=torch.int64))
    assert not y.any()
    map_state(lambda s: pytest.fail("state") if s.any() else s, state)


@pytest.mark.parametrize("cell", CELLS)
def test_unbatched_input_takes_one_length(cell):
    layers, x = make(cell, F, H, bidirectional=True), torch.randn(T, F, dtype=torch.float64)
    y, state = layers(x[:2])
    for length in (torch.tensor(2), torch.tensor([2])):
        y_cut, state_cut = layers(x, None, length)
        torch.testing.assert_close(y_cut, torch.cat((y, torch.zeros_like(y))))
        torch.testing.assert_close(state_cut, state)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "lengths",
    [
        torch.tensor([1.0, 2.0, 3.0]),
        torch.tensor([True, False, True]),
        torch.tensor([1, 2]),
        torch.tensor([1, 2, 3, 4]),
        torch.tensor([[1, 2, 3]]),
        torch.tensor(2),
        torch.tensor([1, 2, T + 1]),
        torch.tensor([1, 2, -1]),
    ],
    ids=["float", "bool", "too few", "too many", "two dimensions", "no dimension", "too long", "negative"],
)
def test_wrong_lengths_are_refused(lengths, path):
    layers, x = make("lstm", F, H), torch.randn(B, T, F, dtype=torch.float64)
    with force_path(path), pytest.raises(ArgumentError, match=r"^lengths .*: (give|keep)") as caught:
        layers(x, None, lengths)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("lengths", [torch.tensor([1, 2]), torch.tensor(1.0), torch.tensor(T + 1)])
def test_wrong_lengths_of_unbatched_input_are_refused(lengths):
    with pytest.raises(ArgumentError, match=r"^lengths .*: (give|keep)"):
        make("lstm", F, H)(torch.randn(T, F, dtype=torch.float64), None, lengths)


def test_packed_input_refuses_lengths():
    packed = pack_sequence([torch.randn(2, F, dtype=torch.float64)])
    with pytest.raises(ArgumentError, match=r"^lengths given with packed input") as caught:
        make("lstm", F, H)(packed, None, torch.tensor([2]))
    assert "\n" not in str(caught.value)
