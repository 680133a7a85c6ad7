"""A model of one's own on the command line: every subcommand, with arguments and without."""

import sys

import pytest
import torch

from rnn_lightning.callbacks import TENSORBOARD_CALLBACKS
from rnn_lightning.cli import CLI, main

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


OTHERS = """
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Optional

from lightning.pytorch.loggers import CSVLogger
from lightning.pytorch import LightningDataModule
from torch.utils.data import DataLoader


class Others(LightningDataModule):
    def train_dataloader(self):
        x = torch.randn(8, 20, 1, generator=torch.Generator().manual_seed(0))
        return DataLoader(list(zip(x, x)), batch_size=4)

    val_dataloader = test_dataloader = predict_dataloader = train_dataloader


class Required(Own):
    def __init__(self, form: str, hidden: int = 8):
        super().__init__(hidden)
        self.save_hyperparameters()


class Kind(Enum):
    A, B = 1, 2


@dataclass
class Part:
    kind: Kind = Kind.A
    more: Optional[list[Kind]] = None


class Typed(Own):
    def __init__(
        self,
        kind: Kind,
        part: Optional[Part] = None,
        kinds: tuple[Kind, int] = (Kind.A, 1),
        named: Optional[dict[str, Kind]] = None,
        weight: Optional[torch.Tensor] = None,
        limit: float = 1.0,
        path: Path = Path("a"),
        text: str = "a",
    ):
        super().__init__()
        self.save_hyperparameters()
        self.got = repr((kind, part, kinds, named, weight, limit, path, text))

    def on_test_start(self):
        print("got", self.got)


def logger(save_dir: str = "runs") -> CSVLogger:
    return CSVLogger(save_dir)


class Kept(CSVLogger):
    @classmethod
    def make(cls, save_dir: str = "runs") -> "Kept":
        return cls(save_dir)
"""


@pytest.fixture
def own(tmp_path, monkeypatch):
    (tmp_path / "own.py").write_text(OWN + OTHERS)
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


def test_data_need_no_sizes_that_the_model_does_not_take(own, capsys):
    """And the model's required argument is the checkpoint's for an export, too."""
    both = ["--model=own.Required", "--data=own.Others", "--trainer.accelerator=cpu"]
    quiet = ["--trainer.enable_progress_bar=false", "--trainer.enable_model_summary=false", "--trainer.max_epochs=1"]
    off = [f"--{name}.enabled=false" for name in TENSORBOARD_CALLBACKS]
    main(["fit", *both, *quiet, *off, "--model.form=a", "--trainer.log_every_n_steps=1"])
    with pytest.raises(SystemExit):
        main(["export", *both, "--ckpt_path=best", "--output=exported"])
    assert "give a checkpoint of Seq2Vec or Seq2Seq" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["test", "--ckpt_path=missing.ckpt"], "missing.ckpt: there is no such file"),
        (["predict", "--ckpt_path=missing.ckpt", "--model=own.Required", "--data=own.Others"], "there is no such file"),
        (["test", "--ckpt_path=best"], "best needs a recipe: give --config RECIPE"),
    ],
)
def test_a_checkpoint_that_is_not_there_is_said_before_what_it_would_give(arguments, words, own, fail):
    assert words in fail(*arguments)


def test_a_checkpoint_gives_back_an_argument_of_several_parts(own):
    """The model's default has other values for these parts."""
    seen = []

    class Seen(CLI):
        def before_test(self):
            seen.append((self.model.tbptt.k1, self.model.tbptt.k2))

    both = ["--model=own.Own", "--data=own.Others", *QUIET]
    main(["fit", *both, *SHORT, "--model.tbptt.k1=5", "--model.tbptt.k2=7"])
    main(["test", *both, "--ckpt_path=best"], cli=Seen)
    main(["test", *both, "--ckpt_path=best", "--model.tbptt.k2=6"], cli=Seen)
    assert seen == [(5, 7), (5, 6)]


QUIET = ["--trainer.enable_progress_bar=false", "--trainer.enable_model_summary=false", "--trainer.accelerator=cpu"]
SHORT = [*QUIET, "--trainer.max_epochs=1", "--trainer.log_every_n_steps=1"]
SHORT += [f"--{name}.enabled=false" for name in TENSORBOARD_CALLBACKS]


@pytest.mark.slow
def test_a_checkpoint_gives_back_arguments_of_every_type(own, capsys):
    both = ["--model=own.Typed", "--data=own.Others"]
    given = {
        "kind": "B",
        "part": "{kind: B, more: [A, B]}",
        "kinds": "[B, 2]",
        "named": "{a: B}",
        "weight": "[1.0, 0.5]",
        "limit": ".inf",
        "path": "b/c",
        "text": "'007'",
    }
    main(["fit", *both, *SHORT, *(f"--model.{name}={value}" for name, value in given.items())])
    main(["test", *both, *QUIET, "--ckpt_path=best"])
    main(["test", *both, *QUIET, "--ckpt_path=best", "--model.kind=A"])
    fitted, tested, typed = (line for line in capsys.readouterr().out.splitlines() if line.startswith("got"))
    assert "inf" in fitted
    assert "Part(kind=<Kind.B: 2>, more=[<Kind.A: 1>, <Kind.B: 2>])" in fitted
    assert tested == fitted
    assert typed == fitted.replace("(<Kind.B: 2>, Part", "(<Kind.A: 1>, Part")


@pytest.mark.parametrize("logger", ["own.logger", pytest.param("own.Kept.make", marks=pytest.mark.slow)])
def test_a_logger_may_be_made_by_a_function(logger, own):
    main(["fit", "--model=own.Bare", "--data=own.Others", *SHORT, f"--trainer.logger={logger}", "--name=made"])
    main(["test", "--model=own.Bare", "--data=own.Others", *QUIET, "--ckpt_path=best", "--name=made"])
