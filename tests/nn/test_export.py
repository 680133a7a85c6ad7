"""Evaluation-mode networks through torch.export, ONNX and torch.compile: the same numbers at other sizes."""

import numpy as np
import pytest
import torch

from rnn_lightning.nn import Seq2SeqNet, Seq2VecNet

from .helpers import slow_cases

T, B, I = 7, 3, 2  # noqa: E741
pytestmark = pytest.mark.filterwarnings("ignore")  # the tracers' own
NETS = (Seq2VecNet, Seq2SeqNet)
CELLS = ("rnn", "lstm", "gru")


def make(kind, cell, **options):
    return kind(I, 4, cell, hidden_size=5, num_layers=2, state_dropout=0.5, **options).eval()


def assert_close(actual, expected):
    torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("cell", "bidirectional"),
    [("lstm", True), *(pytest.param(*case, marks=pytest.mark.slow) for case in (("rnn", False), ("gru", True)))],
)
@pytest.mark.parametrize("kind", NETS)
def test_torch_export_with_dynamic_batch(kind, cell, bidirectional):
    net = make(kind, cell, bidirectional=bidirectional)
    batch = torch.export.Dim("batch", min=1, max=1024)
    inputs = (torch.randn(B, T, I),)
    program = torch.export.export(net, inputs, dynamic_shapes={"x": {0: batch}}, strict=False)  # as later torch does
    for rows in (1, B, 17):
        x = torch.randn(rows, T, I)
        assert_close(program.module()(x), net(x))


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("kind", NETS)
def test_onnx_with_dynamic_batch_and_steps(kind, cell, tmp_path):
    runtime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    net, path = make(kind, cell), str(tmp_path / "net.onnx")
    x = torch.randn(B, T, I)
    torch.onnx.export(
        net,
        (x,),
        path,
        dynamo=False,
        input_names=["x"],
        output_names=["y", *(["h", "c"] if cell == "lstm" else ["h"])],
        dynamic_axes={"x": {0: "batch", 1: "time"}},
    )
    session = runtime.InferenceSession(path, providers=["CPUExecutionProvider"])
    for rows, steps in ((B, T), (1, 1), (5, 30)):
        x = torch.randn(rows, steps, I)
        y, state = net(x)
        outputs = session.run(None, {"x": x.numpy()})
        for actual, expected in zip(outputs, (y, *(state if cell == "lstm" else (state,))), strict=True):
            np.testing.assert_allclose(actual, expected.detach().numpy(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("cell", CELLS)
def test_a_traced_network(cell):
    net = make(Seq2SeqNet, cell)
    traced = torch.jit.trace(net, (torch.randn(B, T, I),), check_trace=False)
    x = torch.randn(5, T, I)
    assert_close(traced(x), net(x))


@pytest.mark.parametrize("training", [False, True], ids=["eval", "training"])
@pytest.mark.parametrize("cell", ["gru", *slow_cases(["rnn", "lstm"])])
def test_a_compiled_network(cell, training):
    """With the eager backend: what is tested is whether the layers can be traced or are left alone, not the compiler."""
    torch._dynamo.reset()
    net = make(Seq2SeqNet, cell, variational=True).train(training)
    x = torch.randn(B, T, I)
    masks = net.sample_masks(B) if training else None
    y, state = net(x, masks=masks)
    y_compiled, state_compiled = torch.compile(net, backend="eager")(x, masks=masks)
    assert_close(y_compiled, y)
    assert_close(state_compiled, state)
    expected = torch.autograd.grad(y.sum(), list(net.parameters()), allow_unused=True)
    for one, other in zip(
        torch.autograd.grad(y_compiled.sum(), list(net.parameters()), allow_unused=True), expected, strict=True
    ):
        assert_close(one, other)
