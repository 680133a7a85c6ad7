"""What `Seq2Vec` and `Seq2Seq` share: arguments, metrics, prediction, checkpoints; and that they learn."""

import pytest
import torch
from lightning.pytorch import Trainer, seed_everything
from torch.nn import functional as F

from rnn_lightning import ArgumentError
from rnn_lightning.data import SequenceMNIST, SyntheticSine
from rnn_lightning.models import Seq2Seq, Seq2Vec, TruncatedBPTT

DEVICES = ["cpu", "gpu"] if torch.cuda.is_available() else ["cpu"]
QUIET = {"enable_progress_bar": False, "enable_model_summary": False, "logger": False}


@pytest.mark.parametrize("accelerator", DEVICES)
@pytest.mark.parametrize("tbptt", [None, TruncatedBPTT(7, 14)])
@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
def test_the_loss_falls_on_mnist(accelerator, tbptt, cell, fake_mnist_dir, request):
    try:
        data = SequenceMNIST(str(request.getfixturevalue("mnist_dir")))
    except pytest.skip.Exception:
        data = SequenceMNIST(str(fake_mnist_dir), verify=False, val_size=100, batch_size=20)
    seed_everything(0, verbose=False)
    module = Seq2Vec(28, 10, cell=cell, hidden_size=32, tbptt=tbptt, optimizer=lambda p: torch.optim.Adam(p, 0.01))
    trainer = Trainer(
        accelerator=accelerator,
        max_epochs=1,
        limit_train_batches=40,
        limit_val_batches=5,
        enable_checkpointing=False,
        **QUIET,
    )
    before = trainer.validate(module, data, verbose=False)[0]
    trainer.fit(module, data)
    after = trainer.validate(module, data, verbose=False)[0]
    assert before["val/loss"] == pytest.approx(2.3, abs=0.15)  # chance: ln 10
    assert after["val/loss"] < 0.75 * before["val/loss"]
    assert after["val/acc"] > 3 * before["val/acc"]
    assert {"val/loss", "val/acc"} == set(after)


@pytest.mark.parametrize("accelerator", DEVICES)
@pytest.mark.parametrize("dropout", [{}, {"state_dropout": 0.1, "input_dropout": 0.05, "variational": True}])
@pytest.mark.parametrize("tbptt", [None, TruncatedBPTT(8, 12, gradient_clip_val=1.0)])
def test_the_loss_falls_on_the_series(accelerator, dropout, tbptt):
    seed_everything(0, verbose=False)
    module = Seq2Seq(
        1, 1, hidden_size=32, init="glorot", tbptt=tbptt, optimizer=lambda p: torch.optim.Adam(p, 0.01), **dropout
    )
    data = SyntheticSine(steps_per_epoch=100, eval_windows=200)
    trainer = Trainer(accelerator=accelerator, max_epochs=1, enable_checkpointing=False, **QUIET)
    trainer.fit(module, data)
    metrics = trainer.callback_metrics
    assert metrics["val/loss"] < 4.0  # predicting zero gives 19
    assert {"train/loss", "train/mae", "val/mae"} <= set(metrics)


@pytest.mark.parametrize("tbptt", [None, TruncatedBPTT(3), TruncatedBPTT(4, 9)])
@pytest.mark.parametrize("task", ["regression", "classification"])
def test_metrics_equal_those_of_the_whole_set_at_once(tbptt, task, fit):
    torch.manual_seed(0)
    outputs = 3 if task == "classification" else 2
    module = Seq2Seq(
        2, outputs, task=task, cell="gru", hidden_size=4, tbptt=tbptt, optimizer=lambda p: torch.optim.SGD(p, 0.0)
    )
    batches = []
    for rows in (5, 3, 1):
        y = torch.randint(3, (rows, 10)) if task == "classification" else torch.randn(rows, 10, 2)
        batches.append(
            {
                "x": torch.randn(rows, 10, 2),
                "y": y,
                "lengths": torch.randint(1, 11, (rows,)),
                "mask": torch.rand(rows, 10) > 0.3,
            }
        )
    metrics = fit(module, batches, batches).callback_metrics
    module.eval()
    y_hat, y = [], []
    for batch in batches:
        valid = batch["mask"] & (torch.arange(10) < batch["lengths"][:, None])
        y_hat.append(module(batch["x"])[0][valid])  # unidirectional: what comes after a row's end does not matter
        y.append(batch["y"][valid])
    y_hat, y = torch.cat(y_hat), torch.cat(y)
    if task == "classification":
        loss, score, name = F.cross_entropy(y_hat, y), (y_hat.argmax(-1) == y).float().mean(), "acc"
    else:
        loss, score, name = F.mse_loss(y_hat, y), (y_hat - y).abs().mean(), "mae"
    assert metrics["val/loss"].item() == pytest.approx(loss.item(), rel=1e-5)
    assert metrics[f"val/{name}"].item() == pytest.approx(score.item(), rel=1e-5)
    assert metrics[f"train/{name}"].item() == pytest.approx(score.item(), rel=1e-5)


