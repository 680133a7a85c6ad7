"""How far gradients reach: against the closed form of a scalar recurrence, and against what training really does."""

import pytest
import torch

from rnn_lightning.models import Seq2Seq, Seq2Vec, TruncatedBPTT
from rnn_lightning.models.gradient_norms import gradient_norms

T, U, V = 12, 0.7, 0.4  # steps, input weight, head weight


def linear(kind, w, **options):
    """A scalar recurrence h_t = w h_(t-1) + U x_t, relu with positive states, and the head V h."""
    model = kind(1, 1, task="regression", nonlinearity="relu", hidden_size=1, bias=False, **options)
    with torch.no_grad():
        model.net.layers.weight_hh_l0.fill_(w)
        model.net.layers.weight_ih_l0.fill_(U)
        model.net.head.weight.fill_(V)
        model.net.head.bias.zero_()
    return model


def states(w, x):
    """(B, T) by the recurrence written out."""
    h, found = torch.zeros(len(x)), []
    for t in range(x.shape[1]):
        h = w * h + U * x[:, t, 0]
        found.append(h)
    return torch.stack(found, dim=1)


@pytest.mark.parametrize("w", [0.5, 1.0, 1.3])
def test_it_is_w_to_the_power_of_the_distance(w):
    x, y = torch.rand(3, T, 1) + 0.1, torch.randn(3, 1)
    reach = gradient_norms(linear(Seq2Vec, w), {"x": x, "y": y})
    at_end = (2 * (V * states(w, x)[:, -1] - y[:, 0]) * V).abs().mean().double()
    torch.testing.assert_close(reach.last[0], at_end * w ** torch.arange(T - 1, -1, -1.0).double(), rtol=1e-5, atol=0)
    assert torch.equal(reach.last, reach.every)


