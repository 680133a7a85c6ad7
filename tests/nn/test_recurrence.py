"""`recurrence`: one layer, one direction, step by step."""

import itertools

import pytest
import torch

from rnn_lightning.nn import Mask
from rnn_lightning.nn.recurrence import STEPS, recurrence

T, B, F, H = 3, 2, 2, 2
GATES = {"RNN_TANH": 1, "RNN_RELU": 1, "LSTM": 4, "GRU": 3}
MODES = tuple(GATES)


def problem(mode, bias=True):
    """x, state and weights in float64, with gradients."""
    rows, parts = GATES[mode] * H, 2 if mode == "LSTM" else 1
    shapes = [(T, B, F), *[(B, H)] * parts, (rows, F), (rows, H), *[(rows,)] * (2 if bias else 0)]
    x, *rest = (torch.randn(shape, dtype=torch.float64, requires_grad=True) for shape in shapes)
    return x, tuple(rest[:parts]), rest[parts:]


def test_every_mode_is_here():
    assert set(STEPS) == set(MODES)


@pytest.mark.parametrize("reverse", [False, True], ids=["forward", "reverse"])
@pytest.mark.parametrize("mode", MODES)
def test_gradients_equal_finite_differences(mode, reverse):
    """With and without lengths, biases and masks, fresh and variational; also the masks' own gradients."""
    for lengths, bias, steps in itertools.product((None, (3, 1), (0, 2)), (True, False), (None, 1, T)):
        x, state, weights = problem(mode, bias)
        mask = None if steps is None else (torch.rand(steps, B, H, dtype=torch.float64) + 0.5).requires_grad_()
        lengths = None if lengths is None else torch.tensor(lengths)

        def run(x, mask, *rest, lengths=lengths):
            parts = 2 if mode == "LSTM" else 1
            mask = None if mask is None else Mask(mask, 1.5)
            y, final = recurrence(mode, x, rest[:parts], rest[parts:], mask, lengths, reverse)
            return (y, *final)

        assert torch.autograd.gradcheck(run, (x, mask, *state, *weights))


@pytest.mark.parametrize("mode", MODES)
def test_reverse_is_forward_on_reversed_time(mode):
    x, state, weights = problem(mode)
    mask = torch.rand(T, B, H, dtype=torch.float64)
    y, final = recurrence(mode, x, state, weights, Mask(mask, 2.0), reverse=True)
    y_flipped, final_flipped = recurrence(mode, x.flip(0), state, weights, Mask(mask.flip(0), 2.0))
    torch.testing.assert_close(y, y_flipped.flip(0))
    torch.testing.assert_close(final, final_flipped)


def scalar(mode, x, state, w_ih, w_hh, **options):
    """A layer of one unit on one row: lists of numbers in, the list of outputs and the final state out."""
    tensors = [torch.tensor(v, dtype=torch.float64) for v in (x, w_ih, w_hh)]
    y, final = recurrence(
        mode,
        tensors[0][:, None, None],
        tuple(torch.full((1, 1), s, dtype=torch.float64) for s in state),
        [w[:, None] for w in tensors[1:]],
        **options,
    )
    return y.flatten().tolist(), [s.item() for s in final]


def test_a_relu_network_of_one_unit():
    """h_t = relu(x_t + h_(t-1) / 2) by hand."""
    assert scalar("RNN_RELU", [1.0, -3.0, 2.0], [4.0], [1.0], [0.5]) == ([3.0, 0.0, 2.0], [2.0])
    assert scalar("RNN_RELU", [1.0, -3.0, 2.0], [4.0], [1.0], [0.5], reverse=True) == ([1.0, 0.0, 4.0], [1.0])


def test_the_mask_acts_on_what_a_step_hands_on():
    """The step's output and the state given are whole; the final state is masked."""
    mask = Mask(torch.tensor([1.0, 0.0, 1.0], dtype=torch.float64)[:, None, None], 2.0)
    y, final = scalar("RNN_RELU", [1.0, 1.0, 1.0], [4.0], [1.0], [1.0], mask=mask)
    assert (y, final) == ([5.0, 11.0, 1.0], [2.0])
    y, final = scalar("RNN_RELU", [1.0, 1.0, 1.0], [4.0], [1.0], [1.0], mask=mask, reverse=True)
    assert (y, final) == ([1.0, 11.0, 5.0], [2.0])  # time 2 first: 5, handed on as 10; 11, handed on as 0; 1, as 2
    y, final = scalar("RNN_RELU", [1.0, 1.0], [4.0], [1.0], [1.0], mask=mask._replace(keep=mask.keep[:1]))
    assert (y, final) == ([5.0, 11.0], [22.0])


def test_the_mask_spares_the_memory():
    """With all gates half open, c_t = c_(t-1) / 2 whatever happens to h."""
    y, (h, c) = scalar("LSTM", [0.0, 0.0], [0.0, 8.0], [0.0] * 4, [0.0] * 4, mask=Mask(torch.zeros(1, 1, 1), 2.0))
    assert (h, c) == (0.0, 2.0)
    assert y == pytest.approx([0.5 * torch.tanh(torch.tensor(c, dtype=torch.float64)).item() for c in (4.0, 2.0)])


def test_a_gru_keeps_half_of_what_was_handed_on():
    """With all gates half open, h_t = m h_(t-1) / 2."""
    mask = Mask(torch.ones(1, 1, 1, dtype=torch.float64), 3.0)
    assert scalar("GRU", [0.0, 0.0], [8.0], [0.0] * 3, [0.0] * 3, mask=mask) == ([4.0, 6.0], [18.0])


def test_lengths_by_hand():
    """h_t = x_t + h_(t-1) for rows of 3, 1 and 0 steps, in both directions of time."""
    one = torch.ones(1, 1, dtype=torch.float64)
    x, h = torch.ones(3, 3, 1, dtype=torch.float64), torch.tensor([[10.0], [20.0], [30.0]], dtype=torch.float64)
    x[1:, 1], x[:, 2] = float("nan"), float("nan")
    for reverse, first in ((False, [11.0, 12.0, 13.0]), (True, [13.0, 12.0, 11.0])):
        y, (final,) = recurrence("RNN_RELU", x, (h,), [one, one], lengths=torch.tensor([3, 1, 0]), reverse=reverse)
        assert y[:, :, 0].T.tolist() == [first, [21.0, 0.0, 0.0], [0.0, 0.0, 0.0]]
        assert final[:, 0].tolist() == [13.0, 21.0, 30.0]
