"""Initial weights: bounds, statistics, gate biases, orthogonality, identity, heads."""

import math

import pytest
import torch

from rnn_lightning import ArgumentError
from rnn_lightning.nn import Seq2SeqNet, Seq2VecNet
from rnn_lightning.nn.init import check_init, initialize_head, initialize_layers

from .helpers import CELLS, DEVICES, make

F, H = 30, 40
GATES = {"RNN_TANH": 1, "RNN_RELU": 1, "LSTM": 4, "GRU": 3}
INITS = ("torch", "glorot", "orthogonal", "identity")


def weights(layers, kind):
    return [(name, w.detach()) for name, w in layers.named_parameters() if name.startswith(kind)]


def assert_uniform(weight, bound):
    """Entries fill [-bound, bound] evenly: mean and mean square within 5 standard deviations, extremes near the ends."""
    n = weight.numel()
    assert float(weight.abs().max()) <= bound
    assert float(weight.abs().max()) > bound * (1 - 20 / n)
    assert abs(float(weight.mean())) < 5 * bound / math.sqrt(3 * n)
    assert abs(float(weight.square().mean()) - bound**2 / 3) < 5 * bound**2 * math.sqrt(4 / 45 / n)


def expected_bias(layers, name):
    bias = torch.zeros(GATES[layers.mode] * H, dtype=torch.float64)
    if name.startswith("bias_ih"):
        bias[{"LSTM": slice(H, 2 * H), "GRU": slice(0, 2 * H)}.get(layers.mode, slice(0, 0))] = 1.0
    return bias


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("cell", CELLS)
def test_glorot(cell, bidirectional, device):
    """One bound for the joint [input; hidden] kernel with all gates: sqrt(6 / (F + H + G H))."""
    layers = make(cell, F, H, 2, bidirectional=bidirectional, init="glorot", device=device)
    for name, weight in weights(layers, "weight"):
        features = F if "_l0" in name else H * (2 if bidirectional else 1)
        assert_uniform(weight, math.sqrt(6 / (features + H + GATES[layers.mode] * H)))
    for name, bias in weights(layers, "bias"):
        assert torch.equal(bias.cpu(), expected_bias(layers, name))


@pytest.mark.parametrize("cell", CELLS)
def test_orthogonal(cell):
    layers = make(cell, F, H, 2, bidirectional=True, init="orthogonal")
    for _, weight in weights(layers, "weight_hh"):
        blocks = weight.split(H)
        assert len(blocks) == GATES[layers.mode]
        for block in blocks:
            torch.testing.assert_close(block @ block.T, torch.eye(H, dtype=torch.float64))
        assert all(not torch.equal(blocks[0], block) for block in blocks[1:])
    for name, weight in weights(layers, "weight_ih"):
        for block in weight.split(H):
            assert_uniform(block, math.sqrt(6 / ((F if "_l0" in name else 2 * H) + H)))
    for name, bias in weights(layers, "bias"):
        assert torch.equal(bias, expected_bias(layers, name))


@pytest.mark.parametrize("cell", CELLS)
def test_identity(cell):
    layers = make(cell, F, H, 2, bidirectional=True, init="identity")
    for _, weight in weights(layers, "weight_hh"):
        for block in weight.split(H):
            assert torch.equal(block, torch.eye(H, dtype=torch.float64))
    for _, weight in weights(layers, "weight_ih"):
        n = weight.numel()
        assert abs(float(weight.mean())) < 5 * 0.001 / math.sqrt(n)
        assert abs(float(weight.square().mean()) / 0.001**2 - 1) < 5 * math.sqrt(2 / n)
    for _, bias in weights(layers, "bias"):
        assert not bias.any()


def test_identity_hands_the_state_through_a_relu_network():
    layers = make("rnn_relu", F, H, init="identity")
    h = torch.rand(1, 2, H, dtype=torch.float64)
    assert torch.equal(layers(torch.zeros(2, 50, F, dtype=torch.float64), h)[1], h)


@pytest.mark.parametrize("cell", CELLS)
def test_torch(cell):
    layers = make(cell, F, H, 2, init="torch")
    for _, weight in layers.named_parameters():
        assert float(weight.detach().abs().max()) <= 1 / math.sqrt(H)
    for _, weight in weights(layers, "weight"):
        assert_uniform(weight, 1 / math.sqrt(H))


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("init", INITS)
@pytest.mark.parametrize("cell", CELLS)
def test_reset_parameters_draws_again_by_init(cell, init, bias):
    torch.manual_seed(3)
    layers = make(cell, F, H, 2, init=init, bias=bias)
    drawn = {name: weight.detach().clone() for name, weight in layers.named_parameters()}
    assert len(drawn) == (8 if bias else 4)
    layers.reset_parameters()
    assert any(not torch.equal(weight, drawn[name]) for name, weight in layers.named_parameters())
    with torch.no_grad():
        for weight in layers.parameters():
            weight.fill_(9.0)
    torch.manual_seed(3)
    fresh = make(cell, F, H, 2, init=init, bias=bias)
    torch.manual_seed(3)
    if init != "torch":  # torch's constructor draws its own before
        torch.nn.RNNBase.reset_parameters(layers)
    layers.reset_parameters()
    for (name, weight), twin in zip(layers.named_parameters(), fresh.parameters(), strict=True):
        assert torch.equal(weight, twin), name
        assert torch.equal(weight, drawn[name]), name
        assert weight.requires_grad


@pytest.mark.parametrize("cell", CELLS)
def test_initialize_layers_takes_torchs_layers_too(cell):
    ours, theirs = make(cell, F, H, 2), make(cell, F, H, 2, package=torch.nn)
    for init in INITS:
        for layers in (ours, theirs):
            torch.manual_seed(1)
            initialize_layers(layers, init)
        for one, other in zip(ours.parameters(), theirs.parameters(), strict=True):
            assert torch.equal(one, other)
    torch.manual_seed(1)
    theirs.reset_parameters()
    torch.manual_seed(1)
    initialize_layers(ours, "torch")
    for one, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("net", [Seq2VecNet, Seq2SeqNet])
def test_heads(net, bidirectional):
    """Glorot's bound and zero bias for "glorot", torch's own otherwise."""
    inputs = H * (2 if bidirectional else 1)
    for init in INITS:
        head = net(F, 60, "gru", hidden_size=H, bidirectional=bidirectional, init=init).head
        if init == "glorot":
            assert_uniform(head.weight.detach(), math.sqrt(6 / (inputs + 60)))
            assert not head.bias.any()
        else:
            assert_uniform(head.weight.detach(), 1 / math.sqrt(inputs))
            assert head.bias.abs().min() > 0


def test_initialize_head_leaves_torchs_own():
    head = torch.nn.Linear(3, 2)
    weight, bias = head.weight.clone(), head.bias.clone()
    for init in ("torch", "orthogonal", "identity"):
        initialize_head(head, init)
        assert torch.equal(head.weight, weight)
        assert torch.equal(head.bias, bias)


def test_names():
    for init in INITS:
        assert check_init(init) == init
    with pytest.raises(ArgumentError, match=r"^init='he' .*torch, glorot, orthogonal, identity") as caught:
        check_init("he")
    assert "\n" not in str(caught.value)