@pytest.mark.parametrize("w", [0.5, 1.3])
@pytest.mark.parametrize(("k1", "k2"), [(3, 3), (3, 7), (5, 8), (12, 12), (20, 30)])
def test_the_last_loss_of_a_truncated_sequence_is_cut_at_k2(w, k1, k2):
    x, y = torch.rand(3, T, 1) + 0.1, torch.randn(3, T, 1)
    reach = gradient_norms(linear(Seq2Seq, w, tbptt=TruncatedBPTT(k1, k2)), {"x": x, "y": y})
    at_end = (2 * (V * states(w, x)[:, -1] - y[:, -1, 0]) * V).abs().mean().double()
    begin = max(0, (T - 1) // k1 * k1 - (k2 - k1))  # the last chunk, and what is before it
    expected = at_end * w ** torch.arange(T - 1, -1, -1.0).double()
    expected[:begin] = 0
    torch.testing.assert_close(reach.last[0], expected, rtol=1e-5, atol=0)


class Backward:
    """In place of an `Update`: goes back from every pass, and moves no weight."""

    passes = 0

    def add(self, loss, targets, passes_per_batch, last):
        loss.backward()
        self.passes += 1

    def step(self):
        return True


OPTIONS = [{}, *({"tbptt": TruncatedBPTT(k1, k2)} for k1, k2 in ((3, 3), (3, 7), (5, 9), (4, 20)))]


def assert_as_in_training(model, batch):
    """In a linear recurrence dLoss/dx_t = U dLoss/dh_t, and x_t can be asked for its gradient in the training itself."""
    given = dict(batch)
    reach = gradient_norms(model, batch)
    assert batch == given, "the batch is not changed"
    x = batch["x"].clone().requires_grad_()
    model.train()
    backward = Backward()
    plan = model.plan(batch, training=True)
    model._through_batch({**batch, "x": x}, 0, plan, "train", model._training_chunk, update=backward)
    assert backward.passes == len(plan)
    alive = torch.arange(T) < batch.get("lengths", torch.full((len(x),), T))[:, None]
    expected = (x.grad[..., 0].abs() / U).sum(dim=0) / alive.sum(dim=0)
    torch.testing.assert_close(reach.every[0].float(), expected, rtol=1e-4, atol=1e-7)


def batch_for(kind, ragged):
    batch = {"x": torch.rand(4, T, 1) + 0.1, "y": torch.randn(4, T, 1) if kind is Seq2Seq else torch.randn(4, 1)}
    if ragged:
        batch["lengths"] = torch.tensor([T, 7, 3, 1])
        if kind is Seq2Seq:
            batch["mask"] = torch.rand(4, T) > 0.3
    return batch


@pytest.mark.parametrize("kind", [Seq2Seq, Seq2Vec])
@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("ragged", [False, True])
def test_the_sum_is_what_the_passes_of_training_send_back(kind, options, ragged):
    assert_as_in_training(linear(kind, 0.9, **options), batch_for(kind, ragged))


RESETS = {
    "rows": torch.tensor([True, False, True, False]),
    "steps": (torch.arange(4 * T).view(4, T) % 5) == 3,
}


@pytest.mark.parametrize("kind", [Seq2Seq, Seq2Vec])
@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("ragged", [False, True])
@pytest.mark.parametrize("reset", RESETS)
@pytest.mark.parametrize("begun", ["with zeros", "with a state of its own", "with a carried state"])
def test_no_gradient_crosses_the_border_of_a_sequence(kind, options, ragged, reset, begun):
    model = linear(kind, 0.9, carry_state=begun == "with a carried state", **options)
    batch = {**batch_for(kind, ragged), "reset": RESETS[reset]}
    if begun == "with a state of its own":
        batch["state"] = torch.rand(1, 4, 1) + 0.1
    assert_as_in_training(model, batch)


@pytest.mark.parametrize("tbptt", [None, TruncatedBPTT(3, 7)])
def test_a_reset_cuts_the_gradient_of_the_last_loss(tbptt):
    batch = {"x": torch.rand(1, T, 1) + 0.1, "y": torch.randn(1, T, 1), "reset": torch.arange(T)[None] == 8}
    reach = gradient_norms(linear(Seq2Seq, 0.9, tbptt=tbptt), batch).last[0]
    assert (reach[:8] == 0).all()
    assert (reach[8:] > 0).all()


def test_both_directions_are_counted():
    model = linear(Seq2Seq, 0.8, bidirectional=True)
    with torch.no_grad():
        for name in ("hh", "ih"):
            model.net.layers.get_parameter(f"weight_{name}_l0_reverse").fill_(0.5)
        model.net.head.weight.copy_(torch.tensor([[V, 3.0]]))
    x, y = torch.rand(2, T, 1) + 0.1, torch.zeros(2, T, 1)
    slope = 2 * model.net(x)[0][:, -1, 0].detach().double()  # dLoss/dy of each row
    reach = gradient_norms(model, {"x": x, "y": y}).last[0]
    forward = V * 0.8 ** torch.arange(T - 1, -1, -1.0).double()
    backward = torch.zeros(T).double()
    backward[-1] = 3.0  # the backward direction has seen only the last step by then
    expected = slope.abs().mean() * (forward**2 + backward**2).sqrt()
    torch.testing.assert_close(reach, expected, rtol=1e-5, atol=0)


@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
def test_it_leaves_nothing_behind(cell):
    model = Seq2Vec(2, 3, cell=cell, hidden_size=4, num_layers=2, state_dropout=0.5, tbptt=TruncatedBPTT(2, 4)).train()
    before = torch.get_rng_state()
    with torch.inference_mode():  # as in a validation
        batch = {"x": torch.ones(5, 9, 2), "y": torch.arange(5) % 3}
        reach = gradient_norms(model, batch)
    assert reach.last.shape == (2, 9)
    assert (reach.last[:, :5] == 0).all()
    assert (reach.last[:, 5:] > 0).all()
    assert torch.equal(torch.get_rng_state(), before)
    assert all(p.grad is None for p in model.parameters())
    assert all(part.training for part in model.modules())


def test_a_sequence_without_any_target_sends_nothing():
    batch = {"x": torch.rand(2, T, 1), "y": torch.randn(2, T, 1), "mask": torch.zeros(2, T, dtype=torch.bool)}
    assert (gradient_norms(linear(Seq2Seq, 0.9), batch).every == 0).all()
