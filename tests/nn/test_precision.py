"""bfloat16 and float16, as the weights' type and by autocast: computed in float32 where torch's kernels cannot."""

import pytest
import torch
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence

import rnn_lightning.nn.precision as precision
from rnn_lightning.nn import force_path
from rnn_lightning.nn.precision import torch_refuses

from .helpers import CELLS, DROPPING, PATHS, make, random_state, twins

T, B, F, H = 5, 3, 2, 8
REDUCED = (torch.bfloat16, torch.float16)


def run(layers, x, masks=None, lengths=None, **context):
    """Output, state h and the gradients of a sum of both calls, the second from the state of the first."""
    layers.zero_grad()
    with torch.autocast("cpu", **context) if context else torch.enable_grad():
        y, state = layers(x, None, lengths, masks)
        again, state = layers(x, state, lengths, masks)
    (y.float().sum() + again.float().sum()).backward()
    h = state[0] if isinstance(state, tuple) else state
    return [y, again, h], [weight.grad for weight in layers.parameters()]


def assert_close(reduced, exact, bound):
    for one, other in zip(reduced, exact, strict=True):
        assert (one.float() - other).norm() <= bound * other.norm()


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("kind", ["autocast", "weights"])
@pytest.mark.parametrize("dtype", REDUCED, ids=["bfloat16", "float16"])
@pytest.mark.parametrize("cell", CELLS)
def test_is_close_to_float32_on_every_path(cell, dtype, kind, path):
    layers, x = make(cell, F, H, 2, dtype=torch.float32, bidirectional=True), torch.randn(B, T, F)
    for lengths in (None, torch.tensor([5, 2, 0])):
        with force_path("reference"):
            exact = run(layers.float(), x, lengths=lengths)
        with force_path(path):
            if kind == "autocast":
                values, gradients = run(layers, x, lengths=lengths, dtype=dtype)
            else:
                values, gradients = run(layers.to(dtype), x.to(dtype), lengths=lengths)
                assert {value.dtype for value in values} == {dtype}
        assert {gradient.dtype for gradient in gradients} == {torch.float32 if kind == "autocast" else dtype}
        # torch's own recurrences round at every step.
        assert_close(values, exact[0], 0.1 if path == "torch" else 0.02)
        assert_close(gradients, exact[1], 0.3)


@pytest.mark.parametrize("path", DROPPING)
@pytest.mark.parametrize("dtype", REDUCED, ids=["bfloat16", "float16"])
@pytest.mark.parametrize("cell", CELLS)
def test_with_dropout_it_is_float32_rounded_at_the_end(cell, dtype, path):
    layers = make(cell, F, H, dtype=torch.float32, state_dropout=0.5)
    x, masks = torch.randn(B, T, F).to(dtype), layers.sample_masks(B, T)
    with force_path(path):
        exact, _ = layers.to(dtype).float()(x.float(), masks=masks)
        rounded, state = layers.to(dtype)(x, masks=masks)
        assert torch.equal(rounded, exact.to(dtype))
        assert (state[0] if isinstance(state, tuple) else state).dtype == dtype


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("cell", CELLS)
def test_autocast_leaves_float64_as_it_is(cell, path):
    layers, x = make(cell, F, H), torch.randn(B, T, F, dtype=torch.float64)
    with force_path(path):
        expected = layers(x)[0]
        with torch.autocast("cpu", torch.bfloat16):
            y, _ = layers(x)
    assert y.dtype == torch.float64
    torch.testing.assert_close(y, expected)


