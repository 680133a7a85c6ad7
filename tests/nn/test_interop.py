"""Tools that know torch.nn's own classes: scripting, tracing, quantisation, plain twins, counting of FLOPs."""

import pytest
import torch
from lightning.fabric.utilities.throughput import measure_flops
from torch import nn
from torch._subclasses import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode

from rnn_lightning import ArgumentError
from rnn_lightning.nn import Seq2SeqNet, Seq2VecNet, force_path

from .helpers import make, twins

T, B, F, H = 4, 2, 3, 5
CELLS = ("rnn_tanh", "rnn_relu", "lstm", "gru")
NETS = (Seq2VecNet, Seq2SeqNet)
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore:.*torch.ao.quantization is deprecated")


def net_of(kind, cell="lstm", **options):
    name, _, nonlinearity = cell.partition("_")
    options |= {"nonlinearity": nonlinearity} if nonlinearity else {}
    return kind(F, 2, name, hidden_size=H, num_layers=2, **options).eval()


@pytest.mark.parametrize("options", [{}, {"bias": False, "bidirectional": True, "batch_first": True}], ids=str)
@pytest.mark.parametrize("cell", CELLS)
def test_the_plain_twin_of_a_layer(cell, options):
    layer = make(cell, F, H, 2, **{"batch_first": False, **options}, dropout=0.1, state_dropout=0.5).eval()
    layer.weight_hh_l1.requires_grad_(False)
    twin, x = layer.to_torch(), torch.randn(T, B, F, dtype=torch.float64)
    assert type(twin) is getattr(nn, type(layer).__name__)
    assert (twin.dropout, twin.training, twin.batch_first) == (0.1, False, options.get("batch_first", False))
    assert not twin.weight_hh_l1.requires_grad
    assert twin.weight_hh_l0.requires_grad
    torch.testing.assert_close(twin(x), layer(x))
    with torch.no_grad():  # a copy
        twin.weight_hh_l0.zero_()
    assert layer.weight_hh_l0.all()


def test_the_plain_twin_has_the_projection():
    layer, x = make("lstm", F, H, 2, proj_size=2, batch_first=False), torch.randn(T, B, F, dtype=torch.float64)
    torch.testing.assert_close(layer.to_torch()(x), layer(x))


@pytest.mark.parametrize(("cell", "bidirectional"), [("rnn_relu", False), ("lstm", True), ("gru", True)])
@pytest.mark.parametrize("kind", NETS)
def test_the_plain_twin_of_a_network_can_be_scripted(kind, cell, bidirectional):
    net, x = net_of(kind, cell, bidirectional=bidirectional, state_dropout=0.5), torch.randn(B, T, F)
    plain = net.to_torch()
    assert type(plain.layers) is getattr(nn, type(net.layers).__name__)
    assert not plain.training
    y, state = net(x)
    for twin in (plain, torch.jit.script(plain)):
        torch.testing.assert_close(twin(x), (y, state))
        torch.testing.assert_close(twin(x, state), net(x, state))


def test_scripting_is_refused_in_one_line():
    for module in (make("gru", F, H), net_of(Seq2SeqNet), nn.Sequential(make("lstm", F, H))):
        with pytest.raises(ArgumentError, match=r"to_torch\(\)") as caught:
            torch.jit.script(module)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("module", [lambda: make("lstm", F, H), lambda: net_of(Seq2VecNet), lambda: net_of(Seq2SeqNet)])
def test_quantisation_is_refused_in_one_line_or_done(module):
    with pytest.raises(ArgumentError, match=r"to_torch\(\)") as caught:
        torch.ao.quantization.quantize_dynamic(module(), {nn.LSTM}, dtype=torch.qint8)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("cell", ["lstm", "gru"])
@pytest.mark.parametrize("kind", NETS)
def test_the_plain_twin_of_a_network_is_quantised(kind, cell):
    net, x = net_of(kind, cell), torch.randn(B, T, F)
    try:
        quantised = torch.ao.quantization.quantize_dynamic(net.to_torch(), {nn.LSTM, nn.GRU, nn.Linear}, torch.qint8)
    except RuntimeError as error:
        pytest.skip(f"this torch cannot quantise: {error}")
    assert "quantized" in type(quantised.layers).__module__
    torch.testing.assert_close(quantised(x)[0], net(x)[0], rtol=0.1, atol=0.05)


class Parent(nn.Module):
    def __init__(self, rnn):
        super().__init__()
        self.rnn = rnn

    def forward(self, x, lengths):
        y, state = self.rnn(x, None, lengths)
        return y, state


