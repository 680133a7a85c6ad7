"""A model of one's own on the command line: every subcommand, with arguments and without."""

import sys

import pytest
import torch

from rnn_lightning.callbacks import TENSORBOARD_CALLBACKS
from rnn_lightning.cli import main

OWN = """
import torch
from torch import nn
from rnn_lightning.models import TruncatedBPTT, TruncatedBPTTModule


class Own(TruncatedBPTTModule):
    def __init__(self, hidden: int = 8, tbptt: TruncatedBPTT | None = TruncatedBPTT(k1=10)):
        super().__init__(tbptt=tbptt)
        self.save_hyperparameters()
        self.rnn, self.head = nn.GRU(1, hidden, batch_first=True), nn.Linear(hidden, 1)

    def chunk_step(self, chunk, state):
        output, state = self.rnn(chunk["x"], state)
        y_hat = self.head(output)
        errors = (y_hat - chunk["y"]) ** 2
        return errors.sum(), errors.numel(), state, {"prediction": y_hat}

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters())


class Bare(Own):
    def __init__(self):
        super().__init__()
"""
DATA = ["--data=SyntheticSine", "--data.steps_per_epoch=3", "--data.eval_windows=20", "--trainer.accelerator=cpu"]


DATA += [f"--{name}.enabled=false" for name in TENSORBOARD_CALLBACKS]


@pytest.fixture
def own(tmp_path, monkeypatch):
    (tmp_path / "own.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    yield
    sys.modules.pop("own", None)


@pytest.mark.parametrize(
    "model",
    [
        ["--model=own.Own", "--model.hidden=5"],
        pytest.param(["--model=own.Own", "--model.tbptt=null"], marks=pytest.mark.slow),
        pytest.param(["--model=own.Bare"], marks=pytest.mark.slow),
    ],
    ids=["arguments", "whole", "bare"],
)
def test_every_subcommand_on_a_model_of_ones_own(model, own, capsys):
    quiet = ["--trainer.enable_progress_bar=false", "--trainer.enable_model_summary=false"]
    main(["fit", *DATA, *model, *quiet, "--trainer.max_epochs=1"])
    checkpoints = f"runs/{model[0].partition('.')[2]}-SyntheticSine/version_0/checkpoints"  # named after both
    best = f"{checkpoints}/best.ckpt"
    saved = torch.load(best, weights_only=True)
    assert saved["global_step"] == (3 if "--model.tbptt=null" in model else 6)
    for subcommand in ("validate", "test", "predict"):
        main([subcommand, f"--ckpt_path={best}", *quiet])
    assert "Predictions: " in capsys.readouterr().out
    main(["fit", f"--ckpt_path={checkpoints}/last.ckpt", *quiet, "--trainer.max_epochs=2"])
    with pytest.raises(SystemExit):
        main(["export", f"--ckpt_path={best}", "--output=exported"])
    assert "give a checkpoint of Seq2Vec or Seq2Seq" in capsys.readouterr().err
