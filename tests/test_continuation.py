"""Text and array files on the command line: one line each, from a file to a result."""

import json
import math
import re
import shutil
from contextlib import redirect_stdout
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import yaml
from lightning.pytorch import Trainer
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from rnn_lightning import hub
from rnn_lightning.callbacks.beside_baseline import show_table
from rnn_lightning.cli import main
from rnn_lightning.data import TextStream
from rnn_lightning.models import Seq2Seq

pytestmark = pytest.mark.usefixtures("own_folder")
QUIET = ["--trainer.enable_progress_bar=false", "--trainer.enable_model_summary=false", "--trainer.accelerator=cpu"]
QUIET += [f"--{name}.enabled=false" for name in ("series_figures", "gradient_reach", "network_graph")]
SMALL = ["--model.hidden_size=12", "--data.n_steps=20", "--data.batch_size=8", "--trainer.max_epochs=1"]
TEXT = "".join(f"line {i} of the book, and then another one;\n" for i in range(80))


@pytest.fixture(scope="module")
def fitted_book(tmp_path_factory):
    """The folder of a run of `chars` on a book, whose file is gone then; what was printed is kept in `out.txt`."""
    folder = tmp_path_factory.mktemp("book")
    with pytest.MonkeyPatch.context() as patch, open(folder / "out.txt", "w", encoding="utf-8") as file:
        patch.chdir(folder)
        Path("book.txt").write_text(TEXT)
        with redirect_stdout(file):
            main(["fit", "--config", "chars", "--data.path", "book.txt", *SMALL, *QUIET])
        Path("book.txt").unlink()
    return folder


@pytest.fixture
def book(fitted_book, own_folder):
    """A copy of it in the current folder."""
    shutil.copytree(fitted_book, own_folder, dirs_exist_ok=True)
    return Path("runs/book/version_0")


def test_a_book_is_one_line_and_goes_on_without_its_file(book, fail):
    out = Path("out.txt").read_text()
    found = {name: float(value) for name, value in re.findall(r"(test/\w+)[\s│]+([\d.]+)", out)}
    assert found["test/perplexity"] == pytest.approx(np.exp(found["test/loss"]), rel=1e-5)
    assert found["test/bits_per_character"] == pytest.approx(found["test/loss"] / np.log(2), rel=1e-5)
    predict = ["predict", f"--ckpt_path={book}/checkpoints/best.ckpt", *QUIET]
    main([*predict, "--prompt=line ", "--length=50", "--temperature=0.8", "--top_k=20"])
    text = (book / "predictions.txt").read_text()
    assert text.startswith("line ")
    assert len(text) == 55
    assert set(text) <= set(TEXT)
    main([*predict, "--prompt=line ", "--length=50", "--temperature=0.8", "--top_k=20"])
    assert (book / "predictions_1/predictions.txt").read_text() == text, "the same seed draws the same"
    assert "'X', which the training text does not have" in fail(*predict, "--prompt=X")
    assert "prompt is empty" in fail(*predict, "--prompt=")
    assert "there is no such file" in fail(*predict)
    assert "needs trained weights" in fail("predict", "--config=chars", "--prompt=a")
    assert "is for predict only" in fail("test", *predict[1:], "--prompt=a")
    assert "temperature" in fail(*predict, "--prompt=a", "--temperature=-1")
    assert "top_k" in fail(*predict, "--prompt=a", "--top_k=0")
    main(["fit", "--config=sine_stream", "--data.steps_per_epoch=2", "--trainer.max_epochs=1", *QUIET])
    assert "has no vocabulary" in fail("predict", "--config=sine_stream", "--ckpt_path=best", "--prompt=a")


def test_an_export_continues_a_text_as_its_checkpoint_does(book, fail):
    """No data, no run and no configuration are needed; the vocabulary is in `network.json`."""
    main(["export", f"--ckpt_path={book}/checkpoints/best.ckpt", "--output=exported", "--onnx=false"])
    main(["predict", f"--ckpt_path={book}/checkpoints/best.ckpt", "--prompt=line ", "--length=50"])
    shutil.move("runs", "elsewhere")
    description = json.loads(Path("exported/network.json").read_text())
    assert hub.load_exported("exported").fitted == description["fitted"]
    assert description["fitted"]["vocabulary"] == "".join(sorted(set(TEXT)))
    text = (Path("elsewhere") / "book/version_0/predictions.txt").read_text()
    for path in ("exported", "exported/network.json", "elsewhere/book/version_0/checkpoints/best.ckpt"):
        before = set(Path().rglob("predictions.txt"))
        main(["predict", f"--ckpt_path={path}", "--prompt=line ", "--length=50"])
        (found,) = set(Path().rglob("predictions.txt")) - before
        assert found.read_text() == text
    assert "'X', which the training text does not have" in fail("predict", "--ckpt_path=exported", "--prompt=X")
    assert "there is no such file" in fail("predict", "--ckpt_path=nowhere", "--prompt=a")


