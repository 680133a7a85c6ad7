"""`reset`: rows in which sequences follow one another, as if each sequence stood alone."""

import itertools

import hypothesis
import pytest
import torch
from hypothesis import strategies as st
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from rnn_lightning import ArgumentError
from rnn_lightning.nn import DropoutMasks, LayerMasks, Seq2SeqNet, force_path
from rnn_lightning.nn.state import map_state
from rnn_lightning.nn.unrolled import unrolled

from .helpers import CELLS, assert_same, few, make, outcome, random_state, twins

B, T, F, H = 3, 6, 2, 3
RESET = torch.tensor([[1, 0, 1, 1, 0, 0], [0, 0, 0, 0, 1, 0], [0, 0, 0, 0, 0, 0]], dtype=torch.bool)


def row_of_masks(masks, row, start, stop):
    """The masks of one row and a stretch of time."""
    if masks is None:
        return None
    layers = tuple(
        LayerMasks(*(None if m is None else m._replace(keep=m.keep[..., row : row + 1, :]) for m in layer))
        for layer in masks.layers
    )
    return DropoutMasks(layers, masks.variational).narrow(start, stop)


def cut(layers, lengths, reset, masks=None):
    """Every sequence of every row alone: from zero, or from the row's initial state where no reset comes before it."""
    directions = 2 if layers.bidirectional else 1

    def run(x, hx):
        outputs, finals = [], []
        for row, length in enumerate(lengths):
            begins = [0, *(t for t in range(1, length) if reset[row, t]), length]
            given = map_state(lambda s, row=row: s[:, row : row + 1], hx)
            zero = map_state(torch.zeros_like, given)
            forward = torch.arange(layers.num_layers * directions) % directions == 0
            pieces, ends = [x.new_zeros(1, 0, layers.hidden_size * directions)], []
            for start, stop in itertools.pairwise(begins):
                first = given if start == 0 and not reset[row, 0] else zero
                last = given if stop == length else zero
                state = mix(forward, first, last)
                if length:
                    options = {} if masks is None else {"masks": row_of_masks(masks, row, start, stop)}
                    y, state = layers(x[row : row + 1, start:stop], state, **options)
                    pieces.append(y)
                ends.append(state)
            end = mix(forward, ends[-1], ends[0]) if length else given
            finals.append(end if isinstance(end, tuple) else (end,))
            outputs.append(torch.cat((*pieces, x.new_zeros(1, T - length, layers.hidden_size * directions)), dim=1))
        state = tuple(torch.cat(parts, dim=1) for parts in zip(*finals, strict=True))
        return torch.cat(outputs), state if len(state) == 2 else state[0]

    return run


def mix(forward, one, other):
    """The forward directions' rows of one state, the backward directions' of another."""
    if isinstance(one, tuple):
        return tuple(mix(forward, *pair) for pair in zip(one, other, strict=True))
    return torch.where(forward[:, None, None], one, other)


@pytest.mark.parametrize("cell", CELLS)
@few(10)
@hypothesis.given(
    reset=st.lists(st.lists(st.booleans(), min_size=T, max_size=T), min_size=1, max_size=3),
    lengths=st.none() | st.lists(st.integers(0, T), min_size=3, max_size=3),
    num_layers=st.integers(1, 2),
    bidirectional=st.booleans(),
    batch_first=st.booleans(),
)
@hypothesis.example(RESET.tolist(), [6, 4, 0], 2, True, True)
@hypothesis.example(RESET.tolist(), [3, 5, 1], 2, True, False)
@hypothesis.example([[True] * T] * 2, None, 1, False, True)
def test_equals_torch_on_every_sequence_alone(cell, reset, lengths, num_layers, bidirectional, batch_first):
    """Outputs, final states and all gradients; NaN in the padding goes nowhere."""
    torch.manual_seed(0)
    reset = torch.tensor(reset)
    ours, theirs = twins(cell, F, H, num_layers, bidirectional=bidirectional)
    ours.batch_first = batch_first
    x, hx = torch.randn(len(reset), T, F, dtype=torch.float64), random_state(ours, len(reset))
    given = None if lengths is None else torch.tensor(lengths[: len(reset)])
    ends = [T] * len(reset) if given is None else given.tolist()
    for row, end in enumerate(ends):
        x[row, end:] = float("nan")

    def run(x, hx):
        if batch_first:
            return ours(x, hx, given, reset=reset)
        y, state = ours(x.transpose(0, 1), hx, given, reset=reset.T)
        return y.transpose(0, 1), state

    assert_same(outcome(run, ours, x, hx), outcome(cut(theirs, ends, reset), theirs, x, hx))