@pytest.mark.parametrize("cell", CELLS)
def test_symbolic_tracing_has_the_layer_as_a_leaf(cell):
    layer = make(cell, F, H)
    graph = torch.fx.symbolic_trace(Parent(layer))
    assert [node.target for node in graph.graph.nodes if node.op == "call_module"] == ["rnn"]
    x, lengths = torch.randn(B, T, F, dtype=torch.float64), torch.tensor([4, 2])
    torch.testing.assert_close(graph(x, lengths), layer(x, None, lengths))
    sequential = torch.fx.symbolic_trace(nn.Sequential(layer))
    torch.testing.assert_close(sequential(x), layer(x))


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("kind", NETS)
def test_symbolic_tracing_of_a_network(kind, cell):
    net, x = net_of(kind, cell), torch.randn(B, T, F)
    without = dict.fromkeys(("state", "lengths", "masks", "reset"))
    torch.testing.assert_close(torch.fx.symbolic_trace(net, without)(x), net(x))


@pytest.mark.parametrize("dropping", [False, True], ids=["no dropout", "dropout"])
@pytest.mark.parametrize("where", ["meta", "fake"])
@pytest.mark.parametrize("cell", CELLS)
def test_tensors_without_data(cell, where, dropping):
    """Shapes, forward and backward, as large models are planned with."""
    options = {"input_dropout": 0.1, "state_dropout": 0.5} if dropping else {}
    with torch.device("meta") if where == "meta" else FakeTensorMode():
        layer, x = make(cell, F, H, 2, bidirectional=True, dtype=None, **options), torch.randn(B, T, F)
        for lengths in (None, torch.tensor([4, 2], device="cpu")) if where == "meta" and not dropping else (None,):
            y, state = layer(x, None, lengths)
            assert y.shape == (B, T, 2 * H)
            assert (state[0] if cell == "lstm" else state).shape == (4, B, H)
        y.sum().backward()
        assert layer.weight_hh_l1.grad.shape == layer.weight_hh_l1.shape


@pytest.mark.parametrize("cell", CELLS)
def test_flops_are_those_of_torch(cell):
    """Of its products of matrices, forward and backward, counted on tensors with and without data."""
    with torch.device("meta"):
        ours, theirs = (make(cell, F, H, package=p, dtype=None) for p in (torch_lightning(), nn))
        x = torch.randn(B, T, F)
        expected = counted(theirs, x)
        assert counted(ours, x) == expected > 0
        dropping = make(cell, F, H, state_dropout=0.5, dtype=None)
        assert counted(dropping, x) == expected
        assert measure_flops(dropping, lambda: dropping(x)[0], torch.Tensor.sum) == expected


@pytest.mark.parametrize("cell", CELLS)
def test_flops_of_real_tensors(cell):
    """With a gradient for the initial state: without one, torch leaves a step's product out."""
    ours, theirs = twins(cell, F, H)
    h = torch.randn(1, B, H, dtype=torch.float64, requires_grad=True)
    hx = (h, h) if cell == "lstm" else h
    for wanted in (False, True):
        x = torch.randn(B, T, F, dtype=torch.float64, requires_grad=wanted)
        assert counted(ours, x, hx) == counted(theirs, x, hx) > 0


def counted(layer, x, hx=None):
    mode = FlopCounterMode(display=False)
    with mode:
        layer(x, hx)[0].sum().backward()
    return mode.get_total_flops()


def torch_lightning():
    import rnn_lightning.nn

    return rnn_lightning.nn


@pytest.mark.parametrize("cell", ["rnn_tanh", "lstm"])
def test_a_compiled_layer(cell):
    """With the eager backend: what is tested is whether it can be traced or is left alone, not the compiler."""
    torch._dynamo.reset()
    layer = make(cell, F, H, 2, state_dropout=0.5, variational=True)
    x, masks = torch.randn(B, T, F, dtype=torch.float64), layer.sample_masks(B)
    compiled = torch.compile(layer, backend="eager")
    torch.testing.assert_close(compiled(x, masks=masks), layer(x, masks=masks))
    torch.testing.assert_close(compiled.eval()(x), layer.eval()(x))


def test_nothing_is_forced_where_a_graph_is_captured():
    layer, x = make("gru", F, H, dtype=None).eval(), torch.randn(B, T, F)
    try:
        torch.export.export(torch.nn.GRU(F, H, batch_first=True).eval(), (x,))
    except ValueError as error:
        pytest.skip(f"this torch does not export its own layers: {error}")
    with force_path("auto"):
        program = torch.export.export(layer, (x,))
    torch.testing.assert_close(program.module()(x), layer(x))


@pytest.mark.parametrize("cell", CELLS)
def test_symbolic_tracing_by_the_state_alone(cell):
    class Fixed(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = make(cell, F, H, dtype=None)
            self.register_buffer("x", torch.randn(B, T, F))

        def forward(self, h, c):
            return self.layer(self.x, (h, c) if cell == "lstm" else h)[0]

    module = Fixed()
    state = torch.randn(1, B, H), torch.randn(1, B, H)
    torch.testing.assert_close(torch.fx.symbolic_trace(module)(*state), module(*state))
