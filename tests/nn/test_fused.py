"""`fused_recurrence` against `recurrence`: outputs, states, gradients, in blocks of every size, with either library."""

import itertools
import threading

import pytest
import torch
from torch._subclasses import FakeTensorMode
from torch.utils.checkpoint import checkpoint

import rnn_lightning.nn
import rnn_lightning.nn.fused_product as products
import rnn_lightning.nn.fused_steps as fused_steps
from rnn_lightning.nn import Mask, force_path
from rnn_lightning.nn.fused import fused_recurrence
from rnn_lightning.nn.recurrence import recurrence

from .test_recurrence import GATES, MODES

T, B, F, H = 5, 3, 2, 4


def problem(mode, bias=True, sizes=(T, B, F, H), dtype=torch.float64):
    """x, state and weights as leaves."""
    steps, batch, features, hidden = sizes
    rows, parts = GATES[mode] * hidden, 2 if mode == "LSTM" else 1
    shapes = [(steps, batch, features), *[(batch, hidden)] * parts]
    weights = [(rows, features), (rows, hidden), *[(rows,)] * (2 if bias else 0)]
    leaves = [torch.randn(shape, dtype=dtype) for shape in shapes]
    leaves += [torch.randn(shape, dtype=dtype) / hidden**0.5 for shape in weights]
    return [leaf.requires_grad_() for leaf in leaves]


def outcome(run, mode, leaves, *args, use="both"):
    """Output and states, then the gradients of a random sum of the output, of the states or of both."""
    parts = 2 if mode == "LSTM" else 1
    y, final = run(mode, leaves[0], tuple(leaves[1 : 1 + parts]), leaves[1 + parts :], *args)
    values = {"both": (y, *final), "output": (y,), "state": final}[use]
    generator = torch.Generator().manual_seed(1)
    total = sum((v * torch.randn(v.shape, generator=generator, dtype=torch.float64).to(v)).sum() for v in values)
    wanted = [leaf for leaf in leaves if leaf.requires_grad]
    return [y, *final, *torch.autograd.grad(total, wanted, allow_unused=True, materialize_grads=True)]