def test_the_vocabulary_travels(book):
    """A text with other characters is tested with the network's own vocabulary, also after a resumed fit."""
    saved = torch.load(book / "checkpoints/best.ckpt", weights_only=True)
    assert saved["fitted"] == {"level": "characters", "vocabulary": "".join(sorted(set(TEXT)))}
    Path("other.txt").write_text(TEXT.replace("o", "ö").replace("book", "zoo"))
    best = f"--ckpt_path={book}/checkpoints/best.ckpt"
    main(["test", best, "--data.path=other.txt", *QUIET])
    main(["fit", best, "--data.path=other.txt", *QUIET, "--trainer.max_epochs=2"])
    again = torch.load("runs/book/version_0/checkpoints/last.ckpt", weights_only=True)
    assert again["epoch"] > saved["epoch"]
    assert again["fitted"] == saved["fitted"]
    assert "fitted" not in yaml.safe_load(Path("runs/book/version_0/config.yaml").read_text())["data"]["init_args"]


def test_samples_are_in_tensorboard_and_change_nothing(book):
    events = EventAccumulator(str(book)).Reload()
    (event,) = events.Tensors("val/sample/text_summary")
    (text,) = event.tensor_proto.string_val
    Path("book.txt").write_text(TEXT)
    assert TextStream("book.txt", n_steps=20, batch_size=8).prompt.splitlines()[0] in text.decode()
    main(["fit", "--config=chars", "--data.path=book.txt", *SMALL, *QUIET, "--text_samples.enabled=false"])
    states = [torch.load(f"runs/book/version_{i}/checkpoints/last.ckpt", weights_only=True) for i in (0, 1)]
    for name, value in states[0]["state_dict"].items():
        assert torch.equal(value, states[1]["state_dict"][name])
    assert "val/sample/text_summary" not in EventAccumulator("runs/book/version_1").Reload().Tags()["tensors"]


def test_evaluation_is_that_of_the_whole_text(book):
    Path("book.txt").write_text(TEXT)
    data = TextStream("book.txt", n_steps=20, eval_batch_size=1)
    model = Seq2Seq.load_from_checkpoint(book / "checkpoints/best.ckpt")
    quiet = {"logger": False, "enable_progress_bar": False, "accelerator": "cpu"}
    (found,) = Trainer(**quiet).test(model, datamodule=data, verbose=False)
    tokens = torch.from_numpy(data._parts["test"].astype(np.int64))[None]
    with torch.no_grad():
        y = model.eval()(tokens[:, :-1])[0]
    expected = torch.nn.functional.cross_entropy(y[0], tokens[0, 1:]).item()
    assert found["test/loss"] == pytest.approx(expected, rel=1e-5)


def test_words_fit_and_go_on(capsys):
    Path("book.txt").write_text(TEXT * 3)
    small = ["--model.hidden_size=12", "--model.embedding_size=12", "--data.n_steps=10", "--trainer.max_epochs=1"]
    main(["fit", "--config=chars", "--data.level=words", "--data.path=book.txt", *small, *QUIET])
    capsys.readouterr()
    main(
        ["predict", "--ckpt_path=runs/book/version_0/checkpoints/best.ckpt", "--prompt=line zzz", "--length=5", *QUIET]
    )
    out = capsys.readouterr().out
    assert "Of the prompt's 2 words, 1 are unknown" in out
    text = Path("runs/book/version_0/predictions.txt").read_text()
    assert text.startswith("line <unk>")
    assert text.count("<unk>") == 1, "the unknown word is never drawn"


