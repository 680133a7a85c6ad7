"""Losses of torch.nn and of one's own: over targets that count, in chunks, batches and ranks, as at once over all."""

from functools import partial

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from rnn_lightning import ArgumentError
from rnn_lightning.models import Seq2Seq, Seq2Vec, TruncatedBPTT
from rnn_lightning.models.objective import Objective

O = 3  # noqa: E741
WEIGHT = torch.tensor([0.2, 1.0, 5.0], dtype=torch.float64)


def pinball(y_hat, y):
    """Quantile loss of O quantiles, (N, O) against (N, 1): a loss of one's own, which gives a mean."""
    q = torch.tensor([0.1, 0.5, 0.9], dtype=y_hat.dtype)
    error = y - y_hat
    return torch.maximum(q * error, (q - 1) * error).mean()


def squares(y_hat, y):
    """One value a target."""
    return (y_hat - y).square().sum(-1)


class Learned(nn.Module):
    """A loss with a parameter that is trained, too."""

    def __init__(self):
        super().__init__()
        self.log_scale = nn.Parameter(torch.ones(1))

    def forward(self, y_hat, y):
        return ((y_hat - y).square() * (-self.log_scale).exp() + self.log_scale).mean()


def classes(*shape):
    return torch.randint(O, shape)


def values(*shape):
    return torch.randn(*shape, O, dtype=torch.float64)


def labels(*shape):
    return torch.randint(2, (*shape, O)).double()


def one(*shape):
    return torch.randn(*shape, dtype=torch.float64)


LOSSES = {
    "weights": (nn.CrossEntropyLoss(weight=WEIGHT), classes),
    "smoothing": (nn.CrossEntropyLoss(weight=WEIGHT, label_smoothing=0.2), classes),
    "margin": ("MultiMarginLoss", classes),
    "focal": (
        lambda y_hat, y: ((1 - y_hat.softmax(-1)).square() * -y_hat.log_softmax(-1)).gather(1, y[:, None]),
        classes,
    ),
    "labels": (nn.BCEWithLogitsLoss(pos_weight=WEIGHT), labels),
    "labels by row": (nn.MultiLabelSoftMarginLoss, labels),
    "huber": ({"class_path": "torch.nn.HuberLoss", "init_args": {"delta": 0.3}}, values),
    "l1": ("L1Loss", values),
    "counts": ("PoissonNLLLoss", lambda *shape: values(*shape).abs().floor()),
    "function": (F.smooth_l1_loss, values),
    "partial": (partial(F.huber_loss, delta=0.5), values),
    "quantiles": (pinball, one),
    "squares": (squares, values),
}


def expected(name, y_hat, y):
    """The loss over rows that all count, as its own definition says."""
    loss = LOSSES[name][0]
    if isinstance(loss, dict):
        loss = nn.HuberLoss(**loss["init_args"])
    if isinstance(loss, str):
        loss = getattr(nn, loss)()
    if isinstance(loss, type):
        loss = loss()
    return loss(y_hat, y[:, None] if y.dim() == 1 and y.is_floating_point() else y).mean()


def model(name, cls=Seq2Seq, **options):
    _, make = LOSSES[name]
    torch.manual_seed(0)
    task = "classification" if make is classes else None
    task = "regression" if name in ("quantiles", "squares", "function", "partial") else task
    module = cls(2, O, task=task, cell="gru", hidden_size=4, loss=LOSSES[name][0], **options).double()
    return module


def ragged(make, missing=True):
    """Three batches of different sizes, with lengths, a mask, and targets that are missing."""
    torch.manual_seed(1)
    batches = []
    for rows in (5, 3, 1):
        y = make(rows, 10)
        if missing:
            gone = torch.rand(rows, 10) < 0.2
            y[gone] = -100 if make in (classes, labels) else float("nan")
        x = torch.randn(rows, 10, 2, dtype=torch.float64)
        lengths, mask = torch.randint(1, 11, (rows,)), torch.rand(rows, 10) > 0.3
        batches.append({"x": x, "y": y, "lengths": lengths, "mask": mask})
    return batches


