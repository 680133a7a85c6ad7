"""What docs/losses.md shows, from the command line to a checkpoint and an export."""

import re
from pathlib import Path

import pytest
import torch
import yaml
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from rnn_lightning import hub
from rnn_lightning.callbacks import TENSORBOARD_CALLBACKS
from rnn_lightning.cli import main
from rnn_lightning.models import Seq2Seq

DOCS = (Path(__file__).parents[1] / "docs" / "losses.md").read_text()
SHORT = [
    "--trainer.max_epochs=2",
    "--trainer.accelerator=cpu",
    "--trainer.enable_progress_bar=false",
    "--trainer.enable_model_summary=false",
]
SHORT += [
    f"--{name}.enabled=false" for name in TENSORBOARD_CALLBACKS if name != "vital_signs"
]  # they take most of such a run
SINE = ["--data=SyntheticSine", "--data.steps_per_epoch=4", "--data.eval_windows=20"]


@pytest.fixture(autouse=True)
def _folder(own_folder, monkeypatch):
    monkeypatch.syspath_prepend(str(own_folder))


def shown(capsys, *names):
    """The values of these names in the tables that were printed, with lines between their columns or without."""
    out = capsys.readouterr().out
    return [re.findall(rf"{name}[\s│]+([-+.\de]+)", out) for name in names]


def test_the_yaml_of_the_docs(capsys):
    """Warm-up, loss and metric are what the run used."""
    (text,) = re.findall(r"```yaml\n(.*?)```", DOCS, re.S)
    Path("huber.yaml").write_text(text.replace("steps: 100", "steps: 4").replace("T_max: 5000", "T_max: 4"))
    main(["fit", "--config=huber.yaml", *SINE, *SHORT, "--trainer.log_every_n_steps=1"])
    events = EventAccumulator("runs/huber/version_0")
    events.Reload()
    rates = [event.value for event in events.Scalars("train/lr")]
    expected = [0.0002575, 0.000505, 0.0007525, 0.001, 0.000853553, 0.0005, 0.000146447, 0.0]  # after each step
    assert rates == pytest.approx(expected, abs=1e-6)
    assert "val/rmse" in events.Tags()["scalars"]
    module = Seq2Seq.load_from_checkpoint("runs/huber/version_0/checkpoints/best.ckpt", lr_scheduler=None)
    assert module.criterion.delta == 0.5
    assert "test/rmse" in capsys.readouterr().out
    main(["test", "--ckpt_path=runs/huber/version_0/checkpoints/best.ckpt", *SHORT])
    assert "test/rmse" in capsys.readouterr().out


def test_a_gaussian_has_two_outputs_for_each_value(fail, capsys):
    gaussian = ["--model=Seq2Seq", "--model.loss=GaussianNLLLoss", *SINE, *SHORT, "--name=g"]
    assert "two outputs for each value" in fail("fit", *gaussian)
    assert not Path("runs").exists()
    main(["fit", *gaussian, "--model.output_size=2"])
    best = "--ckpt_path=runs/g/version_0/checkpoints/best.ckpt"
    main(["test", best, *SHORT])
    main(["predict", best, *SHORT])
    assert Path("runs/g/version_0/predictions.csv").read_text().startswith("sequence,step,x_0,y,prediction,variance\n")
    main(["export", best, "--output=out", "--onnx=false"])
    assert hub.load_exported("out").head.out_features == 2
    assert "needs predicted values" in fail("predict", best, *SHORT, "--horizon=3")


def test_the_function_of_the_docs(capsys):
    (text,) = re.findall(r"```python\n(.*?)```", DOCS, re.S)
    Path("my_losses.py").write_text(text)
    quantiles = ["--model=Seq2Seq", "--model.loss=my_losses.quantiles", "--model.output_size=3", "--name=q"]
    main(["fit", *quantiles, *SINE, *SHORT])
    saved = yaml.safe_load(Path("runs/q/version_0/config.yaml").read_text())["model"]["init_args"]
    assert (saved["loss"], saved["output_size"]) == ("my_losses.quantiles", 3)
    main(["test", *quantiles, *SINE, *SHORT, "--ckpt_path=best"])
    assert "test/loss" in capsys.readouterr().out


DATA = """
import torch
from lightning.pytorch import LightningDataModule
from torch.utils.data import DataLoader


class Labels(LightningDataModule):
    def __init__(self):
        super().__init__()
        self.input_size, self.output_size = 2, 3

    def train_dataloader(self):
        return DataLoader([{"x": torch.randn(4, 5, 2), "y": self.targets()} for _ in range(3)], batch_size=None)

    def targets(self):
        return torch.randint(2, (4, 3)).float()

    val_dataloader = test_dataloader = predict_dataloader = train_dataloader


class Classes(Labels):
    def targets(self):
        return torch.tensor([0, 1, 2, -100])
"""


