"""Chunks of a sequence with carried state equal the whole sequence: outputs, final state and gradients."""

import hypothesis
import pytest
import torch
from hypothesis import strategies as st

from rnn_lightning.nn import DropoutMasks, force_path

from .helpers import CELLS, assert_same, few, make, outcome, random_state

T, F, H = 7, 2, 3
DROPOUTS = {"input_dropout": 0.3, "output_dropout": 0.3, "state_dropout": 0.3}


def in_chunks(layers, cuts, lengths, masks):
    """Runs the sequence in the chunks between `cuts`, the state carried with its graph."""

    def run(x, state):
        outputs = []
        for start, stop in zip((0, *cuts), (*cuts, T), strict=True):
            chunk_lengths = None if lengths is None else (lengths - start).clamp(0, stop - start)
            chunk_masks = None if masks is None else masks.narrow(start, stop)
            y, state = layers(x[:, start:stop], state, chunk_lengths, chunk_masks)
            outputs.append(y)
        return torch.cat(outputs, dim=1), state

    return run


@pytest.mark.parametrize("mode", ["eval", "variational masks", "fresh masks"])
@pytest.mark.parametrize("path", ["auto", "fused", "reference"])
@pytest.mark.parametrize("cell", CELLS)
@few(8)
@hypothesis.given(
    cuts=st.sets(st.integers(1, T - 1)).map(sorted),
    lengths=st.none() | st.lists(st.integers(0, T), min_size=1, max_size=3),
    num_layers=st.integers(1, 2),
    state_given=st.booleans(),
    state_dropout=st.sampled_from([0.0, 0.3]),
)
@hypothesis.example(cuts=[2, 5], lengths=[4, 0, 7], num_layers=2, state_given=True, state_dropout=0.3)
@hypothesis.example(cuts=[3, 6], lengths=[3, 6, 1], num_layers=2, state_given=True, state_dropout=0.0)
def test_chunks_equal_the_whole(cell, path, mode, cuts, lengths, num_layers, state_given, state_dropout):
    torch.manual_seed(0)
    options = DROPOUTS | {"state_dropout": state_dropout}
    layers = make(cell, F, H, num_layers, variational=mode == "variational masks", **options)
    batch = 2 if lengths is None else len(lengths)
    lengths = None if lengths is None else torch.tensor(lengths)
    x, hx = torch.randn(batch, T, F, dtype=torch.float64), random_state(layers, batch) if state_given else None
    masks = layers.sample_masks(batch, T) if mode != "eval" else None
    layers.train(mode != "eval")
    with force_path(path):
        expected = outcome(lambda x, hx: layers(x, hx, lengths, masks), layers, x, hx)
        assert_same(outcome(in_chunks(layers, cuts, lengths, masks), layers, x, hx), expected)


@few(20)
@hypothesis.given(cuts=st.sets(st.integers(1, T - 1)).map(sorted), variational=st.booleans())
def test_masks_cut_and_joined_are_the_same_masks(cuts, variational):
    torch.manual_seed(0)
    layers = make("lstm", F, H, 2, bidirectional=True, variational=variational, input_dropout=0.5, state_dropout=0.5)
    whole = layers.sample_masks(3, T)
    joined = DropoutMasks.cat([whole.narrow(a, b) for a, b in zip((0, *cuts), (*cuts, T), strict=True)])
    assert joined.variational == variational
    for one, other in zip(joined.layers, whole.layers, strict=True):
        assert one.output is None
        assert other.output is None
        for part, given in ((one.input, other.input), (one.state, other.state)):
            assert torch.equal(part.keep, given.keep)
            assert part.scale == given.scale


def test_masks_drawn_chunk_by_chunk_join_to_masks_of_the_whole():
    layers = make("gru", F, H, 2, **DROPOUTS)
    x, sizes = torch.randn(2, T, F, dtype=torch.float64), (3, 3, 1)
    pieces = [layers.sample_masks(2, size) for size in sizes]
    state, outputs = None, []
    for chunk, masks in zip(x.split(sizes, dim=1), pieces, strict=True):
        y, state = layers(chunk, state, masks=masks)
        outputs.append(y)
    whole, final = layers(x, masks=DropoutMasks.cat(pieces))
    torch.testing.assert_close(torch.cat(outputs, dim=1), whole)
    torch.testing.assert_close(state, final)


def test_the_first_steps_of_narrowed_masks():
    masks = make("gru", F, H, **DROPOUTS).sample_masks(2, T)
    part = masks.narrow(2, 5)
    for place, mask in zip(part.layers[0], masks.layers[0], strict=True):
        assert torch.equal(place.keep, mask.keep[2:5])
        assert place.scale == mask.scale


def test_variational_masks_fit_any_stretch():
    masks = make("gru", F, H, variational=True, **DROPOUTS).sample_masks(2, T)
    assert masks.narrow(2, 5) is masks
    assert DropoutMasks.cat([masks, masks]) is masks
