"""Metrics of torchmetrics beside a model's own: over all targets that count, of each loader, on all ranks."""

from typing import Any

import pytest
import torch
import torchmetrics
from lightning.pytorch import Trainer
from test_losses import O, classes, labels, ragged, rows_that_count, values
from torch.utils.data import DataLoader

from rnn_lightning import ArgumentError
from rnn_lightning.models import LargestError, Seq2Seq, Seq2Vec, TruncatedBPTT
from rnn_lightning.models.remembered import restored

QUIET = {"accelerator": "cpu", "enable_progress_bar": False, "enable_model_summary": False, "logger": False}


def still(parameters):
    return torch.optim.SGD(parameters, 0.0)


@pytest.mark.parametrize("tbptt", [None, TruncatedBPTT(4, 9)])
def test_a_metric_is_that_of_all_targets_at_once(tbptt, fit):
    """Not a mean over batches: an F1 of all is none of those of the parts."""
    batches = ragged(classes)
    batches[0]["y"][0, 0] = -100
    named: Any = {"class_path": "torchmetrics.classification.MulticlassF1Score", "init_args": {"num_classes": O}}
    module = Seq2Seq(2, O, task="classification", tbptt=tbptt, optimizer=still, metrics={"f1": named, "A": "Accuracy"})
    trainer = fit(module.double(), batches, batches, precision="64-true", epochs=2)
    y_hat, y = rows_that_count(module.eval(), batches)
    want = torchmetrics.functional.classification.multiclass_f1_score(y_hat, y, num_classes=O)
    assert trainer.callback_metrics["val/f1"].item() == pytest.approx(want.item(), rel=1e-5)
    assert trainer.callback_metrics["val/A"].item() == pytest.approx(
        trainer.callback_metrics["val/acc"].item(), rel=1e-5
    )
    tested = trainer.test(module, DataLoader(batches[1:], batch_size=None), verbose=False)[0]
    y_hat, y = rows_that_count(module, batches[1:])
    want = torchmetrics.functional.classification.multiclass_f1_score(y_hat, y, num_classes=O)
    assert tested["test/f1"] == pytest.approx(want.item(), rel=1e-5)
    assert "train/f1" not in trainer.callback_metrics


def test_values_and_labels(fit):
    module = Seq2Seq(
        2, O, loss="L1Loss", optimizer=still, metrics=["MeanSquaredError", torchmetrics.ExplainedVariance()]
    ).double()
    batches = ragged(values)
    found = fit(module, batches, batches, precision="64-true").callback_metrics
    y_hat, y = rows_that_count(module.eval(), batches)
    assert found["val/MeanSquaredError"].item() == pytest.approx(((y_hat - y) ** 2).mean().item(), rel=1e-5)
    assert found["val/ExplainedVariance"].item() == pytest.approx(
        torchmetrics.functional.explained_variance(y_hat, y).item(), rel=1e-5
    )
    module = Seq2Seq(2, O, task="multilabel", optimizer=still, metrics=["MultilabelAUROC"]).double()
    batches = ragged(labels)
    found = fit(module, batches, batches, precision="64-true").callback_metrics
    y_hat, y = rows_that_count(module.eval(), batches)
    want = torchmetrics.functional.classification.multilabel_auroc(y_hat, y.long(), O)
    assert found["val/MultilabelAUROC"].item() == pytest.approx(want.item(), rel=1e-5)


def test_each_loader_and_all(fit):
    module = Seq2Seq(2, 1, optimizer=still, metrics={"mse": "MeanSquaredError"})
    torch.manual_seed(0)
    sets = [[(torch.randn(2, 5, 2), scale * torch.randn(2, 5)) for _ in range(2)] for scale in (1, 3)]
    trainer = Trainer(**QUIET)
    trainer.validate(module, [DataLoader(part, batch_size=None) for part in sets], verbose=False)
    found = trainer.callback_metrics
    for name in ("/loader_0", "/loader_1", ""):
        assert found[f"val/mse{name}"].item() == pytest.approx(found[f"val/loss{name}"].item(), rel=1e-5)


def test_one_number_a_class_and_what_is_no_number(fit):
    per_class: Any = {"class_path": "torchmetrics.classification.MulticlassRecall", "init_args": {"average": "none"}}
    module = Seq2Vec(1, O, metrics=[per_class, "MulticlassConfusionMatrix"], optimizer=still)
    batch = (torch.randn(9, 5, 1), torch.arange(9) % O)
    with pytest.warns(UserWarning, match=r"MulticlassConfusionMatrix is of shape \(3, 3\)"):
        found = fit(module, [batch], [batch]).callback_metrics
    assert {f"val/MulticlassRecall_{i}" for i in range(O)} <= set(found)
    assert sum(found[f"val/MulticlassRecall_{i}"].item() for i in range(O)) / O == pytest.approx(
        found["val/acc"].item()
    )


