"""The pages about your own data run as they stand, on data that comes with Python or with the package aeon."""

import importlib.util
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from rnn_lightning.cli import main
from rnn_lightning.data.text_files import python_topics
from rnn_lightning.recipes import recipes

DOCS = Path(__file__).parents[1] / "docs"
SHORT = ["--trainer.enable_progress_bar=false", "--trainer.enable_model_summary=false", "--trainer.accelerator=cpu"]
pytestmark = pytest.mark.usefixtures("own_folder")


def blocks(page, language):
    return re.findall(rf"```{language}\n(.*?)```", (DOCS / page).read_text(), re.S)


def run(command, *more):
    words = shlex.split(command)
    assert words[:3] == ["python", "-m", "rnn_lightning"]
    main([*words[3:], *more, *SHORT])


def vowels():
    """JapaneseVowels, as aeon ships it (Kudo, Toyama & Shimbo 1999); without aeon sequences of the same form."""
    found = importlib.util.find_spec("aeon")
    if found is None or found.origin is None:
        rng = np.random.default_rng(0)
        return [rng.normal(size=(n, 12)) for n in rng.integers(7, 30, 90)], [str(i % 9) for i in range(90)]
    file = Path(found.origin).parent / "datasets/data/JapaneseVowels/JapaneseVowels_TRAIN.ts"
    lines = file.read_text().partition("@data\n")[2].splitlines()
    rows = [line.split(":") for line in lines]
    return [np.array([channel.split(",") for channel in row[:-1]], dtype=float).T for row in rows], [
        r[-1] for r in rows
    ]


@pytest.mark.slow
def test_text(capsys):
    Path("book.txt").write_text(python_topics()[:30_000])
    fit, predict, words, files = blocks("text.md", "sh")
    run(fit, "--model.hidden_size=16", "--trainer.max_epochs=1")
    capsys.readouterr()
    run(predict)
    assert capsys.readouterr().out.startswith("The ")
    (code,) = blocks("text.md", "python")
    exec(code, names := {})
    assert names["tokens"].shape == (1, 100)
    small = ["--model.hidden_size=8", "--model.embedding_size=8", "--trainer.fast_dev_run=2"]
    for part in ("train", "valid", "test"):
        Path(f"ptb.{part}.txt").write_text("the <unk> of N said\n" * 300)
    run(files, *small)
    if Path(
        yaml.safe_load(recipes()["words"].read_text())["data"]["init_args"]["path"]
    ).is_file():  # of a Debian package
        run(words, *small)


def test_arrays(capsys):
    names = dict(zip(("sequences", "labels"), vowels(), strict=True))
    write, own, stream = blocks("arrays.md", "python")
    exec(write, names)
    (fit,) = blocks("arrays.md", "sh")
    run(fit, "--trainer.max_epochs=2")
    assert "majority class" in capsys.readouterr().out
    exec(own, names)
    exec(stream, names)


def test_streaming():
    (code,) = blocks("streaming.md", "python")
    exec(code, names := {})
    assert names["y"].shape == (1, 1)
    x, model = torch.randn(2, 9, 3), names["model"]
    state = None
    for step in x.unbind(1):
        y, state = model.step(step, state)
    torch.testing.assert_close(y, model(x)[0][:, -1].detach())
    assert not y.requires_grad