def rows_that_count(module, batches):
    y_hat, y = [], []
    for batch in batches:
        valid = batch["mask"] & (torch.arange(10) < batch["lengths"][:, None])
        seen = batch["y"] if batch["y"].dim() == 2 else batch["y"][..., 0]
        valid &= ~seen.isnan() & (seen != -100)
        y_hat.append(module(batch["x"])[0][valid])
        y.append(batch["y"][valid])
    return torch.cat(y_hat), torch.cat(y)


@pytest.mark.parametrize("tbptt", [None, TruncatedBPTT(3), TruncatedBPTT(4, 9)])
@pytest.mark.parametrize("name", list(LOSSES))
def test_the_mean_is_that_of_all_targets_at_once(name, tbptt, fit):
    module = model(name, tbptt=tbptt, optimizer=lambda p: torch.optim.SGD(p, 0.0))
    batches = ragged(LOSSES[name][1])
    metrics = fit(module, batches, batches, precision="64-true").callback_metrics
    y_hat, y = rows_that_count(module.eval(), batches)
    want = expected(name, y_hat, y)
    assert metrics["val/loss"].item() == pytest.approx(want.item(), rel=1e-6)
    if LOSSES[name][1] is classes:  # what class weights do not change
        assert metrics["val/acc"].item() == pytest.approx((y_hat.argmax(-1) == y).double().mean().item(), rel=1e-6)
        assert metrics["train/acc"] == metrics["val/acc"]
    if LOSSES[name][1] is labels:
        assert metrics["val/acc"].item() == pytest.approx(((y_hat > 0) == (y > 0.5)).double().mean().item(), rel=1e-6)


@pytest.mark.parametrize("step_every", [2, "batch", "chunk", None])
@pytest.mark.parametrize("name", ["weights", "huber", "quantiles", "labels by row"])
def test_the_gradient_is_that_of_the_mean(name, step_every, gradients_of):
    """Steps over chunks, a batch and several batches: all of them as at once over the targets of the step."""
    tbptt = TruncatedBPTT(5, 10, step_every) if step_every else None
    module = model(name, tbptt=tbptt)
    batches = ragged(LOSSES[name][1])[:2]
    steps = gradients_of(module, batches, precision="64-true")
    module.zero_grad()
    together = batches if step_every == 2 else batches[:1]
    if step_every == "chunk":
        together = [{**batches[0], "lengths": batches[0]["lengths"].clamp(max=5)}]
    expected(name, *rows_that_count(module, together)).backward()
    for key, parameter in module.named_parameters():
        torch.testing.assert_close(steps[0][key], parameter.grad, rtol=1e-9, atol=1e-12)


def test_targets_that_are_missing_count_in_nothing(fit):
    """As if they were masked; also one of several values, and one target a sequence."""
    y = torch.randn(4, 6, 2)
    y[0, 1, 0] = y[2, :, 1] = y[3] = float("nan")
    x = torch.randn(4, 6, 2)
    torch.manual_seed(0)
    module = Seq2Seq(2, 2, optimizer=lambda p: torch.optim.SGD(p, 0.0))
    metrics = fit(module, [{"x": x, "y": y}], [{"x": x, "y": y}]).callback_metrics
    errors = module.eval()(x)[0].detach() - y
    assert metrics["val/loss"].item() == pytest.approx(errors[~y.isnan()].square().mean().item(), rel=1e-5)
    assert metrics["train/mae"].item() == pytest.approx(errors[~y.isnan()].abs().mean().item(), rel=1e-5)
    masked = {"x": x, "y": y.nan_to_num(7.0), "mask": ~y.isnan()}
    assert fit(module, [masked], [masked]).callback_metrics["val/loss"] == metrics["val/loss"]
    for one_a_sequence, y in ((2, torch.tensor([0, -100, 1, 1])), (1, torch.tensor([0.5, float("nan"), 1.0, 2.0]))):
        task = "classification" if one_a_sequence == 2 else "regression"
        module = Seq2Vec(2, one_a_sequence, task=task, optimizer=lambda p: torch.optim.SGD(p, 0.0))
        metrics = fit(module, [{"x": x, "y": y}], [{"x": x, "y": y}]).callback_metrics
        y_hat, known = module.eval()(x)[0].detach(), torch.tensor([True, False, True, True])
        loss = F.cross_entropy(y_hat, y) if one_a_sequence == 2 else F.mse_loss(y_hat[known, 0], y[known])
        assert metrics["val/loss"].item() == pytest.approx(loss.item(), rel=1e-5)


