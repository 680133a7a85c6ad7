import pytest
import torch

from rnn_lightning.data import AddingProblem


def batch_of(n_steps, count=4000):
    data = AddingProblem(n_steps=n_steps)
    data.setup()
    return data, data.datasets["train"].__getitems__(list(range(count)))


@pytest.mark.parametrize("n_steps", [2, 7, 100])
def test_the_target_is_the_sum_of_two_marked_numbers_one_in_each_half(n_steps):
    _, batch = batch_of(n_steps, count=500)
    assert batch["x"].shape == (500, n_steps, 2)
    assert batch["y"].shape == (500, 1)
    assert batch["x"].dtype == batch["y"].dtype == torch.float32
    for x, y in zip(batch["x"], batch["y"], strict=True):
        first, second = x[:, 1].nonzero().flatten().tolist()
        assert first < n_steps // 2 <= second
        assert x[:, 1].unique().tolist() in ([0, 1], [1])
        assert float(y) == pytest.approx(float(x[first, 0] + x[second, 0]), abs=1e-6)


def test_marks_reach_every_step_equally_often():
    _, batch = batch_of(11, count=11_000)
    counts = batch["x"][..., 1].sum(0)
    expected = torch.tensor([11_000 / 5] * 5 + [11_000 / 6] * 6)
    assert (((counts - expected) ** 2 / expected).sum()) < 30  # chi-square with 9 degrees of freedom: p < 0.001 at 27.9


def test_numbers_are_uniform_and_independent_of_the_marks():
    _, batch = batch_of(20, count=20_000)
    values = batch["x"][..., 0]
    assert 0 <= values.min() < values.max() < 1
    assert abs(values.mean() - 0.5) < 4 * (1 / 12 / values.numel()) ** 0.5
    assert abs(float(batch["y"].mean()) - 1) < 4 * (1 / 6 / 20_000) ** 0.5


def test_the_baseline_is_the_error_of_always_answering_1():
    data, batch = batch_of(20, count=200_000)
    assert data.baseline == pytest.approx(1 / 6)
    assert float(((batch["y"] - 1) ** 2).mean()) == pytest.approx(data.baseline, rel=0.01)


def test_the_tolerance_is_that_of_the_paper_on_our_sum():
    """Hochreiter & Schmidhuber: X in [-1, 1], target 0.5 + (X1 + X2) / 4, right within 0.04."""
    _, batch = batch_of(100)
    theirs = 2 * batch["x"] - 1
    target = 0.5 + (theirs[..., 0] * batch["x"][..., 1]).sum(1, keepdim=True) / 4
    torch.testing.assert_close(2 * target, batch["y"])
    assert AddingProblem.tolerance == 2 * 0.04