def test_a_metric_steers_the_run(fit):
    """A scheduler that follows it finds it; a batch without targets changes nothing."""

    def plateau(optimizer):
        scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer)
        scheduler.monitor = "val/mse"
        return scheduler

    module = Seq2Seq(1, 1, metrics={"mse": "MeanSquaredError"}, tbptt=TruncatedBPTT(3), lr_scheduler=plateau)
    x = torch.randn(2, 5, 1)
    fit(module, [(x, x)], [(x, x), (x, torch.full_like(x, float("nan")))], epochs=2)
    assert module.lr_schedulers().num_bad_epochs == 0
    assert module.lr_schedulers().best < float("inf")


class OnRank(Seq2Vec):
    """Rank 1 has other and fewer targets, in its second batch none."""

    def val_dataloader(self):
        rank = self.trainer.global_rank
        data = [(torch.randn(3 - rank, 4, 1), torch.arange(3 - rank)), (torch.randn(2, 4, 1), torch.tensor([2, 1]))]
        if rank:
            data[1] = (data[1][0], torch.tensor([-100, -100]))
        torch.save([y for _, y in data], f"{self.folder}/y{rank}.pt")
        return DataLoader(data, batch_size=None)

    def on_validation_end(self):
        torch.save(dict(self.trainer.callback_metrics), f"{self.folder}/{self.trainer.global_rank}.pt")


@pytest.mark.slow
def test_two_processes_give_one_number(tmp_path):
    module = OnRank(1, O, metrics={"A": "Accuracy"}, loss=torch.nn.CrossEntropyLoss(weight=torch.ones(3)))
    module.folder = str(tmp_path)
    trainer = Trainer(**QUIET, devices=2, strategy="ddp_spawn", use_distributed_sampler=False)
    trainer.validate(module, verbose=False)
    found = [torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in (0, 1)]
    assert found[0]["val/A"] == found[1]["val/A"]
    assert found[0]["val/A"].item() == pytest.approx(found[0]["val/acc"].item(), rel=1e-6)


@pytest.mark.parametrize(
    ("metrics", "words"),
    [
        (["Accurcy"], "'Accurcy': there is no such metric"),
        (["own.Metric"], "no such metric"),
        ([{"class_path": "MeanSquaredError", "init_args": {"squred": 1}}], "MeanSquaredError cannot be made"),
        ([3], "give a metric of torchmetrics"),
        (["MeanSquaredError", torchmetrics.MeanSquaredError()], "MeanSquaredError twice"),
        ({"mae": "MeanAbsoluteError"}, "mae twice"),
        ([torch.nn.Linear], "Linear"),
        ("MeanSquaredError", "metrics is a str: give a list"),
        (torchmetrics.MeanSquaredError(), "metrics is a MeanSquaredError: give a list"),
        (
            torchmetrics.MetricCollection([torchmetrics.MeanSquaredError()]),
            "metrics is a MetricCollection: give a list",
        ),
    ],
)
def test_a_wrong_metric_is_one_line(metrics, words):
    with pytest.raises(ArgumentError, match=words) as error:
        Seq2Seq(1, 1, metrics=metrics)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("tbptt", [None, TruncatedBPTT(k1=2)])
def test_the_largest_error_of_all_batches(fit, tbptt):
    batches = ragged(values)
    named = {"largest": "rnn_lightning.models.LargestError"}
    module = Seq2Seq(2, O, task="regression", tbptt=tbptt, optimizer=still, metrics=named).double()
    found = fit(module, batches, batches, precision="64-true").callback_metrics
    y_hat, y = rows_that_count(module.eval(), batches)
    assert found["val/largest"].item() == pytest.approx((y_hat - y).abs().max().item(), rel=1e-5)


def test_the_largest_error_of_nothing_is_zero():
    metric = LargestError()
    metric.update(torch.zeros(0), torch.zeros(0))
    assert metric.compute() == 0
    metric.update(torch.tensor([1.0, -3.0]), torch.tensor([0.5, 1.0]))
    metric.update(torch.tensor([1.0]), torch.tensor([1.0]))
    assert metric.compute() == 4
    metric.reset()
    metric.update(torch.tensor([1.0]), torch.tensor([0.5]))
    assert metric.compute() == 0.5


class Largest(torchmetrics.Metric):
    """A metric of one's own; `bug` says where it has one."""

    value: torch.Tensor

    def __init__(self, bug=None):
        super().__init__()
        self.bug = bug
        if bug == "init":
            len(None)
        self.add_state("value", torch.zeros(()), dist_reduce_fx="max")

    def update(self, preds, target):
        if self.bug == "update":
            raise ValueError("the bug")
        self.value = torch.maximum(self.value, (preds - target).abs().max())

    def compute(self):
        return self.value