@pytest.mark.parametrize("lengths", [None, torch.tensor([5, 2, 0])], ids=["full", "lengths"])
@pytest.mark.parametrize("cell", CELLS)
def test_where_torchs_kernel_refuses_a_type_it_runs_in_float32(cell, lengths, monkeypatch):
    layers, x = make(cell, F, H, 2, dtype=torch.float32), torch.randn(B, T, F)
    exact = run(layers, x, lengths=lengths)
    monkeypatch.setattr(precision, "_refuses", lambda *args: True)
    with force_path("torch"):
        values, gradients = run(layers, x, lengths=lengths, dtype=torch.bfloat16)
    assert {value.dtype for value in values} == {torch.float32 if cell == "gru" else torch.bfloat16}
    for one, other in zip(values, exact[0], strict=True):
        torch.testing.assert_close(one.bfloat16(), other.bfloat16(), rtol=0.02, atol=0.01)
    assert_close(gradients, exact[1], 0.1)


@pytest.mark.parametrize("dtype", REDUCED)
def test_what_torch_refuses_is_found_by_trying(dtype):
    """And it draws no random number, whatever mode it is asked in."""
    precision._refuses.cache_clear()
    before, x = torch.get_rng_state(), torch.randn(1, 1, 1)
    torch.set_rng_state(before)
    with torch.inference_mode(), torch.autocast("cpu", dtype), torch.device("meta"):
        found = torch_refuses("LSTM", x)
    assert torch.equal(torch.get_rng_state(), before)
    layer = torch.nn.LSTM(1, 1)
    try:
        with torch.autocast("cpu", dtype):
            output, _ = layer(x)
            output.float().sum().backward()
    except RuntimeError:
        assert found
    else:
        assert not found
    assert not torch_refuses("LSTM", x)
    assert not torch_refuses("LSTM", x.double())


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("form", ["time first", "batch first", "packed", "with a state", "lengths"])
@pytest.mark.parametrize("cell", CELLS)
def test_under_autocast_the_results_have_the_types_of_torchs(cell, form, path):
    """Torch's GRU returns float32, and so does its LSTM where the input is packed."""
    if torch_refuses_on_this_processor(cell):
        pytest.skip("torch's own layer fails on this processor")
    ours, theirs = twins(cell, F, H, 2, dtype=torch.float32, batch_first=form != "time first")
    x, lengths = torch.randn(B, T, F), torch.tensor([5, 2, 1])
    given = pack_padded_sequence(x, lengths, batch_first=True) if form == "packed" else x
    state = random_state(ours, B) if form == "with a state" else None
    with torch.autocast("cpu", torch.bfloat16), force_path(path):
        found, expected = ours(given, state, lengths if form == "lengths" else None), theirs(given, state)
    assert types_of(*found) == types_of(*expected)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("with_state", [False, True], ids=["no state", "float32 state"])
@pytest.mark.parametrize("autocast", REDUCED, ids=["autocast bfloat16", "autocast float16"])
@pytest.mark.parametrize("dtype", REDUCED, ids=["input bfloat16", "input float16"])
@pytest.mark.parametrize("cell", CELLS)
def test_reduced_inputs_under_autocast(cell, dtype, autocast, with_state, path):
    """In either type, with results of torch's types where torch's layer runs; with lengths it always runs."""
    ours, theirs = twins(cell, F, H, 2, dtype=torch.float32)
    x, state = torch.randn(B, T, F).to(dtype), random_state(ours, B) if with_state else None
    exact = ours(x.float(), state, torch.tensor([5, 2, 0]))[0]
    with torch.autocast("cpu", autocast), force_path(path):
        y, _ = ours(x, state, torch.tensor([5, 2, 0]))
        torch.testing.assert_close(y.float(), exact, rtol=0.05, atol=0.02)
        if torch_refuses_on_this_processor(cell):
            return  # torch's LSTM either fails there, or returns other types than on newer processors
        try:
            expected = theirs(x, state)
        except RuntimeError:  # torch's LSTM, for some of these types
            return
        assert types_of(*ours(x, state)) == types_of(*expected)


def torch_refuses_on_this_processor(cell):
    with torch.autocast("cpu", torch.bfloat16):
        return torch_refuses(make(cell, 1, 1).mode, torch.zeros(1))


def types_of(output, state):
    output = output.data if isinstance(output, PackedSequence) else output
    return [output.dtype, *(part.dtype for part in (state if isinstance(state, tuple) else (state,)))]