@pytest.mark.parametrize("model", [Seq2Seq, Seq2Vec])
@pytest.mark.parametrize("task", ["regression", "classification"])
@pytest.mark.parametrize("ragged", [False, True])
def test_prediction_in_chunks_equals_the_network(model, task, ragged):
    torch.manual_seed(0)
    x, lengths = torch.randn(4, 10, 2), torch.tensor([10, 4, 1, 7])
    batch = {"x": x, **({"lengths": lengths} if ragged else {})}
    module = model(2, 3, task=task, hidden_size=4, cell="lstm", tbptt=TruncatedBPTT(3)).eval()
    y_hat = module(x, None, lengths if ragged else None)[0]
    found = module.predict_step(batch, 0)
    if task == "regression":
        torch.testing.assert_close(found["prediction"], y_hat)
    else:
        assert torch.equal(found["prediction"], y_hat.argmax(-1))
        torch.testing.assert_close(found["probability"], y_hat.softmax(-1))
    assert found["x"] is x
    assert "y" not in found


def test_a_checkpoint_is_plain_and_brings_the_network_back(fit, tmp_path):
    torch.manual_seed(0)
    module = Seq2Seq(
        1,
        1,
        cell="gru",
        hidden_size=7,
        num_layers=2,
        state_dropout=0.1,
        tbptt=TruncatedBPTT(3),
        optimizer=lambda p: torch.optim.SGD(p, 0.1),
    )
    trainer = fit(module, [(torch.randn(2, 5, 1), torch.randn(2, 5, 1))])
    path = tmp_path / "model.ckpt"
    trainer.save_checkpoint(path)
    saved = torch.load(path, weights_only=True)
    assert saved["hyper_parameters"]["cell"] == "gru"
    assert not {"optimizer", "lr_scheduler", "tbptt", "weights", "carry_state"} & set(saved["hyper_parameters"])
    loaded = Seq2Seq.load_from_checkpoint(path)
    assert loaded.net.layers.state_dropout == 0.1
    x = torch.randn(2, 5, 1)
    assert torch.equal(loaded.eval()(x)[0], module.eval()(x)[0])
    with pytest.raises(ArgumentError, match="holds a Seq2Seq, but the model is a Seq2Vec"):
        Seq2Vec.load_from_checkpoint(path)
    with pytest.raises(ArgumentError, match="does not fit the network"):
        Seq2Seq.load_from_checkpoint(path, hidden_size=8)


def test_weights_start_from_a_checkpoint_or_a_state_dict(fit, tmp_path):
    module = Seq2Seq(1, 1, hidden_size=7)
    fit(module, [(torch.randn(2, 5, 1), torch.randn(2, 5, 1))]).save_checkpoint(tmp_path / "model.ckpt")
    torch.save(module.net.state_dict(), tmp_path / "net.pt")
    for name in ("model.ckpt", "net.pt"):
        other = Seq2Seq(1, 1, hidden_size=7, weights=str(tmp_path / name))
        assert all(torch.equal(a, b) for a, b in zip(other.parameters(), module.parameters(), strict=True))
    (tmp_path / "bad.pt").write_bytes((tmp_path / "net.pt").read_bytes()[:500])
    torch.save(torch.optim.SGD, tmp_path / "code.pt")
    for weights, words in [
        ("net.pt", "does not fit"),
        ("nowhere.pt", "no such file"),
        ("bad.pt", "readable"),
        ("code.pt", "readable"),
    ]:
        with pytest.raises(ArgumentError, match=words) as error:
            Seq2Seq(1, 1, hidden_size=8, weights=str(tmp_path / weights))
        assert "\n" not in str(error.value)