@pytest.mark.parametrize(
    ("data", "loss", "metric"),
    [
        ("Labels", ["--model.loss=BCEWithLogitsLoss", "--model.loss.pos_weight=[1, 2, 3]"], "MultilabelF1Score"),
        pytest.param(
            "Classes",
            ["--model.loss=CrossEntropyLoss", "--model.loss.weight=[1, 2, 3]"],
            "MulticlassF1Score",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_weights_as_a_list(data, loss, metric, capsys):
    Path(f"weights_{data}.py").write_text(DATA)
    run = ["--model=Seq2Vec", f"--data=weights_{data}.{data}", *loss, f"--model.metrics=[{metric}]", "--name=w"]
    main(["fit", *run, *SHORT])
    main(["predict", *run, *SHORT, "--ckpt_path=best"])
    saved = torch.load("runs/w/version_0/checkpoints/best.ckpt", weights_only=True)
    arguments = saved["training"]["loss"]["init_args"].values()
    (weights,) = [value for value in arguments if isinstance(value, torch.Tensor)]
    assert weights.tolist() == [1, 2, 3]
    assert f"test/{metric}" in capsys.readouterr().out


@pytest.mark.parametrize(
    "loss",
    [
        ["HuberLoss", "--model.loss.delta=0.01"],
        pytest.param(["SmoothL1Loss", "--model.loss.beta=0.5"], marks=pytest.mark.slow),
    ],
    ids=["Huber", "smooth L1"],
)
def test_a_checkpoint_is_tested_and_resumed_with_its_own_loss(loss, capsys):
    name, *arguments = loss
    main(["fit", "--model=Seq2Seq", f"--model.loss={name}", *arguments, *SINE, *SHORT, "--name=h"])
    fitted = shown(capsys, "test/loss")
    main(["test", "--model=Seq2Seq", *SINE, *SHORT, "--name=h", "--ckpt_path=best"])
    assert shown(capsys, "test/loss") == fitted
    main(["test", "--model=Seq2Seq", "--model.loss=L1Loss", *SINE, *SHORT, "--name=h", "--ckpt_path=best"])
    assert shown(capsys, "test/loss") != fitted  # what you type counts
    main(["fit", "--model=Seq2Seq", *SINE, *SHORT, "--trainer.max_epochs=3", "--name=h", "--ckpt_path=last"])
    saved = torch.load("runs/h/version_0/checkpoints/last.ckpt", weights_only=True)
    assert saved["training"]["loss"]["class_path"] == f"torch.nn.{name}"


@pytest.mark.slow
def test_a_loss_that_a_checkpoint_cannot_restore_is_asked_for(fail):
    Path("losses_of_a_file.py").write_text("def absolute(y_hat, y):\n    return (y_hat - y).abs()\n")
    run = ["--model=Seq2Seq", *SINE, *SHORT, "--name=own"]
    main(["fit", *run, "--model.loss=losses_of_a_file.absolute"])
    assert "absolute: give --model.loss" in fail("test", *run, "--ckpt_path=best")
    main(["test", *run, "--ckpt_path=best", "--model.loss=losses_of_a_file.absolute"])
    main(["test", "--config=runs/own/version_0/config.yaml", "--ckpt_path=best"])


METRICS = "--model.metrics={rmse: {class_path: MeanSquaredError, init_args: {squared: false}}, r2: R2Score}"


def test_a_checkpoint_is_tested_validated_and_resumed_with_its_own_metrics(capsys):
    run = ["--model=Seq2Seq", *SINE, *SHORT, "--name=m"]
    main(["fit", *run, METRICS])
    fitted = shown(capsys, "test/rmse", "test/r2")
    assert all(len(found) == 1 for found in fitted)
    main(["test", *run, "--ckpt_path=best"])
    assert shown(capsys, "test/rmse", "test/r2") == fitted
    main(["validate", *run, "--ckpt_path=best"])
    assert all(shown(capsys, "val/rmse", "val/r2"))
    main(["test", *run, "--ckpt_path=best", "--model.metrics=[ExplainedVariance]"])  # what you type counts
    assert [len(found) for found in shown(capsys, "test/rmse", "test/ExplainedVariance")] == [0, 1]
    main(["fit", *run, "--trainer.max_epochs=3", "--ckpt_path=last"])
    saved = torch.load("runs/m/version_0/checkpoints/last.ckpt", weights_only=True)
    assert saved["training"]["metrics"]["rmse"]["init_args"] == {"squared": False, "num_outputs": 1}
    main(["predict", *run, "--ckpt_path=best"])


def test_metrics_that_a_checkpoint_cannot_restore_are_named(capsys):
    Path("metrics_of_a_file.py").write_text(
        "from torchmetrics import MeanSquaredError\n\n\nclass Mine(MeanSquaredError): ...\n"
    )
    run = ["--model=Seq2Seq", *SINE, *SHORT, "--name=own"]
    own = "--model.metrics=[metrics_of_a_file.Mine, R2Score]"
    main(["fit", *run, own])
    capsys.readouterr()
    with pytest.warns(
        UserWarning, match="had the metrics Mine, which it can't restore: give all metrics as --model.met"
    ):
        main(["test", *run, "--ckpt_path=best"])
    assert [len(found) for found in shown(capsys, "test/Mine", "test/R2Score")] == [0, 1]
    main(["test", *run, own, "--ckpt_path=best"])
    assert [len(found) for found in shown(capsys, "test/Mine", "test/R2Score")] == [1, 1]


TRAINED = [
    "--model.tbptt.k1=5",
    "--model.lr_scheduler=StepLR",
    "--model.lr_scheduler.step_size=2",
    "--model.optimizer=SGD",
]
TRAINED += ["--model.optimizer.lr=0.01", "--model.optimizer.momentum=0.5", "--model.lr_interval=batch"]


def training(name):
    return torch.load(f"runs/{name}/version_0/checkpoints/last.ckpt", weights_only=True)["training"]


def test_a_run_is_resumed_with_its_own_training(capsys, fail):
    """What was typed for the fit need not be typed again; the weights are those of an undisturbed run."""
    run = ["--model=Seq2Seq", "--model.hidden_size=4", *SINE, *SHORT]
    main(["fit", *run, *TRAINED, "--name=whole", "--trainer.max_epochs=3"])
    main(["fit", *run, *TRAINED, "--name=parts"])
    main(["fit", *run, "--name=parts", "--trainer.max_epochs=3", "--ckpt_path=last"])
    assert training("parts") == training("whole")
    one, other = (
        torch.load(f"runs/{name}/version_0/checkpoints/last.ckpt", weights_only=True) for name in ("parts", "whole")
    )
    assert one["lr_schedulers"] == other["lr_schedulers"]
    assert all(torch.equal(value, other["state_dict"][key]) for key, value in one["state_dict"].items())
    typed = ["--model.optimizer.lr=0.5", "--model.tbptt.k1=7", "--model.tbptt.k2=9"]
    with (
        pytest.warns(UserWarning, match=r"optimizer.lr=0.5 is not used: the run continues with 0.01"),
        pytest.warns(UserWarning, match="from here on: the resumed run had .*'k1': 5"),
    ):
        main(["fit", *run, "--name=parts", "--trainer.max_epochs=4", "--ckpt_path=last", *typed])
    assert training("parts")["tbptt"]["k1"] == 7  # what you type counts


@pytest.mark.slow
def test_how_a_resumed_run_trains_is_the_recipes_to_say(capsys):
    """What a recipe sets overrides the checkpoint, and is reported; what it leaves out is the checkpoint's."""
    run = ["--model.hidden_size=4", *SINE, *SHORT, "--name=r"]
    recipe = "model:\n  class_path: Seq2Seq\n  init_args:\n    tbptt: {k1: %d, k2: 10}\n"
    Path("mine.yaml").write_text(recipe % 5)
    main(["fit", "--config=mine.yaml", *run, "--model.optimizer=SGD", "--model.optimizer.lr=0.01"])
    Path("mine.yaml").write_text(recipe % 10)
    with pytest.warns(UserWarning, match=r"tbptt=.*'k1': 10.* from here on: the resumed run had .*'k1': 5"):
        main(["fit", "--config=mine.yaml", *run, "--trainer.max_epochs=3", "--ckpt_path=last"])
    assert training("r")["tbptt"]["k1"] == 10
    assert training("r")["optimizer"]["name"] == "SGD"


def test_a_scheduler_that_a_checkpoint_cannot_restore_is_asked_for(fail):
    run = ["--model=Seq2Seq", "--model.hidden_size=4", *SINE, *SHORT, "--name=w"]
    warm_up = ["--model.lr_scheduler=WarmUp", "--model.lr_scheduler.steps=3", "--model.lr_interval=step"]
    main(["fit", *run, *warm_up])
    again = ["fit", *run, "--trainer.max_epochs=3", "--ckpt_path=last"]
    assert "a lr_scheduler that it can't restore, WarmUp: give --model.lr_scheduler" in fail(*again)
    main(["test", *run, "--ckpt_path=last"])
    main([*again, *warm_up])
    assert training("w")["lr_scheduler"] == "WarmUp"
    main([*again, "--trainer.max_epochs=4", "--config=runs/w/version_0/config.yaml"])


def test_a_checkpoint_is_evaluated_with_the_state_carried_as_in_its_fit(capsys):
    run = ["--model=Seq2Seq", "--model.hidden_size=4", "--data=SineStream", "--data.batch_size=4", *SHORT, "--name=c"]
    main(["fit", *run, "--model.carry_state=true"])
    fitted = shown(capsys, "test/loss")
    assert len(fitted[0]) == 1
    main(["test", *run, "--ckpt_path=best"])
    assert shown(capsys, "test/loss") == fitted
    main(["test", *run, "--ckpt_path=best", "--model.carry_state=false"])
    assert shown(capsys, "test/loss") != fitted


def test_a_loss_of_the_recipe_is_not_that_of_a_checkpoint_without_one(capsys):
    Path("huber.yaml").write_text("model:\n  class_path: Seq2Seq\n  init_args:\n    loss: HuberLoss\n")
    main(["fit", "--config=huber.yaml", "--model.loss=null", *SINE, *SHORT])
    fitted = shown(capsys, "test/loss")
    assert len(fitted[0]) == 1
    main(["test", "--config=huber.yaml", *SINE, *SHORT, "--ckpt_path=best"])
    assert shown(capsys, "test/loss") == fitted