@pytest.mark.parametrize("tbptt", [None, TruncatedBPTT(3)])
def test_a_batch_of_missing_targets_moves_no_weight(tbptt, fit):
    for cls, outputs, y in ((Seq2Vec, 3, torch.full((2,), -100)), (Seq2Seq, 1, torch.full((2, 5), float("nan")))):
        for loss in (None, "CrossEntropyLoss" if cls is Seq2Vec else pinball):
            module = cls(1, outputs, loss=loss, task=None if cls is Seq2Vec else "regression", tbptt=tbptt)
            before = [p.clone() for p in module.parameters()]
            fit(module, [(torch.randn(2, 5, 1), y)])
            assert all(torch.equal(a, b) for a, b in zip(before, module.parameters(), strict=True))


def test_an_ignore_index_of_ones_own(fit):
    module = Seq2Vec(1, 3, loss=nn.CrossEntropyLoss(ignore_index=0), optimizer=lambda p: torch.optim.SGD(p, 0.0))
    x, y = torch.randn(4, 5, 1), torch.tensor([0, 1, 2, 0])
    metrics = fit(module, [(x, y)], [(x, y)]).callback_metrics
    y_hat = module.eval()(x)[0].detach()
    assert metrics["val/loss"].item() == pytest.approx(F.cross_entropy(y_hat[1:3], y[1:3]).item(), rel=1e-5)
    assert metrics["val/acc"].item() == (y_hat[1:3].argmax(-1) == y[1:3]).float().mean().item()


def test_a_gaussian_of_two_outputs(fit):
    """Means first, then what softplus makes a variance."""
    torch.manual_seed(0)
    module = Seq2Seq(1, 2, hidden_size=8, loss="GaussianNLLLoss", optimizer=lambda p: torch.optim.Adam(p, 0.05))
    x = torch.zeros(64, 8, 1)
    y = 2 + 0.5 * torch.randn(64, 8)
    metrics = fit(module, [(x, y)] * 250, [(x, y)]).callback_metrics
    found = module.eval().predict_step({"x": x}, 0)
    assert found["prediction"].shape == found["variance"].shape == (64, 8, 1)
    assert found["prediction"].mean().item() == pytest.approx(2, abs=0.1)
    assert found["variance"].mean().sqrt().item() == pytest.approx(0.5, abs=0.1)
    want = F.gaussian_nll_loss(found["prediction"], y[..., None], found["variance"])
    assert metrics["val/loss"].item() == pytest.approx(want.item(), rel=1e-4)
    assert metrics["val/mae"].item() == pytest.approx((found["prediction"][..., 0] - y).abs().mean().item(), rel=1e-4)
    with pytest.raises(ArgumentError, match="two outputs for each value"):
        Seq2Seq(1, 3, loss="GaussianNLLLoss")


def test_quantiles_are_learned(fit):
    torch.manual_seed(0)
    module = Seq2Seq(1, O, loss=pinball, optimizer=lambda p: torch.optim.Adam(p, 0.02))
    x, y = torch.zeros(100, 4, 1), torch.rand(100, 4)
    metrics = fit(module, [(x, y)] * 200, [(x, y)]).callback_metrics
    found = module.eval()(x)[0][:, 1:].mean((0, 1))
    torch.testing.assert_close(found, torch.tensor([0.1, 0.5, 0.9]), atol=0.07, rtol=0)
    assert "val/mae" not in metrics, "three quantiles of one value have no error"


def test_labels_are_predicted_as_labels():
    module = Seq2Vec(1, O, loss="BCEWithLogitsLoss").eval()
    assert module.objective.task == Seq2Vec(1, O, task="multilabel").objective.task == "multilabel"
    x = torch.randn(4, 5, 1)
    found = module.predict_step({"x": x}, 0)
    torch.testing.assert_close(found["probability"], module(x)[0].sigmoid())
    assert torch.equal(found["prediction"], (found["probability"] > 0.5).long())