@pytest.mark.parametrize("variational", [False, True], ids=["fresh", "variational"])
@pytest.mark.parametrize("cell", CELLS)
def test_masks_stay_where_they_are_in_time(cell, variational):
    options = {"input_dropout": 0.3, "output_dropout": 0.4, "state_dropout": 0.5}
    layers = make(cell, F, H, 2, bidirectional=True, variational=variational, **options)
    x, hx, masks = torch.randn(B, T, F, dtype=torch.float64), random_state(layers, B), layers.sample_masks(B, T)
    lengths = [6, 5, 3]
    actual = outcome(lambda x, hx: layers(x, hx, torch.tensor(lengths), masks, RESET), layers, x, hx)
    assert_same(actual, outcome(cut(layers, lengths, RESET, masks), layers, x, hx))


@pytest.mark.parametrize("cell", CELLS)
def test_no_gradient_goes_back_across_a_reset(cell):
    layers, x = make(cell, F, H, 2), torch.randn(1, T, F, dtype=torch.float64, requires_grad=True)
    reset = torch.arange(T)[None] == 3
    y, _ = layers(x, reset=reset)
    (gradient,) = torch.autograd.grad(y[:, 3:].sum(), x)
    assert not gradient[:, :3].any()
    assert gradient[:, 3:].all()


@pytest.mark.parametrize("cell", CELLS)
def test_a_state_gone_bad_ends_at_the_reset(cell):
    layers, x = make(cell, F, H), torch.randn(1, T, F, dtype=torch.float64)
    x[:, 2] = float("nan")
    y, _ = layers(x, reset=torch.arange(T)[None] == 3)
    assert y[:, 2].isnan().all()
    torch.testing.assert_close(y[:, 3:], layers(x[:, 3:])[0])


@pytest.mark.parametrize("cell", CELLS)
def test_unbatched_packed_and_no_reset(cell):
    layers, x = make(cell, F, H, bidirectional=True), torch.randn(B, T, F, dtype=torch.float64)
    lengths = torch.tensor([4, 6, 2])
    y, state = layers(x, None, lengths, reset=RESET)
    one, final = layers(x[0], None, lengths[0], reset=RESET[0])
    torch.testing.assert_close(one, y[0])
    torch.testing.assert_close(final, map_state(lambda s: s[:, 0], state))
    packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
    out, final = layers(packed, reset=RESET)
    torch.testing.assert_close(pad_packed_sequence(out, batch_first=True)[0], y)
    torch.testing.assert_close(final, state)
    none = layers(x, None, lengths, reset=torch.zeros_like(RESET))
    torch.testing.assert_close(none, layers(x, None, lengths))


def test_the_networks_and_the_unrolled_stack_take_it():
    net = Seq2SeqNet(F, 2, "lstm", hidden_size=H, num_layers=2, bidirectional=True).double()
    x, lengths = torch.randn(B, T, F, dtype=torch.float64), torch.tensor([6, 4, 0])
    start = random_state(net.layers, B)
    output, state = net.layers(x, start, lengths, reset=RESET)
    y, final = net(x, start, lengths, reset=RESET)
    past = torch.arange(T) >= lengths[:, None]
    torch.testing.assert_close(y, net.head(output).masked_fill(past[..., None], 0.0))
    torch.testing.assert_close(final, state)
    run = unrolled(net.layers, x, start, lengths, RESET)
    torch.testing.assert_close(run.output.masked_fill(past[..., None], 0.0), output)
    torch.testing.assert_close(run.state, state)


@pytest.mark.parametrize(
    "reset",
    [RESET.long(), RESET.float(), RESET.T, RESET[0], RESET[:, :2], RESET[:2]],
    ids=["integers", "floats", "turned", "one row", "too few steps", "too few rows"],
)
def test_a_wrong_reset_is_refused(reset):
    with pytest.raises(ArgumentError, match=r"^reset is .*: give bool of shape \(3, 6\)") as caught:
        make("gru", F, H)(torch.randn(B, T, F, dtype=torch.float64), reset=reset)
    assert "\n" not in str(caught.value)


def test_a_path_without_reset_says_so():
    with force_path("torch"), pytest.raises(ArgumentError, match="reset"):
        make("gru", F, H)(torch.randn(B, T, F, dtype=torch.float64), reset=RESET)
