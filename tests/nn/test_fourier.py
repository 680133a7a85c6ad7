"""Fourier features: their values, and networks that read them."""

import copy
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from rnn_lightning import ArgumentError
from rnn_lightning.nn import FourierFeatures, Seq2SeqNet, Seq2VecNet

X = torch.randn(3, 6, 2, generator=torch.Generator().manual_seed(0))


@settings(deadline=None)
@given(inputs=st.integers(1, 5), frequencies=st.integers(1, 5), shape=st.lists(st.integers(0, 4), max_size=3))
def test_they_are_sines_and_cosines_of_random_frequencies(inputs, frequencies, shape):
    features, x = FourierFeatures(inputs, frequencies, scale=3), torch.randn(*shape, inputs, dtype=torch.float64)
    phase = 2 * math.pi * torch.einsum("...i,if->...f", x, features.frequencies.double())
    torch.testing.assert_close(features(x), torch.cat((phase.sin(), phase.cos()), dim=-1))


def test_the_scale_is_the_standard_deviation_of_the_frequencies():
    torch.manual_seed(0)
    features = FourierFeatures(10, 10_000, scale=0.3)
    assert features.frequencies.std().item() == pytest.approx(0.3, rel=0.02)
    assert not list(features.parameters())
    assert list(features.state_dict()) == ["frequencies"]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_the_phase_is_exact_in_half_precision(dtype):
    """A phase of hundreds of radians would be off by whole radians in bfloat16."""
    features, x = FourierFeatures(1, 4, scale=3), torch.tensor([[10.5], [-12.25]])
    exact = features(x)
    torch.testing.assert_close(features(x.to(dtype)).float(), exact, atol=0.01, rtol=0)
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(features(x), exact)
    converted = copy.deepcopy(features).to(dtype)
    torch.testing.assert_close(converted(x.to(dtype)).float(), exact, atol=0.01, rtol=0)
    torch.testing.assert_close(converted.float()(x), exact, rtol=0, atol=0)
    torch.testing.assert_close(copy.deepcopy(features).double()(x.double()).float(), exact, atol=1e-4, rtol=0)


@pytest.mark.parametrize(("inputs", "shape"), [(3, (2, 5, 1)), (1, (2, 5, 3)), (1, (8, 5)), (3, (2, 5, 4))])
def test_inputs_of_another_width_are_refused_as_by_the_layers(inputs, shape):
    fourier = Seq2SeqNet(inputs, 1, hidden_size=4, fourier_frequencies=4)
    plain = Seq2SeqNet(inputs, 1, hidden_size=4)
    for net in (fourier, plain, fourier.to_torch(), torch.jit.script(fourier.to_torch())):
        with pytest.raises(Exception, match=f"Expected {inputs}, got {shape[-1]}"):
            net(torch.randn(shape))
    with pytest.raises(RuntimeError, match=rf"Expected {inputs}, got {inputs + 1}"):
        fourier.step(torch.randn(2, inputs + 1))


def test_integers_give_features_too():
    features = FourierFeatures(1, 4)
    x = torch.tensor([[1], [2]])
    torch.testing.assert_close(features(x), features(x.float()))


@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
@pytest.mark.parametrize("net", [Seq2SeqNet, Seq2VecNet])
def test_a_network_reads_them_instead_of_x(net, cell):
    own = net(2, 5, cell=cell, hidden_size=4, num_layers=2, fourier_frequencies=3, fourier_scale=0.5)
    layers = {"rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}[cell](6, 4, 2, batch_first=True)
    layers.load_state_dict(own.layers.state_dict())
    phase = 2 * math.pi * X @ own.fourier.frequencies
    output, state = layers(torch.cat((phase.sin(), phase.cos()), dim=-1))
    y = own.head(output if net is Seq2SeqNet else (state[0] if cell == "lstm" else state)[-1])
    torch.testing.assert_close(own(X)[0], y)
    torch.testing.assert_close(own.to_torch()(X)[0], y)
    torch.testing.assert_close(torch.jit.script(own.to_torch())(X)[0], y)
    assert own.example_input().shape == (1, 2, 2)


@pytest.mark.filterwarnings("ignore:The tensor attributes self.layers._flat_weights")  # torch's, about its own layers
def test_it_is_exported():
    own = Seq2SeqNet(2, 5, cell="gru", hidden_size=4, fourier_frequencies=3).eval()
    torch.testing.assert_close(torch.export.export(own, (X,), strict=False).module()(X)[0], own(X)[0])


def test_steps_packed_and_unbatched_inputs():
    own, lengths = Seq2SeqNet(2, 5, cell="gru", hidden_size=4, fourier_frequencies=3), torch.tensor([6, 2, 4])
    y, state = own(X, lengths=lengths)
    packed, _ = own(pack_padded_sequence(X, lengths, batch_first=True, enforce_sorted=False))
    torch.testing.assert_close(pad_packed_sequence(packed, batch_first=True)[0][1, :2], y[1, :2])
    torch.testing.assert_close(own(X[0])[0], y[0])
    first, state = own.step(X[:, 0])
    torch.testing.assert_close(first, y[:, 0])
    torch.testing.assert_close(own.step(X[:, 1], state)[0], y[:, 1])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"fourier_frequencies": 0}, "fourier_frequencies=0: give an integer of at least 1"),
        ({"fourier_frequencies": 2.5}, "fourier_frequencies=2.5: give an integer"),
        ({"fourier_frequencies": True}, "fourier_frequencies=True: give an integer"),
        ({"fourier_frequencies": 2, "fourier_scale": 0}, "fourier_scale=0: give a number above 0"),
        ({"fourier_frequencies": 2, "fourier_scale": math.inf}, "fourier_scale=inf: give a number above 0"),
        ({"fourier_frequencies": 2, "fourier_scale": math.nan}, "fourier_scale=nan: give a number above 0"),
        (
            {"fourier_frequencies": 2, "fourier_scale": 1e39},
            "give a number above 0 and below 1e30",
        ),
        ({"fourier_frequencies": 2, "fourier_scale": True}, "fourier_scale=True: give a number"),
        ({"fourier_scale": 2.0}, "fourier_scale=2.0 does nothing without fourier_frequencies"),
        ({"fourier_frequencies": 2, "embedding_size": 3}, "leave one out"),
    ],
)
def test_wrong_arguments_are_refused(arguments, message):
    with pytest.raises(ArgumentError, match=message):
        Seq2SeqNet(2, 5, **arguments)
