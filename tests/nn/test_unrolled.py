"""The unrolled stack gives the layers' values, and gradients of a hidden state that count both of its uses."""

import pytest
import torch

from rnn_lightning.nn import GRU, LSTM, RNN
from rnn_lightning.nn.dropout import without_dropout
from rnn_lightning.nn.unrolled import unrolled

T, B, I, H = 6, 3, 2, 4  # noqa: E741
LAYERS = {"rnn": RNN, "lstm": LSTM, "gru": GRU}


def as_tuple(state):
    return state if isinstance(state, tuple) else (state,)


@pytest.mark.parametrize("lengths", [None, torch.tensor([6, 2, 0])], ids=["even", "ragged"])
@pytest.mark.parametrize("bidirectional", [False, True], ids=["one way", "both ways"])
@pytest.mark.parametrize("cell", LAYERS)
def test_values_are_those_of_the_layers(cell, bidirectional, lengths):
    layers = LAYERS[cell](I, H, 2, batch_first=True, bidirectional=bidirectional, state_dropout=0.5).eval()
    x = torch.randn(B, T, I)
    _, start = layers(torch.randn(B, 3, I))
    for state in (None, start):
        output, after = layers(x, state, lengths)
        run = unrolled(layers, x, state, lengths)
        if lengths is not None:
            past = torch.arange(T) >= lengths[:, None]
            run = run._replace(output=run.output.masked_fill(past[..., None], 0.0))
        torch.testing.assert_close(run.output, output)
        for one, other in zip(as_tuple(run.state), as_tuple(after), strict=True):
            torch.testing.assert_close(one, other)


def test_a_gradient_counts_the_next_step_and_the_layer_above():
    """Against two layers written out, every h kept as a leaf's sum."""
    layers = RNN(I, H, 2, nonlinearity="tanh", batch_first=True).double()
    x = torch.randn(B, T, I, dtype=torch.float64)
    run = unrolled(layers, x)
    weight = torch.randn(T, B, H, dtype=torch.float64)
    loss = (run.output.transpose(0, 1) * weight).sum() + run.state.sum()
    found = torch.autograd.grad(loss, [h for hidden in run.hidden for (h,) in hidden])

    # A zero added to h_t wherever it is used: the loss's gradient at the zero is the whole dLoss/dh_t.
    probes = [[torch.zeros(B, H, dtype=torch.float64, requires_grad=True) for _ in range(T)] for _ in range(2)]
    states, inputs, expected = [], list(x.unbind(1)), 0.0
    for layer in range(2):
        w_ih, w_hh, b_ih, b_hh = layers.all_weights[layer]
        h = torch.zeros(B, H, dtype=torch.float64)
        for t in range(T):
            h = torch.tanh(inputs[t] @ w_ih.T + b_ih + h @ w_hh.T + b_hh) + probes[layer][t]
            inputs[t] = h
        states.append(h)
    expected = sum((inputs[t] * weight[t]).sum() for t in range(T)) + sum(h.sum() for h in states)
    expected = torch.autograd.grad(expected, [p for layer in probes for p in layer])
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other)


def test_frozen_weights_have_gradients_of_states_too():
    layers = GRU(I, H, batch_first=True).requires_grad_(False)
    run = unrolled(layers, torch.randn(B, T, I))
    gradients = torch.autograd.grad(run.output.sum(), [h for (h,) in run.hidden[0]])
    assert all(gradient.abs().sum() > 0 for gradient in gradients)


def test_without_dropout_puts_every_part_back():
    net = torch.nn.Sequential(torch.nn.Dropout(0.5), torch.nn.Dropout(0.5).eval())
    with without_dropout(net):
        assert not any(part.training for part in net.modules())
    assert [part.training for part in net.modules()] == [True, True, False]