@pytest.mark.parametrize("model", [Seq2Seq, Seq2Vec])
@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ({"input_size": 0}, "input_size"),
        ({"output_size": -1}, "output_size"),
        ({"hidden_size": 0}, "hidden_size"),
        ({"num_layers": 0}, "num_layers"),
        ({"cell": "tcn"}, "cell"),
        ({"nonlinearity": "gelu"}, "nonlinearity"),
        ({"cell": "lstm", "nonlinearity": "relu"}, "nonlinearity"),
        ({"task": "ranking"}, "task"),
        ({"init": "zeros"}, "init"),
        ({"input_dropout": 1.0}, "input_dropout"),
        ({"output_dropout": -0.1}, "output_dropout"),
        ({"state_dropout": float("nan")}, "state_dropout"),
        ({"bidirectional": True, "tbptt": TruncatedBPTT(3)}, "bidirectional"),
        ({"bidirectional": True, "carry_state": True}, "bidirectional"),
    ],
)
def test_a_wrong_argument_is_one_line_that_names_it(model, arguments, name):
    with pytest.raises(ArgumentError, match=name) as error:
        model(**{"input_size": 2, "output_size": 2, **arguments})
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("lr_scheduler", ["StepLR", torch.optim.lr_scheduler.StepLR])
def test_a_scheduler_that_cannot_be_made_is_one_line(lr_scheduler, fit):
    with pytest.raises(ArgumentError, match="lr_scheduler cannot be made") as error:
        fit(Seq2Seq(1, 1, lr_scheduler=lr_scheduler), [(torch.randn(2, 5, 1), torch.randn(2, 5, 1))])
    assert "\n" not in str(error.value)


def test_sizes_that_do_not_fit_the_batch_are_one_line(fit):
    with pytest.raises(ArgumentError, match="input_size is 3"):
        fit(Seq2Seq(3, 1), [(torch.randn(2, 5, 1), torch.randn(2, 5, 1))])
    with pytest.raises(ArgumentError, match="regression takes"):
        fit(Seq2Seq(1, 2), [(torch.randn(2, 5, 1), torch.randn(2, 5, 1))])


def test_bidirectional_networks_train_on_whole_sequences(fit):
    for model, y in ((Seq2Seq, torch.randn(2, 5, 1)), (Seq2Vec, torch.tensor([0, 0]))):
        trainer = fit(model(1, 1, bidirectional=True, num_layers=2), [(torch.randn(2, 5, 1), y)])
        assert trainer.global_step == 1


@pytest.mark.parametrize("tbptt", [None, TruncatedBPTT(3)])
@pytest.mark.parametrize("steps", [4, 6])
def test_targets_of_another_length_are_refused(tbptt, steps, fit):
    with pytest.raises(ArgumentError, match="each of the 5 steps"):
        fit(Seq2Seq(1, 1, tbptt=tbptt), [(torch.randn(2, 5, 1), torch.randn(2, steps, 1))])


@pytest.mark.parametrize("label", [-1, 3])
def test_a_class_that_does_not_exist_is_refused(label, fit):
    with pytest.raises(ArgumentError, match="classes are 0 to 2"):
        fit(Seq2Vec(1, 3), [(torch.randn(2, 5, 1), torch.tensor([0, label]))])


@pytest.mark.parametrize("tbptt", [None, TruncatedBPTT(5)])
def test_a_batch_without_a_valid_target_moves_no_weight(tbptt, fit):
    batch = {"x": torch.randn(2, 5, 1), "y": torch.randn(2, 5, 1)}
    masked = {**batch, "mask": torch.zeros(2, 5, dtype=torch.bool)}
    weights = []
    for batches in ([batch], [batch, masked]):  # after a step, Adam's momentum would go on by itself
        torch.manual_seed(0)
        module = Seq2Seq(1, 1, tbptt=tbptt)
        fit(module, batches)
        weights.append(list(module.parameters()))
    assert all(torch.equal(a, b) for a, b in zip(*weights, strict=True))


@pytest.mark.parametrize("tbptt", [5, {"k1": 5}])
def test_tbptt_is_a_truncated_bptt(tbptt):
    with pytest.raises(ArgumentError, match="TruncatedBPTT"):
        Seq2Seq(1, 1, tbptt=tbptt)


def test_an_optimizer_may_treat_the_parameters_apart(fit):
    def split(parameters):
        *layers, weight, bias = parameters
        return torch.optim.SGD([{"params": layers}, {"params": [weight, bias], "lr": 0.5}], lr=0.1)

    trainer = fit(Seq2Seq(1, 1, optimizer=split), [(torch.randn(2, 5, 1), torch.randn(2, 5, 1))])
    assert [group["lr"] for group in trainer.optimizers[0].param_groups] == [0.1, 0.5]