class OfOne(Largest):
    def update(self, value):  # type: ignore[override]
        self.value = value.max()


BATCH = (torch.randn(4, 5, 2), torch.randn(4, 1))


@pytest.mark.parametrize(
    ("metric", "words"),
    [
        (OfOne(), r"metrics.OfOne can't be used: its update takes \(value\); it gets predictions and targets"),
        ("CatMetric", r"metrics.CatMetric can't be used: its update takes \(value\)"),
        (
            "torchmetrics.text.WordErrorRate",
            r"metrics.WordErrorRate can't take predictions torch.float32 of shape \(4,\)",
        ),
        ({"class_path": "BinaryF1Score"}, "metrics.BinaryF1Score can't take predictions"),
        ({"class_path": f"{__name__}.Largest", "init_args": {"bog": 1}}, "metrics.Largest cannot be made"),
    ],
)
def test_a_metric_that_cannot_take_predictions_and_targets_is_one_line(metric, words, fit):
    with pytest.raises(ArgumentError, match=words) as error:
        fit(Seq2Vec(2, 1, task="regression", metrics=[metric]), [BATCH], [BATCH])
    assert "\n" not in str(error.value)


def test_a_bug_in_a_metric_of_ones_own_is_shown_as_it_is(fit):
    named: Any = {"class_path": f"{__name__}.Largest", "init_args": {"bug": "init"}}
    with pytest.raises(TypeError, match="NoneType"):
        Seq2Vec(2, 1, metrics=[named])
    with pytest.raises(ValueError, match="the bug") as error:
        fit(Seq2Vec(2, 1, task="regression", metrics=[Largest("update")]), [BATCH], [BATCH])
    assert not isinstance(error.value, ArgumentError)
    assert float(
        fit(Seq2Vec(2, 1, task="regression", metrics=[Largest()]), [BATCH], [BATCH]).callback_metrics["val/Largest"]
    )


KEPT: Any = {
    "rmse": torchmetrics.MeanSquaredError(squared=False),
    "share": {"class_path": "torchmetrics.R2Score", "init_args": {"adjusted": 1}},
    "largest": LargestError(),
    "smape": "SymmetricMeanAbsolutePercentageError",
}


def test_a_checkpoint_brings_its_metrics_back(fit, tmp_path):
    """Those of torchmetrics and of this package, with their arguments; others are named."""
    trainer = fit(Seq2Vec(2, 1, task="regression", metrics=KEPT, optimizer=still), [BATCH], [BATCH])
    trainer.save_checkpoint(tmp_path / "a.ckpt")
    torch.load(tmp_path / "a.ckpt", weights_only=True)
    again = Seq2Vec.load_from_checkpoint(tmp_path / "a.ckpt")
    assert again.metric_names == ["loss", "mae", *KEPT]
    assert again.metrics.by_name["share"].adjusted == 1
    found = Trainer(**QUIET).validate(again, DataLoader([BATCH], batch_size=None), verbose=False)[0]
    for name in again.metric_names:
        assert found[f"val/{name}"] == pytest.approx(trainer.callback_metrics[f"val/{name}"].item())
    assert Seq2Vec.load_from_checkpoint(tmp_path / "a.ckpt", metrics=None).metrics is None
    given = Seq2Vec.load_from_checkpoint(tmp_path / "a.ckpt", metrics=["R2Score"])
    assert given.metric_names == ["loss", "mae", "R2Score"]


def test_metrics_that_a_checkpoint_cannot_bring_back_are_named(fit, tmp_path):
    metrics = [Largest(), torchmetrics.MinMaxMetric(torchmetrics.MeanSquaredError()), "R2Score"]
    fit(Seq2Vec(2, 1, task="regression", metrics=metrics), [BATCH]).save_checkpoint(tmp_path / "a.ckpt")
    with pytest.warns(UserWarning, match=r"had the metrics Largest, MinMaxMetric, which it can't restore"):
        again = Seq2Vec.load_from_checkpoint(tmp_path / "a.ckpt")
    assert again.metric_names == ["loss", "mae", "R2Score"]


def test_a_checkpoint_runs_no_code_for_a_metric():
    """Only classes of metrics, whatever it says."""
    evil = {
        "a": {"class_path": "os.system", "init_args": {"command": "false"}},
        "b": {"class_path": "torchmetrics.utilities.prints.rank_zero_warn", "init_args": {}},
        "c": {"class_path": f"{__name__}.Largest", "init_args": {}},
        "d": {"class_path": "rnn_lightning.models.largest_error.torch", "init_args": {}},
        "e": {"class_path": "torchmetrics.no_such.Thing", "init_args": {}},
        "f": {"class_path": None},
    }
    assert restored({"metrics": evil}) == ({"metrics": {}}, {"metrics": ", ".join(evil)})
