import pytest
import torch
from torch.nn import functional as F

from rnn_lightning import ArgumentError
from rnn_lightning.models.objective import Objective


@pytest.mark.parametrize("valid", [None, torch.tensor([[True, True, False], [True, False, False]])])
def test_regression_is_the_mean_squared_error_over_valid_targets(valid):
    y_hat, y = torch.randn(2, 3, 4, dtype=torch.float64), torch.randn(2, 3, 4, dtype=torch.float64)
    rows = y_hat.reshape(-1, 4) if valid is None else y_hat[valid]
    targets = y.reshape(-1, 4) if valid is None else y[valid]
    objective = Objective("regression", 4)
    prepared = objective.prepare(y_hat, y, valid)
    torch.testing.assert_close(objective.loss_sum(y_hat, prepared, valid) / len(rows), F.mse_loss(rows, targets))
    score = objective.score_sum(y_hat, prepared, valid)
    torch.testing.assert_close(score / len(rows), (rows - targets).abs().mean())


@pytest.mark.parametrize("valid", [None, torch.tensor([[True, True, False], [True, False, False]])])
def test_classification_is_the_cross_entropy_over_valid_targets(valid):
    y_hat, y = torch.randn(2, 3, 4, dtype=torch.float64), torch.randint(4, (2, 3))
    rows = y_hat.reshape(-1, 4) if valid is None else y_hat[valid]
    targets = y.reshape(-1) if valid is None else y[valid]
    objective = Objective("classification", 4)
    prepared = objective.prepare(y_hat, y, valid)
    torch.testing.assert_close(objective.loss_sum(y_hat, prepared, valid) / len(rows), F.cross_entropy(rows, targets))
    assert objective.score_sum(y_hat, prepared, valid) == (rows.argmax(-1) == targets).sum()


@pytest.mark.parametrize("task", ["regression", "classification"])
def test_nan_in_a_target_that_does_not_count_reaches_no_gradient(task):
    objective = Objective(task, 2)
    y_hat = torch.randn(2, 3, 2, requires_grad=True)
    y = torch.randn(2, 3, 2) if task == "regression" else torch.randint(2, (2, 3))
    y[:, 2] = float("nan") if task == "regression" else -100
    valid = torch.tensor([True, True, False]).expand(2, 3)
    objective.loss_sum(y_hat, objective.prepare(y_hat, y, valid), valid).backward()
    assert y_hat.grad.isfinite().all()
    assert (y_hat.grad[:, 2] == 0).all()
    assert (y_hat.grad[:, :2] != 0).all()


def test_one_output_may_leave_out_its_dimension():
    objective, y_hat, y = Objective("regression", 1), torch.randn(2, 3, 1), torch.randn(2, 3)
    assert objective.prepare(y_hat, y, None).shape == (2, 3, 1)
    assert Objective("classification", 4).prepare(torch.randn(2, 4), torch.tensor([[1], [2]]), None).shape == (2,)


@pytest.mark.parametrize(
    ("task", "y"),
    [
        ("regression", torch.randn(2, 3, 3)),
        ("regression", torch.randn(2, 3)),
        ("classification", torch.randn(2, 3)),
        ("classification", torch.zeros(2, dtype=torch.int64)),
    ],
)
def test_targets_that_do_not_fit_are_one_line(task, y):
    with pytest.raises(ArgumentError, match=r"^y ") as error:
        Objective(task, 4).prepare(torch.randn(2, 3, 4), y, None)
    assert "\n" not in str(error.value)


def test_an_unknown_task_says_which_there_are():
    with pytest.raises(ArgumentError, match="classification, regression"):
        Objective("ranking", 1)