def test_sizes_that_cannot_be_tied_are_one_line(fail):
    Path("book.txt").write_text(TEXT)
    assert "are classes" in fail(
        "fit", "--config=chars", "--data.path=book.txt", "--model.task=regression", *SMALL, *QUIET
    )
    assert "tie_weights needs" in fail("fit", "--config=chars", "--data.path=book.txt", "--model.tie_weights=true")
    line = fail("fit", "--config=chars", "--data.path=book.txt", "--model.embedding_size=null", *SMALL, *QUIET)
    assert "set model.embedding_size" in line


@pytest.mark.parametrize(
    "kind", ["classes", *(pytest.param(kind, marks=pytest.mark.slow) for kind in ("values", "a step"))]
)
def test_an_array_file_is_one_line(kind, capsys):
    rng = np.random.default_rng(0)
    x, lengths = rng.normal(size=(60, 7, 2)), rng.integers(3, 8, 60)
    y = {"classes": (x[:, 0, 0] > 0).astype(int), "values": x[:, 0], "a step": x.cumsum(1)[..., :1]}[kind]
    np.savez("gestures.npz", x=x, y=y, lengths=lengths)
    model = ["--model=Seq2Seq"] if kind == "a step" else []
    main(["fit", "--config=arrays", "--data.path=gestures.npz", *model, "--trainer.max_epochs=2", *QUIET])
    run = Path("runs/gestures/version_0")
    table = (run / "baseline.txt").read_text()
    assert table.strip() in capsys.readouterr().out
    naive = "majority class" if kind == "classes" else "mean"
    assert table.splitlines()[2].startswith(f"{naive}  ")
    assert set(json.loads((run / "baseline.json").read_text())) == {"the network", naive}
    assert ("test/acc" if kind == "classes" else "test/mae") in table.splitlines()[0]
    capsys.readouterr()
    main(["predict", f"--ckpt_path={run}/checkpoints/best.ckpt", *QUIET])
    assert (run / "predictions.csv").is_file()
    main(["test", f"--ckpt_path={run}/checkpoints/best.ckpt", *QUIET])
    assert table.splitlines()[-1] in capsys.readouterr().out


def test_a_table_is_json_even_with_nan(tmp_path):
    checkpoint = tmp_path / "runs" / "name" / "version_0" / "checkpoints" / "best.ckpt"
    trainer = SimpleNamespace(loggers=[], ckpt_path=str(checkpoint))
    show_table(trainer, "forecasts", "the table", {"scores": [{"mase": math.nan, "mae": 2.0}], "most": math.inf})
    text = (checkpoint.parent.parent / "forecasts.json").read_text()
    assert json.loads(text, parse_constant=pytest.fail) == {"scores": [{"mase": None, "mae": 2.0}], "most": None}


def test_a_useless_network_is_told(capsys):
    from rnn_lightning.callbacks.beside_baseline import comparison

    assert "no better" in comparison({"test/acc": 0.5}, {"test/acc": 0.5}, "majority class")
    assert "no better" not in comparison({"test/acc": 0.6}, {"test/acc": 0.5}, "majority class")
    assert "In test/mae" in comparison({"test/loss": 1.0, "test/mae": 3.0}, {"test/loss": 2.0, "test/mae": 2.0}, "mean")


def test_one_target_a_step_is_for_the_other_model(fail):
    np.savez("a.npz", x=np.zeros((30, 4, 2)), y=np.zeros((30, 4, 1)))
    assert "use --model Seq2Seq" in fail("fit", "--config=arrays", "--data.path=a.npz", *QUIET)


def test_an_export_reads_tokens(book):
    import onnxruntime

    from rnn_lightning import hub

    main(["export", f"--ckpt_path={book}/checkpoints/best.ckpt", "--output=exported"])
    net = hub.load_exported("exported")
    tokens = torch.randint(net.embedding.num_embeddings, (3, 11))
    y, state = net(tokens)
    session = onnxruntime.InferenceSession("exported/network.onnx", providers=["CPUExecutionProvider"])
    found = session.run(None, {"x": tokens.numpy()})
    np.testing.assert_allclose(found[0], y.detach(), atol=1e-5)
    np.testing.assert_allclose(found[1], state[0].detach(), atol=1e-5)
    model = Seq2Seq.load_from_checkpoint(book / "checkpoints/best.ckpt").eval()
    torch.testing.assert_close(model.step(tokens[:, 0])[0], y[:, 0].detach())
    untrained = hub.seq2seq(9, 9, embedding_size=4, hidden_size=4, tie_weights=True)
    assert untrained(tokens % 9)[0].shape == (3, 11, 9)