def test_a_loss_moves_and_learns_with_the_model_and_stays_its_owners(fit, tmp_path):
    mine = nn.CrossEntropyLoss(weight=torch.ones(3))
    module = Seq2Vec(1, 3, loss=mine).double()
    assert module.criterion.weight.dtype == torch.float64
    assert (mine.weight.dtype, mine.reduction) == (torch.float32, "mean")
    assert set(module.state_dict()) == {f"net.{key}" for key in module.net.state_dict()}
    module = Seq2Seq(1, 1, loss=Learned(), optimizer=lambda p: torch.optim.SGD(p, 0.1))
    batch = (torch.randn(2, 5, 1), torch.randn(2, 5, 1))
    fit(module, [batch]).save_checkpoint(tmp_path / "learned.ckpt")
    assert module.criterion.log_scale.item() != 1
    again = Seq2Seq.load_from_checkpoint(tmp_path / "learned.ckpt", loss=Learned())
    assert torch.equal(again.criterion.log_scale, module.criterion.log_scale)


def test_a_checkpoint_brings_torchs_losses_back(fit, tmp_path):
    module = Seq2Vec(1, 3, loss=nn.CrossEntropyLoss(weight=WEIGHT.float(), label_smoothing=0.1))
    fit(module, [(torch.randn(2, 5, 1), torch.tensor([0, 2]))]).save_checkpoint(tmp_path / "a.ckpt")
    torch.load(tmp_path / "a.ckpt", weights_only=True)
    found = Seq2Vec.load_from_checkpoint(tmp_path / "a.ckpt").criterion
    assert isinstance(found, nn.CrossEntropyLoss)
    assert found.label_smoothing == 0.1
    assert torch.equal(found.weight, WEIGHT.float())
    module = Seq2Seq(1, 1, loss=squares)
    fit(module, [(torch.randn(2, 5, 1), torch.randn(2, 5, 1))]).save_checkpoint(tmp_path / "b.ckpt")
    with pytest.warns(UserWarning, match="whose loss was a squares"):
        Seq2Seq.load_from_checkpoint(tmp_path / "b.ckpt")
    assert Seq2Seq.load_from_checkpoint(tmp_path / "b.ckpt", loss=squares).objective.loss.call is squares


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"loss": "HubrLoss"}, "'HubrLoss' is not found"),
        ({"loss": "torch.nn.HubrLoss"}, "is not found"),
        ({"loss": 3}, "loss=3"),
        ({"loss": {"class_path": "HuberLoss", "init_args": {"delta": -1}}}, "does not go with 3 outputs"),
        ({"loss": {"class_path": "HuberLoss", "init_args": {"delt": 1}}}, "cannot be made"),
        ({"loss": "CTCLoss"}, "log_probs, targets, input_lengths"),
        ({"loss": "NLLLoss"}, "use CrossEntropyLoss"),
        ({"loss": nn.BCELoss}, "use BCEWithLogitsLoss"),
        ({"loss": nn.CrossEntropyLoss(weight=torch.ones(2))}, "loss.weight has 2 values, but output_size is 3"),
        ({"loss": nn.HuberLoss(), "task": "classification"}, "task=classification does not fit a loss"),
        ({"loss": "CrossEntropyLoss", "task": "regression"}, "task=regression does not fit a loss"),
    ],
)
def test_a_wrong_loss_is_one_line(arguments, words):
    for cls in (Seq2Vec, Seq2Seq):
        with pytest.raises(ArgumentError, match=words) as error:
            cls(2, 3, **arguments)
        assert "\n" not in str(error.value)


def test_a_loss_that_gives_something_else_is_one_line():
    objective = Objective("regression", 1, lambda y_hat, y: torch.zeros(7))
    with pytest.raises(ArgumentError, match=r"gave shape \(7,\) for 4 targets"):
        objective.loss_sum(torch.randn(4, 1), torch.randn(4, 1), None)
    with pytest.raises(ArgumentError, match="for several labels at once set task=multilabel"):
        Objective("classification", 3).prepare(torch.randn(4, 3), torch.rand(4, 3), None)
    with pytest.raises(ArgumentError, match="mask has shape"):
        Objective("regression", 2).prepare(torch.randn(4, 2), torch.rand(4, 2), torch.ones(4, 3, dtype=torch.bool))


