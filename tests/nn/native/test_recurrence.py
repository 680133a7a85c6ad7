"""`native_recurrence` against `recurrence`: outputs, states and gradients, for every cell and every kind of input."""

import threading

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rnn_lightning.nn.dropout import Mask
from rnn_lightning.nn.native import native_recurrence, reason
from rnn_lightning.nn.recurrence import recurrence

from ..helpers import slow_cases

pytestmark = pytest.mark.skipif(reason() is not None, reason=f"no native recurrence: {reason()}")

CELLS = ("RNN_TANH", "RNN_RELU", "LSTM", "GRU")
GATES = {"LSTM": 4, "GRU": 3}


def make(mode, steps=5, batch=3, inputs=2, hidden=4, dtype=torch.float64, bias=True, seed=0):
    """x, state and weights, all with gradients."""
    torch.manual_seed(seed)
    rows = GATES.get(mode, 1) * hidden
    shapes = [(rows, inputs), (rows, hidden)] + [(rows,)] * 2 * bias
    weights = [(torch.randn(shape, dtype=dtype) / hidden**0.5).requires_grad_() for shape in shapes]
    state = tuple(torch.randn(batch, hidden, dtype=dtype, requires_grad=True) for _ in range(1 + (mode == "LSTM")))
    return torch.randn(steps, batch, inputs, dtype=dtype, requires_grad=True), state, weights


def outcome(run, mode, x, state, weights, *options):
    """Everything that a run gives: outputs, final state, and all gradients of a fixed random weighting of both."""
    y, final = run(mode, x, state, weights, *options)
    torch.manual_seed(1)
    given = [torch.randn(part.shape, dtype=torch.float64).to(part.dtype) for part in (y, *final)]
    return [y, *final, *torch.autograd.grad([y, *final], [x, *state, *weights], given)]


def assert_equal(mode, x, state, weights, *options):
    exact = x.dtype == torch.float64
    actual = outcome(native_recurrence, mode, x, state, weights, *options)
    doubled = [part.detach().double().requires_grad_() for part in (x, *state, *weights)]
    parts = 1 + len(state)
    expected = outcome(recurrence, mode, doubled[0], tuple(doubled[1:parts]), doubled[parts:], *options)
    for one, other in zip(actual, expected, strict=True):
        scale = max(1.0, float(other.detach().abs().max())) if other.numel() else 1.0
        torch.testing.assert_close(one.double(), other, rtol=0, atol=(1e-12 if exact else 1e-5) * scale)


