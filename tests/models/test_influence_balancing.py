"""Truncation can turn a gradient's sign (Tallec & Ollivier 2017, arXiv:1705.08209, section 4.1).

s_(t+1) = A s_t + theta v, loss (s_1 - 1)^2 / 2: a chain in which one more step brings the parameter's influence nearer to
the first unit. p units push it up at once, n - p push it down later; only over k steps or more do the latter win.
"""

import pytest
import torch
from lightning.pytorch import Callback

from rnn_lightning.models import TruncatedBPTT, TruncatedBPTTModule


class Influence(TruncatedBPTTModule):
    def __init__(self, n, p, end_only, tbptt, lr):
        super().__init__(tbptt)
        self.a = 0.5 * (torch.eye(n, dtype=torch.float64) + torch.diag(torch.ones(n - 1, dtype=torch.float64), 1))
        self.v = torch.tensor([1.0] * p + [-1.0] * (n - p), dtype=torch.float64)
        limit = torch.linalg.solve(torch.eye(n, dtype=torch.float64) - self.a, self.v)
        self.best = (1.0 / limit[0]).item()  # theta at which s_1 settles at 1
        self.theta = torch.nn.Parameter(torch.tensor(self.best * 1.1, dtype=torch.float64))
        self.rest, self.end_only, self.lr = limit, end_only, lr

    def chunk_step(self, chunk, state):
        s, loss = self.theta.detach() * self.rest if state is None else state[:, 0], 0.0
        for _ in range(chunk["x"].shape[1]):
            s = self.a @ s + self.theta * self.v
            loss = loss + 0.5 * (s[0] - 1) ** 2
        return (0.5 * (s[0] - 1) ** 2 if self.end_only else loss), 1, s[:, None]

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), self.lr)


class Distance(Callback):
    def on_train_batch_end(self, trainer, module, *rest):
        self.now = abs(module.theta.item() / module.best - 1)
        if self.now > 10:
            trainer.should_stop = True


def influences(n, p, k):
    """How much theta moves s_1 after 1, ..., k steps, by powers of A."""
    module, total, seen = Influence(n, p, False, None, 0.1), 0.0, []
    power = module.v.clone()
    for _ in range(k):
        total, power = total + power[0].item(), module.a @ power
        seen.append(total * module.rest[0].item())
    return seen


CASES = [
    (4, 1, False, 6),
    (10, 4, False, 34),
    (23, 10, False, 110),
    (4, 1, True, 4),
    (10, 4, True, 17),
    (23, 10, True, 41),
]


@pytest.mark.parametrize(("n", "p", "end_only", "k"), CASES)
def test_the_gradients_sign_is_wrong_below_the_predicted_k(n, p, end_only, k, gradients_of):
    for chunk in (k - 1, k):
        module = Influence(n, p, end_only, TruncatedBPTT(chunk), lr=0.0)
        module.optimizer = None
        (step,) = gradients_of(module, [{"x": torch.zeros(1, chunk, 1), "y": torch.zeros(1, 1)}], precision="64-true")
        found = step["theta"].item() / module.best  # at rest, theta 10 % above the best: descent needs a positive one
        terms = influences(n, p, chunk)
        assert found == pytest.approx(0.1 * (terms[-1] if end_only else sum(terms)), rel=1e-6)
        assert (found > 0) == (chunk == k)


@pytest.mark.parametrize(
    ("n", "p", "end_only", "k"),
    [pytest.param(*case, marks=pytest.mark.slow if case[3] > 20 else []) for case in CASES],
)
def test_training_diverges_below_the_predicted_k_and_converges_above(n, p, end_only, k, fit):
    for chunk in (k - 1, k + 1):
        # Small steps: theta must change slowly against the chain's memory.
        lr, steps = 0.03 / sum(map(abs, influences(n, p, chunk))), 100
        module = Influence(n, p, end_only, TruncatedBPTT(chunk), lr)
        distance = Distance()
        batch = {"x": torch.zeros(1, chunk * steps, 1), "y": torch.zeros(1, 1)}
        fit(module, [batch], callbacks=[distance], precision="64-true")
        assert (distance.now < 0.1) == (chunk > k), (chunk, distance.now)


@pytest.mark.parametrize("end_only", [False, True])
def test_full_bptt_converges(end_only, fit):
    terms = influences(4, 1, 400)
    lr = 0.2 / (terms[-1] if end_only else sum(terms))
    module, distance = Influence(4, 1, end_only, TruncatedBPTT(400), lr), Distance()
    fit(module, [{"x": torch.zeros(1, 4000, 1), "y": torch.zeros(1, 1)}], callbacks=[distance], precision="64-true")
    assert distance.now < 0.03
