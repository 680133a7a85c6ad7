"""The subcommand `export`: from a checkpoint to plain weights, JSON and ONNX."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from rnn_lightning import export, hub
from rnn_lightning.cli import main
from rnn_lightning.errors import ArgumentError
from rnn_lightning.models import Seq2Seq, Seq2Vec
from rnn_lightning.nn import Seq2SeqNet
from rnn_lightning.saved import load_network

pytestmark = [
    pytest.mark.usefixtures("own_folder"),
    pytest.mark.filterwarnings("ignore:You are using the legacy TorchScript-based ONNX export"),
]
SHORT = ["--trainer.max_epochs=1", "--trainer.accelerator=cpu", "--data.steps_per_epoch=2", "--data.eval_windows=20"]
QUIET = ["--trainer.enable_progress_bar=false", "--trainer.enable_model_summary=false"]


@pytest.fixture
def fail(fail):
    """The fixture of all rooms, and that nothing is left behind."""

    def run(*arguments):
        before = sorted(Path.cwd().rglob("*"))
        line = fail(*arguments)
        assert sorted(Path.cwd().rglob("*")) == before
        return line

    return run


def checkpoint(model, dtype=torch.float32, **options):
    """Writes `model.ckpt` as a run leaves it, as far as it matters here, and returns the network in it."""
    module = model(2, 3, task="regression", hidden_size=5, **options).to(dtype)
    network = {"model": model.__name__, "hyper_parameters": dict(module.hparams)}
    torch.save({"state_dict": module.state_dict(), **network}, "model.ckpt")
    return module.net.eval()


def assert_equal_to_onnx(net, path, sizes):
    runtime = pytest.importorskip("onnxruntime")
    session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    for rows, steps in sizes:
        x = torch.randn(rows, steps, net.input_size)
        with torch.no_grad():
            y, state = net(x)
        expected = (y, *(state if isinstance(state, tuple) else (state,)))
        for actual, wanted in zip(session.run(None, {"x": x.numpy()}), expected, strict=True):
            np.testing.assert_allclose(actual, wanted.numpy(), rtol=1e-5, atol=1e-5)


def test_from_a_fit_to_files_and_back(capsys):
    main(["fit", "--config=sine_deep_dropout", *SHORT, *QUIET])
    main(["export", "--ckpt_path=best", "--config=sine_deep_dropout", "--output=here/out"])
    assert "here/out/network.onnx" in capsys.readouterr().out.splitlines()[-1]
    names = sorted(path.name for path in Path("here/out").iterdir())
    assert [Path(name).suffix for name in names] == [".pt", ".json", ".onnx", ".onnx"]
    assert sorted(Path("here").iterdir()) == [Path("here/out")]
    trained = load_network("runs/sine_deep_dropout/version_0/checkpoints/best.ckpt")
    net, x = hub.load_exported("here/out"), torch.randn(3, 30, 1)
    assert isinstance(net, Seq2SeqNet)
    assert not net.training
    assert net.layers.state_dropout == 0.1
    assert torch.equal(net(x)[0], trained(x)[0])
    (weights,) = Path("here/out").glob("*.pt")
    plain = torch.load(weights, weights_only=True)
    assert set(plain) == set(net.state_dict())
    assert json.loads(Path("here/out/network.json").read_text())["arguments"]["num_layers"] == 3
    assert_equal_to_onnx(net, "here/out/network.onnx", [(1, 1), (2, 20), (7, 45)])


@pytest.mark.parametrize(
    "options",
    [{}, {"num_layers": 2}, {"bidirectional": True}, {"fourier_frequencies": 3}],
    ids=["plain", "deep", "two ways", "fourier"],
)
@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
@pytest.mark.parametrize("model", [Seq2Seq, Seq2Vec])
def test_onnx_equals_torch_at_other_sizes(model, cell, options):
    net = checkpoint(model, cell=cell, state_dropout=0.3, **options)
    export.export("model.ckpt", "out")
    assert_equal_to_onnx(net, "out/network.onnx", [(2, 3), (1, 1), (5, 3), (2, 29), (64, 7)])


@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
@pytest.mark.parametrize("model", [Seq2Seq, Seq2Vec])
def test_an_onnx_stream_read_in_two_pieces_equals_the_whole(model, cell, capfd):
    """State and lengths are inputs: rows that end in the first piece, or in the second, or never."""
    runtime = pytest.importorskip("onnxruntime")
    net = checkpoint(model, cell=cell, num_layers=2, state_dropout=0.3)
    export.export("model.ckpt", "out")
    assert "Warning" not in capfd.readouterr().err
    session = runtime.InferenceSession("out/network_stream.onnx", providers=["CPUExecutionProvider"])
    for rows, steps, cut in ((4, 9, 4), (1, 3, 1), (4, 20, 13)):
        x, lengths = torch.randn(rows, steps, 2), torch.tensor([steps, 2, cut, cut + 1][:rows])
        names = ["h", "c"] if cell == "lstm" else ["h"]
        state = {f"{name}_0": np.zeros((2, rows, 5), np.float32) for name in names}
        outputs = []
        for start, stop in ((0, cut), (cut, steps)):
            piece = {"x": x[:, start:stop].numpy(), "lengths": (lengths - start).clamp(0, stop - start).numpy()}
            y, *after = session.run(None, {**piece, **state})
            state = {f"{name}_0": value for name, value in zip(names, after, strict=True)}
            outputs.append(y)
        with torch.no_grad():
            y, whole = net(x, None, lengths)
        found = outputs[-1] if model is Seq2Vec else np.concatenate(outputs, axis=1)
        np.testing.assert_allclose(found, y.numpy(), rtol=1e-5, atol=1e-5)
        for one, other in zip(state.values(), whole if cell == "lstm" else (whole,), strict=True):
            np.testing.assert_allclose(one, other.numpy(), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ["seq2vec_mnist", "seq2vec_mnist_lstm", "seq2seq_sine", "seq2seq_sine_deep"])
def test_the_trained_networks_as_onnx(name):
    net = getattr(hub, name)()
    export.write_onnx(net, "net.onnx")
    assert_equal_to_onnx(net, "net.onnx", [(1, 28), (9, 28), (3, 50)])


def test_double_precision_stays_in_the_weights():
    net = checkpoint(Seq2Seq, torch.float64)
    export.export("model.ckpt", "out")
    x = torch.randn(2, 4, 2, dtype=torch.float64)
    assert torch.equal(hub.load_exported("out")(x)[0], net(x)[0])
    assert_equal_to_onnx(net.float(), "out/network.onnx", [(3, 6)])


def test_the_network_that_is_written_stays_as_it_is():
    net = checkpoint(Seq2Seq, torch.float64).train()
    export.write_onnx(net, "net.onnx")
    assert net.training
    assert net.head.weight.dtype == torch.float64


def test_without_onnx(monkeypatch):
    net = checkpoint(Seq2Vec)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ArgumentError, match="needs the package onnx: pip install onnx, or give --onnx=false"):
        export.export("model.ckpt", "out")
    assert not Path("out").exists()
    main(["export", "--ckpt_path=model.ckpt", "--output=out", "--onnx=false"])
    assert not Path("out/network.onnx").exists()
    x = torch.randn(1, 4, 2)
    assert torch.equal(hub.load_exported("out")(x)[0], net(x)[0])


def test_an_empty_folder_is_filled_and_a_full_one_is_refused(fail):
    checkpoint(Seq2Vec)
    Path("out").mkdir()
    main(["export", "--ckpt_path=model.ckpt", "--output=out", "--onnx=false"])
    assert "out already exists" in fail("export", "--ckpt_path=model.ckpt", "--output=out")
    Path("file").touch()
    assert "file already exists" in fail("export", "--ckpt_path=model.ckpt", "--output=file")


def test_a_failure_leaves_nothing_behind(monkeypatch):
    checkpoint(Seq2Vec)
    monkeypatch.setattr(export, "write_onnx", lambda net, path, **options: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        export.export("model.ckpt", "out")
    assert sorted(path.name for path in Path.cwd().iterdir()) == ["model.ckpt"]


class Evil:
    """Pickles to a call that leaves a file."""

    def __reduce__(self):
        return (open, ("run", "w"))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "required: ckpt_path"),
        (["--ckpt_path=a.ckpt"], "no such file"),
        (["--ckpt_path=net.pt"], "required: output"),
        (["--ckpt_path=a.ckpt", "--output=out"], "no such file"),
        (["--ckpt_path=best", "--output=out"], "needs a recipe: give --config"),
        (["--ckpt_path=best", "--config=sine_long", "--output=out"], "no run in runs/sine_long"),
        (["--ckpt_path=evil.ckpt", "--output=out"], "more than tensors and plain values"),
        (["--ckpt_path=net.pt", "--output=out"], "not from a model of this package"),
        (["--ckpt_path=net.pt", "--output=out", "--onnx=maybe"], "bool"),
        (["--ckpt_path=net.pt", "--output=out", "--foo=1"], "--foo"),
    ],
)
def test_what_is_wrong_is_one_line_and_nothing_is_written(arguments, words, fail):
    torch.save({"state_dict": {}, "evil": Evil()}, "evil.ckpt")
    torch.save(checkpoint(Seq2Vec).state_dict(), "net.pt")
    assert words in fail("export", *arguments)
    assert not Path("run").exists(), "no code of a checkpoint is run"


def test_the_help_of_the_command_line_names_it(capsys):
    for arguments, words in (["--help"], "export --help"), (["export", "--help"], "--ckpt_path"):
        with pytest.raises(SystemExit) as end:
            main(arguments)
        assert end.value.code == 0
        assert words in " ".join(capsys.readouterr().out.split())