@pytest.mark.parametrize(
    ("loss", "words"),
    [
        (lambda y_hat, y: None, "gave a NoneType for 4 targets"),
        (lambda y_hat, y: (y_hat - y).square().mean().item(), "gave a float for 4 targets"),
        (lambda y_hat, y: {"loss": (y_hat - y).square().mean()}, "gave a dict for 4 targets"),
        (lambda y_hat, y: y_hat.squeeze(-1) - y, r"gave shape \(4, 4\) for 4 targets"),  # broadcast by mistake
        (lambda y_hat, y: (y_hat - y).square().sum(0), r"gave shape \(1,\) for 4 targets"),
        (lambda y_hat, y: (y_hat > y).sum(), "gave torch.int64 for 4 targets"),
        (lambda y_hat, y: (y_hat - y).detach().square().mean(), "gave a tensor without a gradient"),
    ],
)
def test_a_loss_of_ones_own_that_gives_no_loss_is_one_line(loss, words, fit):
    batch = (torch.randn(4, 5, 2), torch.randn(4, 1))
    with pytest.raises(ArgumentError, match=words) as error:
        fit(Seq2Vec(2, 1, task="regression", loss=loss), [batch])
    assert "return a tensor computed from the outputs" in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("whole", [False, True])
def test_a_loss_of_ones_own_gives_a_mean_or_a_value_for_each_target(whole, fit):
    """In all the shapes that a loss of torch.nn with reduction="none" may have, too."""
    batch = (torch.randn(4, 5, 2), torch.randn(4, 3))
    found = []
    for loss in (nn.MSELoss(), lambda a, b: (a - b).square(), squares_kept, lambda a, b: squares(a, b) / 3):
        torch.manual_seed(0)
        module = Seq2Vec(2, 3, task="regression", loss=loss)
        found.append(float(fit(module, [batch], [batch]).callback_metrics["val/loss"]))
    assert found == pytest.approx([found[0]] * 4, rel=1e-5)


def squares_kept(y_hat, y):
    return (y_hat - y).square().mean(-1, keepdim=True)


class OneArgument(nn.Module):
    def forward(self, y_hat):
        return y_hat.mean()


@pytest.mark.parametrize(
    ("loss", "words"),
    [
        (lambda y_hat: y_hat.mean(), r"loss=<lambda> takes \(y_hat\): a loss takes outputs and targets"),
        (lambda y_hat, y, weight: y_hat.mean(), r"takes \(y_hat, y, weight\)"),
        (lambda y_hat, y, *, weight: y_hat.mean(), r"takes \(y_hat, y, weight\)"),
        (OneArgument(), r"loss=OneArgument takes \(y_hat\)"),
        (OneArgument, r"loss=OneArgument takes \(y_hat\)"),
    ],
)
def test_a_loss_of_another_signature_is_one_line(loss, words):
    with pytest.raises(ArgumentError, match=words):
        Seq2Vec(2, 1, loss=loss)


class BrokenInside(nn.Module):
    def __init__(self, broken=True):
        super().__init__()
        if broken:
            len(None)

    def forward(self, y_hat, y):
        return y_hat.no_such_thing()


def broken(y_hat, y):
    return torch.zeros(3) + torch.zeros(2)


def test_a_bug_in_a_loss_of_ones_own_is_shown_as_it_is(fit):
    batch = (torch.randn(4, 5, 2), torch.randn(4, 1))
    with pytest.raises(TypeError, match="NoneType"):
        Seq2Vec(2, 1, loss=BrokenInside)
    with pytest.raises(AttributeError, match="no_such_thing"):
        fit(Seq2Vec(2, 1, task="regression", loss=BrokenInside(False)), [batch])
    with pytest.raises(RuntimeError, match="must match the size") as error:
        fit(Seq2Vec(2, 1, task="regression", loss=broken), [batch])
    assert error.traceback[-1].name == "broken"