@pytest.mark.parametrize(("memory", "narrow"), [(2**23, 96), (0, 1)], ids=["kept", "made again"])
@pytest.mark.parametrize("block", [2**19, 100, 1])
@pytest.mark.parametrize("reverse", [False, True], ids=["forward", "reverse"])
@pytest.mark.parametrize("mode", MODES)
def test_equals_the_reference(mode, reverse, block, memory, narrow, monkeypatch):
    """Also where the gates are not kept for the backward pass but made again, and the bias is no weight of the input."""
    monkeypatch.setattr(fused_steps, "MEMORY", memory)
    monkeypatch.setattr(fused_steps, "NARROW", narrow)
    monkeypatch.setattr(fused_steps, "BLOCK", block)
    cases = itertools.product((True, False), (None, 1, T), (None, (5, 1, 3), (0, 4, 2), (3, 3, 0), (0, 0, 0)))
    for (bias, rows, lengths), use in itertools.product(cases, ("both", "output", "state")):
        leaves = problem(mode, bias)
        mask = None if rows is None else Mask((torch.rand(rows, B, H) > 0.5).double(), 2.0)
        args = mask, None if lengths is None else torch.tensor(lengths), reverse
        actual, expected = (outcome(run, mode, leaves, *args, use=use) for run in (fused_recurrence, recurrence))
        for one, other in zip(actual, expected, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("lengths", [None, (5, 1, 3)], ids=["full", "lengths"])
@pytest.mark.parametrize("mode", MODES)
def test_gradients_equal_finite_differences(mode, lengths):
    leaves, parts = problem(mode), 2 if mode == "LSTM" else 1
    mask, lengths = (
        Mask(torch.rand(T, B, H, dtype=torch.float64) + 0.5, 1.0),
        None if lengths is None else torch.tensor(lengths),
    )

    def run(x, *rest):
        y, final = fused_recurrence(mode, x, rest[:parts], rest[parts:], mask, lengths)
        return (y, *final)

    assert torch.autograd.gradcheck(run, leaves)


@pytest.mark.parametrize("reverse", [False, True], ids=["forward", "reverse"])
@pytest.mark.parametrize("mode", MODES)
def test_float32_is_as_exact_as_the_reference(mode, reverse, monkeypatch):
    """Against float64, with oneDNN at every product of this size; a layout that oneDNN misread would be far off."""
    for limit in ("SMALLEST", "NARROW", "MANY"):
        monkeypatch.setattr(products, limit, 1)
    exact = problem(mode, sizes=(20, 32, 16, 48))
    mask = Mask((torch.rand(20, 32, 48) > 0.5).bfloat16(), 2.0)
    rounded = [leaf.detach().float().requires_grad_() for leaf in exact]
    for lengths in (None, torch.randint(0, 21, (32,))):
        expected = outcome(recurrence, mode, exact, mask, lengths, reverse)
        by_step = outcome(recurrence, mode, rounded, mask, lengths, reverse)
        actual = outcome(fused_recurrence, mode, rounded, mask, lengths, reverse)
        for one, step, other in zip(actual, by_step, expected, strict=True):
            error, usual = ((v.double() - other).norm() / other.norm() for v in (one, step))
            assert error < 1e-5 + 5 * usual


@pytest.mark.parametrize("mode", MODES)
def test_without_onednn_the_numbers_are_the_same(mode, monkeypatch):
    leaves = problem(mode, sizes=(4, 32, 16, 48), dtype=torch.float32)
    for limit in ("SMALLEST", "NARROW", "MANY"):
        monkeypatch.setattr(products, limit, 1)
    with_it = outcome(fused_recurrence, mode, leaves)
    monkeypatch.setattr(products, "_linear", None)
    for one, other in zip(with_it, outcome(fused_recurrence, mode, leaves), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("sizes", list(itertools.product((1, 3), (1, 2), (1, 2), (1, 2))), ids=str)
@pytest.mark.parametrize("mode", MODES)
def test_single_steps_rows_features_and_units(mode, sizes):
    """Where a matrix is a row, its transpose is the same memory: what is scaled must be a copy."""
    leaves = problem(mode, sizes=sizes)
    before = [leaf.detach().clone() for leaf in leaves]
    for one, other in zip(outcome(fused_recurrence, mode, leaves), outcome(recurrence, mode, leaves), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-11)
    for leaf, value in zip(leaves, before, strict=True):
        assert torch.equal(leaf, value)


@pytest.mark.parametrize("mode", MODES)
def test_two_runs_are_bit_for_bit_the_same(mode):
    leaves = problem(mode, sizes=(6, 64, 16, 64), dtype=torch.float32)
    for one, other in zip(*(outcome(fused_recurrence, mode, leaves) for _ in range(2)), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("mode", MODES)
def test_only_what_is_wanted_has_gradients(mode):
    """Each leaf alone, frozen ones left out: the same gradients."""
    leaves = problem(mode)
    everything = outcome(recurrence, mode, leaves)[-len(leaves) :]
    for k, expected in enumerate(everything):
        alone = [leaf.detach().requires_grad_(j == k) for j, leaf in enumerate(leaves)]
        torch.testing.assert_close(outcome(fused_recurrence, mode, alone)[-1], expected, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("mode", MODES)
def test_inference_gives_the_numbers_of_training(mode, monkeypatch):
    monkeypatch.setattr(fused_steps, "BLOCK", 100)
    leaves, parts = problem(mode), 2 if mode == "LSTM" else 1
    args = mode, leaves[0], tuple(leaves[1 : 1 + parts]), leaves[1 + parts :]
    y, final = fused_recurrence(*args)
    with torch.no_grad():
        y_0, final_0 = fused_recurrence(*args)
    assert not y_0.requires_grad
    assert torch.equal(y, y_0)
    assert all(torch.equal(*pair) for pair in zip(final, final_0, strict=True))


def output_of(mode, leaves):
    parts = 2 if mode == "LSTM" else 1
    return fused_recurrence(mode, leaves[0], tuple(leaves[1 : 1 + parts]), leaves[1 + parts :])[0]


@pytest.mark.parametrize("mode", MODES)
def test_a_second_derivative_is_a_clear_error(mode):
    leaves = problem(mode)
    y = output_of(mode, leaves)
    with pytest.raises(RuntimeError, match=r'create_graph=True: .*force_path\("reference"\)'):
        torch.autograd.grad(y.sum(), leaves[:1], create_graph=True)


@pytest.mark.parametrize("mode", MODES)
def test_the_graph_can_be_walked_twice(mode):
    leaves = problem(mode)
    y = output_of(mode, leaves)
    one, other = (torch.autograd.grad(y.sum(), leaves, retain_graph=True) for _ in range(2))
    assert all(torch.equal(*pair) for pair in zip(one, other, strict=True))


@pytest.mark.parametrize("mode", MODES)
def test_an_output_changed_in_place_is_noticed(mode):
    y = output_of(mode, problem(mode))
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.mul_(2.0).sum().backward()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("mode", MODES)
def test_reduced_precision_is_float32_inside(mode, dtype):
    leaves = [leaf.detach().to(dtype).requires_grad_() for leaf in problem(mode)]
    wide = [leaf.detach().float().requires_grad_() for leaf in leaves]
    actual, expected = outcome(fused_recurrence, mode, leaves), outcome(fused_recurrence, mode, wide)
    assert {value.dtype for value in actual} == {dtype}
    torch.testing.assert_close(actual[0], expected[0].to(dtype))
    for one, other in zip(actual, expected, strict=True):
        assert (one.float() - other).norm() <= 0.02 * other.norm()


@pytest.mark.parametrize("mode", MODES)
def test_autocast_outside_does_not_reach_the_loop(mode):
    leaves = problem(mode, dtype=torch.float32)
    expected = outcome(fused_recurrence, mode, leaves)
    with torch.autocast("cpu"):
        actual = outcome(fused_recurrence, mode, leaves)
    assert actual[0].dtype == torch.bfloat16
    for one, other in zip(actual, expected, strict=True):
        assert (one.float() - other).norm() <= 0.02 * other.norm()


def layers_of(kind, **options):
    torch.manual_seed(0)
    return getattr(rnn_lightning.nn, kind)(4, 8, state_dropout=0.3, **options)


def gradients(layers, x, masks):
    """Of a fixed sum of the output, with respect to every parameter."""
    with force_path("fused"):
        return torch.autograd.grad(layers(x, masks=masks)[0].square().sum(), list(layers.parameters()))


@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
def test_threads_do_not_write_into_each_others_buffers(kind):
    """Several at once, and the graph of one walked back in another."""
    layers, x = layers_of(kind), torch.randn(16, 60, 4)
    masks = layers.sample_masks(16, 60)
    expected, wrong = gradients(layers, x, masks), []

    def work():
        for _ in range(15):
            if not all(map(torch.equal, gradients(layers, x, masks), expected)):
                wrong.append(threading.current_thread().name)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
def test_buffers_of_an_inference_or_of_another_device_do_not_stay(kind):
    layers, x = layers_of(kind), torch.randn(2, 5, 4)
    masks = layers.sample_masks(2, 5)
    expected = gradients(layers, x, masks)
    fused_steps.scratch.buffers.clear()
    with torch.inference_mode(), force_path("fused"):
        layers(x, masks=masks)
    assert all(map(torch.equal, gradients(layers, x, masks), expected))
    fused_steps.scratch.buffers.clear()
    with torch.device("meta"):
        assert all(map(torch.equal, gradients(layers, x, masks), expected))
        layers(x)  # draws masks where the weights are
    fused_steps.scratch.buffers.clear()
    with FakeTensorMode(allow_non_fake_inputs=True):
        gradients(layers, x, masks)
    assert all(map(torch.equal, gradients(layers, x, masks), expected))


@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
def test_activation_checkpoints_give_the_same_gradients(kind):
    layers, x = layers_of(kind), torch.randn(2, 5, 4, requires_grad=True)
    masks, everything = layers.sample_masks(2, 5), [x, *layers.parameters()]

    def run(x):
        return layers(x, masks=masks)[0]

    with force_path("fused"):
        expected = torch.autograd.grad(run(x).square().sum(), everything)
        output = checkpoint(run, x, use_reentrant=False)
        actual = torch.autograd.grad(output.square().sum(), everything)
    assert all(map(torch.equal, actual, expected))


@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
def test_every_gradient_has_memory_of_its_own(kind):
    """So that who clips or scales a list of gradients in place does it once to each."""
    layers, x = layers_of(kind), torch.randn(2, 5, 4)
    found = gradients(layers, x, layers.sample_masks(2, 5))
    assert len({gradient.untyped_storage().data_ptr() for gradient in found}) == len(found)
    assert torch.nn.utils.parameters_to_vector(found).numel() == sum(p.numel() for p in layers.parameters())