sizes = st.integers(1, 70)


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_every_shape_mask_length_reset_and_number_of_threads(data):
    draw = data.draw
    mode, dtype = draw(st.sampled_from(CELLS)), draw(st.sampled_from((torch.float32, torch.float64)))
    steps, batch, inputs, hidden = draw(st.integers(1, 8)), draw(sizes), draw(sizes), draw(sizes)
    x, state, weights = make(mode, steps, batch, inputs, hidden, dtype, draw(st.booleans()), draw(st.integers(0, 99)))
    covered = draw(st.sampled_from((0, 1, steps)))
    mask = Mask((torch.rand(covered, batch, hidden) > 0.3).bfloat16(), 1 / 0.7) if covered else None
    lengths = torch.randint(0, steps + 1, (batch,)) if draw(st.booleans()) else None
    reset = torch.rand(steps, batch) < 0.3 if draw(st.booleans()) else None
    before = torch.get_num_threads()
    torch.set_num_threads(draw(st.sampled_from((1, 2, 3, 7))))
    try:
        assert_equal(mode, x, state, weights, mask, lengths, draw(st.booleans()), reset)
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("mode", CELLS)
@pytest.mark.parametrize("threads", [*slow_cases([1, 2]), 5])
def test_enough_work_for_several_threads_and_large_weights(mode, threads):
    """More rows than a group has, weights beyond the cache, and several panels of everything."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        assert_equal(mode, *make(mode, 9, 61, 33, 290, torch.float32))
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("mode", CELLS)
def test_any_strides(mode):
    """Batch-first input, expanded states, transposed weights, every second column, gradients of a transposed output."""
    x, state, weights = make(mode, 5, 3, 4, 6)
    batch_first = x.detach().transpose(0, 1).contiguous().transpose(0, 1)
    wide = torch.randn(5, 3, 8, dtype=torch.float64)[..., ::2]
    turned = [w.detach().t().contiguous().t() if w.dim() == 2 else w.detach() for w in weights]
    expanded = tuple(torch.randn(1, 6, dtype=torch.float64).expand(3, 6) for _ in state)
    for x_as in (batch_first, wide, x.detach()[:, :1].expand(5, 3, 4)):
        one = native_recurrence(mode, x_as, expanded, turned)
        other = recurrence(mode, x_as, expanded, turned)
        torch.testing.assert_close(one, other, rtol=0, atol=1e-13)
    y = native_recurrence(mode, x, state, weights)[0]
    (actual,) = torch.autograd.grad(y.transpose(0, 1).contiguous().transpose(0, 1).sum(), x)  # expanded gradient
    (expected,) = torch.autograd.grad(recurrence(mode, x, state, weights)[0].sum(), x)
    torch.testing.assert_close(actual, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("mode", [*slow_cases(CELLS[:3]), "GRU"])
@pytest.mark.parametrize("options", ["plain", "mask", "lengths", "reset"])
def test_gradcheck_and_gradgradcheck(mode, options):
    x, state, weights = make(mode, 4, 2, 3, 3)
    mask = Mask((torch.rand(4, 2, 3) > 0.4).bfloat16(), 1 / 0.6) if options == "mask" else None
    lengths = torch.tensor([2, 4]) if options == "lengths" else None
    reset = torch.tensor([[0, 1], [1, 0], [0, 0], [1, 1]]).bool() if options == "reset" else None

    def run(x, *rest):
        y, final = native_recurrence(mode, x, rest[: len(state)], rest[len(state) :], mask, lengths, False, reset)
        return y, *final

    assert torch.autograd.gradcheck(run, (x, *state, *weights))
    assert torch.autograd.gradgradcheck(run, (x, *state, *weights))


@pytest.mark.parametrize("mode", CELLS)
@pytest.mark.parametrize("which", range(6))
def test_only_some_gradients_are_wanted(mode, which):
    x, state, weights = make(mode)
    tensors = [x, *state, *weights]
    wanted = tensors[which % len(tensors)]
    for tensor in tensors:
        tensor.requires_grad_(tensor is wanted)
    (actual,) = torch.autograd.grad(native_recurrence(mode, x, state, weights)[0].sum(), wanted)
    (expected,) = torch.autograd.grad(recurrence(mode, x, state, weights)[0].sum(), wanted)
    torch.testing.assert_close(actual, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("mode", CELLS)
def test_a_gradient_of_the_final_state_alone(mode):
    x, state, weights = make(mode)
    actual, expected = (
        torch.autograd.grad(run(mode, x, state, weights)[1][-1].sum(), [x, *weights])
        for run in (native_recurrence, recurrence)
    )
    torch.testing.assert_close(actual, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("mode", CELLS)
def test_batched_gradients(mode):
    x, state, weights = make(mode)
    y = native_recurrence(mode, x, state, weights)[0]
    given = torch.randn(3, *y.shape, dtype=y.dtype)
    (together,) = torch.autograd.grad(y, x, given, is_grads_batched=True, retain_graph=True)
    apart = [torch.autograd.grad(y, x, one, retain_graph=True)[0] for one in given]
    torch.testing.assert_close(together, torch.stack(apart), rtol=0, atol=1e-13)


@pytest.mark.parametrize("mode", CELLS)
def test_what_is_handed_out_may_be_changed_in_place(mode):
    x, state, weights = make(mode)
    expected = outcome(recurrence, mode, x, state, weights)[1 + len(state) :]
    y, final = native_recurrence(mode, x, state, weights)
    torch.manual_seed(1)
    given = [torch.randn(part.shape, dtype=torch.float64) for part in (y, *final)]
    with torch.no_grad():
        for part in (y, *final):
            part.fill_(7.0)
    actual = torch.autograd.grad([y, *final], [x, *state, *weights], given, retain_graph=True)
    again = torch.autograd.grad([y, *final], [x, *state, *weights], given)
    for one, other, third in zip(actual, expected, again, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-12)
        assert torch.equal(one, third)


@pytest.mark.parametrize("mode", CELLS)
def test_results_are_the_same_to_the_bit_whatever_ran_before(mode):
    arguments = make(mode, 7, 40, 5, 33, torch.float32)
    first = outcome(native_recurrence, mode, *arguments)
    outcome(native_recurrence, mode, *make(mode, 3, 64, 9, 70, torch.float32, seed=5))
    for one, other in zip(first, outcome(native_recurrence, mode, *arguments), strict=True):
        assert torch.equal(one, other)


def test_two_threads_of_python_at_once():
    cases = [(mode, *make(mode, 20, 30, 4, 40, torch.float32, seed=seed)) for mode in CELLS for seed in range(2)]
    expected = [outcome(native_recurrence, *case) for case in cases]
    results = {}

    def run(number):
        for _ in range(5):
            results[number] = outcome_of(cases[number])

    def outcome_of(case):
        mode, x, state, weights = case
        y, final = native_recurrence(mode, x, state, weights)
        return [y, *final, *torch.autograd.grad(y.sum(), [x, *weights])]

    alone = [outcome_of(case) for case in cases]
    threads = [threading.Thread(target=run, args=(number,)) for number in range(len(cases))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number, one in enumerate(alone):
        assert all(torch.equal(a, b) for a, b in zip(one, results[number], strict=True))
    assert all(torch.equal(a, b) for a, b in zip(expected[0], outcome(native_recurrence, *cases[0]), strict=True))


@pytest.mark.parametrize("mode", CELLS)
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_nan_and_infinity_go_through_and_stay_in_their_row(mode, value):
    x, state, weights = (part for part in make(mode, 4, 8, 3, 9, torch.float32))
    x = x.detach().clone()
    x[1, 2, 1] = value
    actual, expected = (run(mode, x, state, weights)[0] for run in (native_recurrence, recurrence))
    assert torch.equal(actual.isnan(), expected.isnan())
    assert torch.equal(actual.isinf(), expected.isinf())
    others = [row for row in range(8) if row != 2]
    torch.testing.assert_close(actual[:, others], expected[:, others], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("mode", CELLS)
def test_what_stands_past_a_rows_end_reaches_nothing(mode):
    x, state, weights = make(mode, 6, 4, 3, 5)
    lengths = torch.tensor([6, 0, 3, 1])
    spoilt = x.detach().clone()
    for row, length in enumerate(lengths):
        spoilt[length:, row] = float("nan")
    spoilt.requires_grad_()
    for reverse in (False, True):
        actual = outcome(native_recurrence, mode, spoilt, state, weights, None, lengths, reverse)
        expected = outcome(recurrence, mode, x, state, weights, None, lengths, reverse)
        for one, other in zip(actual, expected, strict=True):
            torch.testing.assert_close(one, other, rtol=0, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_tanh_and_the_logistic_function_keep_their_relative_accuracy(dtype):
    tolerance = {torch.float32: 1e-6, torch.float64: 1e-15}[dtype]
    ends = {torch.float32: (-37.9, 1.94), torch.float64: (-307, 2.8)}[dtype]
    size = torch.logspace(*ends, 20001, dtype=torch.float64).to(dtype)
    grid = torch.linspace(-87.3, 87.3, 40001, dtype=torch.float64).to(dtype)
    x = torch.cat((-size, size, grid, grid.new_zeros(1)))
    one, none = torch.ones(1, 1, dtype=dtype), torch.zeros(1, 1, dtype=dtype)
    column, zero = x[None, :, None], torch.zeros(len(x), 1, dtype=dtype)
    tanh = native_recurrence("RNN_TANH", column, (zero,), (one, none))[0].flatten()
    assert relative(tanh, torch.tanh(x.double()), dtype) <= tolerance
    assert tanh.abs().max() <= 1
    # c = sigmoid(f) 0 + sigmoid(x) tanh(40), the output gate open.
    w_ih = torch.cat((one, none, none, none))
    bias = torch.tensor([0.0, 0.0, 40.0, 40.0], dtype=dtype)
    _, (_, c) = native_recurrence("LSTM", column, (zero, zero), (w_ih, none.expand(4, 1), bias, 0 * bias))
    inside = x > -87.3
    assert relative(c.flatten()[inside], torch.sigmoid(x.double())[inside], dtype) <= tolerance


def relative(actual, expected, dtype):
    """The largest relative error among results that are normal numbers."""
    normal = expected.abs() >= torch.finfo(dtype).tiny
    return float(((actual.double() - expected) / expected)[normal].abs().max())


@pytest.mark.parametrize("mode", CELLS)
def test_no_bias_and_tiny_states_keep_their_digits(mode):
    x, state, weights = make(mode, 20, 4, 3, 8, torch.float32, bias=False)
    x, state = 1e-6 * x.detach(), tuple(1e-6 * part.detach() for part in state)
    doubled = [w.double() for w in weights]
    actual = native_recurrence(mode, x, state, weights)[0]
    expected = recurrence(mode, x.double(), tuple(part.double() for part in state), doubled)[0]
    torch.testing.assert_close(actual.double(), expected, rtol=1e-4, atol=1e-11)


def test_loading_changes_no_floating_point_mode():
    assert native_recurrence("RNN_TANH", torch.ones(1, 1, 1), (torch.zeros(1, 1),), (torch.ones(1, 1),) * 2)[0] > 0
    assert 5e-324 * 1.0 == 5e-324
    assert float(torch.tensor(1e-40) * torch.tensor(1.0)) != 0.0
    tiny = torch.full((1, 1, 1), 1e-40)
    relu = native_recurrence("RNN_RELU", tiny, (torch.zeros(1, 1),), (torch.ones(1, 1), torch.zeros(1, 1)))[0]
    assert float(relu) == float(tiny)


@pytest.mark.parametrize("mode", CELLS)
def test_an_empty_batch(mode):
    x, state, weights = make(mode, 4, 0, 3, 5)
    y, final = native_recurrence(mode, x, state, weights)
    assert y.shape == (4, 0, 5)
    assert all(part.shape == (0, 5) for part in final)
    (gradient,) = torch.autograd.grad(y.sum(), weights[0])
    assert not gradient.any()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("mode", CELLS)
@settings(max_examples=15, deadline=None)
@given(rows=st.integers(2, 8), inputs=sizes, hidden=sizes)
def test_a_row_of_a_few_is_the_same_alone(mode, dtype, rows, inputs, hidden):
    x, state, weights = make(mode, 1, rows, inputs, hidden, dtype)
    x.data[0, 0], state[0].data[0] = float("nan"), float("inf")  # of one row, which the others must not read
    with torch.no_grad():
        together, _ = native_recurrence(mode, x, state, weights)
        for row in range(rows):
            alone, _ = native_recurrence(mode, x[:, [row]], tuple(part[[row]] for part in state), weights)
            assert torch.equal(together[0, row], alone[0, 0]) or row == 0
    assert together[0, 1:].isfinite().all()
