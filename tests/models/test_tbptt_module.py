"""Truncated BPTT against a plain loop over time with explicit detaching, and its settings one by one."""

import copy

import pytest
import torch
from lightning.pytorch import Callback
from lightning.pytorch.cli import ReduceLROnPlateau
from lightning.pytorch.plugins import MixedPrecision
from torch.nn import functional as F
from torch.utils.data import DataLoader

from rnn_lightning import ArgumentError, NonFiniteLossError
from rnn_lightning.models import Seq2Seq, TruncatedBPTT, TruncatedBPTTModule
from rnn_lightning.nn import detach_state

CELLS = [("rnn", "tanh"), ("rnn", "relu"), ("lstm", "tanh"), ("gru", "tanh")]


def seq2seq(cell="lstm", nonlinearity="tanh", seed=1, lr=0.05, **arguments):
    torch.manual_seed(seed)
    arguments = {"num_layers": 2, "hidden_size": 5, "optimizer": lambda p: torch.optim.SGD(p, lr=lr), **arguments}
    return Seq2Seq(3, 2, cell=cell, nonlinearity=nonlinearity, **arguments).double()


def batch(rows=4, steps=11, seed=2, **more):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(rows, steps, 3, generator=generator, dtype=torch.float64)
    y = torch.randn(rows, steps, 2, generator=generator, dtype=torch.float64)
    return {"x": x, "y": y, **more}


def plain_passes(net, x, y, k1, k2, lengths=None):
    """Step by step: for each chunk the sum of its losses, with a graph over k2 steps, and the number of its targets."""
    net = net.eval()
    stored = {0: None}
    for start in range(0, x.shape[1], k1):
        stop, loss, count = min(start + k1, x.shape[1]), 0.0, 0
        begin = max(0, start - (k2 - k1))
        state = stored[begin]
        for t in range(begin, stop):
            before = state
            output, state = net.step(x[:, t], state)
            alive = torch.ones(len(x), dtype=torch.bool) if lengths is None else lengths > t
            if before is not None:
                keep = lambda new, old: torch.where(alive[:, None], new, old)  # noqa: E731, B023
                state = tuple(map(keep, state, before)) if isinstance(state, tuple) else keep(state, before)
            if t >= start:
                loss = loss + F.mse_loss(output, y[:, t], reduction="none").mean(1)[alive].sum()
                count += int(alive.sum())
                stored[t + 1] = detach_state(state)
        yield loss, count


@pytest.mark.parametrize(("cell", "nonlinearity"), CELLS)
@pytest.mark.parametrize(("k1", "k2"), [(1, 1), (1, 3), (3, 3), (3, 4), (3, 7), (4, 8), (11, 11), (20, 30)])
def test_the_gradient_of_every_chunk_equals_a_plain_loops(cell, nonlinearity, k1, k2, gradients_of):
    module, data = seq2seq(cell, nonlinearity, tbptt=TruncatedBPTT(k1, k2)), batch()
    expected = []
    for loss, count in plain_passes(module.net, data["x"], data["y"], k1, k2):
        expected.append(torch.autograd.grad(loss / count, list(module.net.parameters())))
    steps = gradients_of(module, [data], precision="64-true")
    assert len(steps) == len(expected) == -(-11 // k1)
    for found, wanted in zip(steps, expected, strict=True):
        for (name, gradient), reference in zip(found.items(), wanted, strict=True):
            torch.testing.assert_close(gradient, reference, msg=lambda m, n=name: f"{n}: {m}")


@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
@pytest.mark.parametrize(("k1", "k2"), [(4, 4), (3, 5), (2, 6)])
@pytest.mark.parametrize("step_every", ["chunk", "batch", 2])
@pytest.mark.parametrize("ragged", [False, True])
def test_training_equals_a_plain_loop_with_changing_weights(cell, k1, k2, step_every, ragged, fit):
    lengths = [torch.tensor([11, 2, 7, 5]), torch.tensor([3, 9, 1, 6]), torch.tensor([8, 8, 4, 2])]
    batches = [batch(seed=s, **({"lengths": lengths[s]} if ragged else {})) for s in range(3)]
    module = seq2seq(cell, tbptt=TruncatedBPTT(k1, k2, step_every))
    net = copy.deepcopy(module.net)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.05)
    every = {"chunk": 0, "batch": 1, 2: 2}[step_every]
    targets, steps = 0, 0
    for number, data in enumerate(batches):
        for loss, count in plain_passes(net, data["x"], data["y"], k1, k2, data.get("lengths")):
            if every == 0 and count > 0:
                optimizer.zero_grad()
                (loss / count).backward()
                optimizer.step()
                steps += 1
            elif count > 0:
                loss.backward()  # sums; divided by the number of all targets below
                targets += count
        if every and ((number + 1) % every == 0 or number == 2):
            for parameter in net.parameters():
                parameter.grad /= targets
            optimizer.step()
            optimizer.zero_grad()
            targets, steps = 0, steps + 1
    trainer = fit(module, batches, precision="64-true")
    assert trainer.global_step == steps
    for found, wanted in zip(module.net.parameters(), net.parameters(), strict=True):
        torch.testing.assert_close(found, wanted)


@pytest.mark.parametrize("k", [(1, 1), (3, 5), (11, 11)])
def test_one_step_a_batch_over_all_of_it_is_full_bptt(k, fit):
    data = [batch(seed=s) for s in range(3)]
    full, truncated = seq2seq(), seq2seq(tbptt=TruncatedBPTT(*k, step_every="batch"))
    fit(full, data, precision="64-true")
    fit(truncated, data, precision="64-true")
    same = [torch.equal(a, b) for a, b in zip(full.parameters(), truncated.parameters(), strict=True)]
    assert all(same) == (k[0] == 11)  # to the bit; and truncation does change the weights


class Linear(TruncatedBPTTModule):
    """h_t = w h_(t-1), loss h_t: the gradient truncated to k steps is k w^(t-1) h_0."""

    def __init__(self, tbptt):
        super().__init__(tbptt)
        self.w = torch.nn.Parameter(torch.tensor(0.2))

    def chunk_step(self, chunk, state):
        h, loss = torch.full((1, 1), 0.9) if state is None else state, 0.0
        for _ in range(chunk["x"].shape[1]):
            h = self.w * h
            loss = loss + h.sum()
        return loss, chunk["x"].shape[1], h

    def configure_optimizers(self):
        return self.optimizer(self.parameters())


@pytest.mark.parametrize(("k2", "gradient"), [(1, 0.036), (2, 0.072), (3, 0.108)])
def test_scalar_linear_recurrence_against_the_closed_form(k2, gradient, gradients_of):
    data = {"x": torch.zeros(1, 3, 1), "y": torch.zeros(1, 3, 1)}
    steps = gradients_of(Linear(TruncatedBPTT(1, k2)), [data])
    assert steps[2]["w"].item() == pytest.approx(gradient, rel=1e-5)
    assert steps[0]["w"].item() == pytest.approx(0.9, rel=1e-5)


def test_the_logged_loss_does_not_depend_on_k1(fit):
    lengths = torch.tensor([11, 2, 7, 5])
    losses = []
    for tbptt in (None, TruncatedBPTT(1), TruncatedBPTT(3, 5), TruncatedBPTT(4, step_every="batch"), TruncatedBPTT(50)):
        module = seq2seq(tbptt=tbptt, lr=0.0)
        data = batch(lengths=lengths, mask=torch.arange(44).reshape(4, 11) % 3 > 0)
        metrics = fit(module, [data], [data], precision="64-true").callback_metrics
        losses += [metrics["train/loss"].item(), metrics["val/loss"].item()]
    assert losses == pytest.approx([losses[0]] * len(losses), rel=1e-6)


@pytest.mark.parametrize(("step_every", "steps"), [("chunk", 12), ("batch", 3), (2, 2), (7, 1)])
def test_global_step_counts_optimizer_steps(step_every, steps, fit):
    trainer = fit(seq2seq(tbptt=TruncatedBPTT(3, step_every=step_every)).float(), [batch32(s) for s in range(3)])
    assert trainer.global_step == steps


def batch32(seed=0, **more):
    return {k: v.float() if v.is_floating_point() else v for k, v in batch(seed=seed, **more).items()}


def test_max_steps_stops_within_a_batch(fit):
    trainer = fit(seq2seq(tbptt=TruncatedBPTT(3)).float(), [batch32(s) for s in range(3)], max_steps=6)
    assert trainer.global_step == 6


class Hears(Callback):
    """Counts backward passes."""

    def __init__(self):
        self.heard = []

    def on_before_backward(self, trainer, module, loss):
        self.heard.append("before")

    def on_after_backward(self, trainer, module):
        self.heard.append("after")


def test_who_listens_to_backward_passes_hears_all_and_changes_nothing(fit):
    class Own(Seq2Seq):
        passes = 0

        def backward(self, loss, *args, **kwargs):
            self.passes += 1
            super().backward(loss, *args, **kwargs)

    found, listener, passes = [], Hears(), 0
    for model, callbacks in ((Seq2Seq, ()), (Seq2Seq, (listener,)), (Own, ())):
        torch.manual_seed(0)
        module = model(3, 2, hidden_size=4, tbptt=TruncatedBPTT(4))
        fit(module, [{key: value.float() for key, value in batch().items()}], callbacks=callbacks)
        found.append(list(module.parameters()))
        passes = getattr(module, "passes", 0)
    assert listener.heard == ["before", "after"] * 3
    assert passes == 3
    for other in found[1:]:
        assert all(torch.equal(a, b) for a, b in zip(found[0], other, strict=True))


@pytest.mark.parametrize(("algorithm", "bound"), [("norm", 0.01), ("value", 0.001)])
def test_gradients_are_clipped_before_each_step(algorithm, bound, fit):
    class Weights(Callback):
        def on_train_batch_start(self, trainer, module, batch, batch_idx):
            self.before = [p.detach().clone() for p in module.parameters()]

        def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx):
            moves = [(p - b) for p, b in zip(module.parameters(), self.before, strict=True)]
            self.norm = torch.cat([m.flatten() for m in moves]).norm().item()
            self.largest = max(m.abs().max().item() for m in moves)

    weights = Weights()
    tbptt = TruncatedBPTT(20, gradient_clip_val=bound, gradient_clip_algorithm=algorithm)
    fit(seq2seq(tbptt=tbptt, lr=1.0).float(), [batch32()], callbacks=[weights])
    assert (weights.norm if algorithm == "norm" else weights.largest) == pytest.approx(bound, rel=1e-3)


@pytest.mark.parametrize(("interval", "steps"), [("step", 24), ("batch", 6), ("epoch", 2)])
def test_schedulers_step_at_their_interval(interval, steps, fit):
    module = seq2seq(
        tbptt=TruncatedBPTT(3),
        lr=1.0,
        lr_scheduler=lambda optimizer: torch.optim.lr_scheduler.StepLR(optimizer, 1, gamma=0.9),
        lr_interval=interval,
    ).float()
    trainer = fit(module, [batch32(s) for s in range(3)], epochs=2)
    assert trainer.optimizers[0].param_groups[0]["lr"] == pytest.approx(0.9**steps)


@pytest.mark.parametrize("tbptt", [None, TruncatedBPTT(3)])
@pytest.mark.parametrize("monitor", ["val/loss", "train/loss"])
def test_reduce_on_plateau_is_stepped_by_its_metric(tbptt, monitor, fit):
    def plateau(optimizer):
        return ReduceLROnPlateau(optimizer, monitor=monitor, factor=0.1, patience=0, threshold=1.0)

    module = seq2seq(tbptt=tbptt, lr=1e-3, lr_scheduler=plateau).float()
    trainer = fit(module, [batch32()], [batch32()], epochs=4)
    assert trainer.optimizers[0].param_groups[0]["lr"] == pytest.approx(1e-7)


def test_a_chunk_without_valid_targets_moves_no_weight(fit):
    data = batch32()
    data["mask"] = torch.zeros(4, 11, dtype=torch.bool)
    data["mask"][:, 6:9] = True
    module = seq2seq(tbptt=TruncatedBPTT(3), optimizer=lambda p: torch.optim.Adam(p, lr=0.1)).float()
    assert fit(module, [data]).global_step == 1


def test_rows_of_all_lengths_end_the_walk_early(fit):
    module = seq2seq(tbptt=TruncatedBPTT(3)).float()
    assert fit(module, [batch32(lengths=torch.tensor([4, 1, 2, 3]))]).global_step == 2


@pytest.mark.parametrize("cell", ["rnn", "lstm"])
def test_weights_are_not_stale_under_autocast(cell, fit):
    """With autocast's weight cache on, the second chunk would still see the weights before the first step."""

    class Cached(MixedPrecision):
        def autocast_context_manager(self):
            return torch.autocast("cpu", dtype=torch.bfloat16, cache_enabled=True)

    class Losses(Seq2Seq):
        def chunk_step(self, chunk, state):
            result = super().chunk_step(chunk, state)
            if self.training:
                self.seen.append(result[0].item())
                with torch.autocast("cpu", enabled=False), torch.autocast("cpu", torch.bfloat16, cache_enabled=False):
                    self.fresh.append(super().chunk_step(chunk, state)[0].item())
            return result

    torch.manual_seed(0)
    module = Losses(
        3,
        2,
        cell=cell,
        state_dropout=1e-9,  # takes the step-by-step path, whose matrix products autocast casts
        tbptt=TruncatedBPTT(5),
        optimizer=lambda p: torch.optim.SGD(p, lr=0.5),
    )
    module.seen, module.fresh = [], []
    fit(module, [batch32()], plugins=[Cached("bf16-mixed", "cpu")])
    assert len(module.seen) == 3
    assert module.seen == pytest.approx(module.fresh, rel=1e-6)


@pytest.mark.parametrize("tbptt", [None, TruncatedBPTT(3)])
def test_a_loss_that_is_not_finite_stops_the_run_before_the_weights_change(tbptt, fit):
    bad = batch32()
    bad["x"][1, 0] = float("nan")
    module = seq2seq(tbptt=tbptt).float()
    steps = 1 if tbptt is None else 4
    with pytest.raises(NonFiniteLossError, match=f"step {steps}:"):
        fit(module, [batch32(1), bad])
    assert all(p.isfinite().all() for p in module.parameters())


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"gradient_clip_val": 1.0}, "tbptt.gradient_clip_val=1.0"),
        ({"accumulate_grad_batches": 2}, "tbptt.step_every=2"),
    ],
)
def test_trainer_settings_that_manual_optimisation_lacks_say_where_they_go(settings, words, fit):
    with pytest.raises(ArgumentError, match=words) as error:
        fit(seq2seq(tbptt=TruncatedBPTT(3)).float(), [batch32()], **settings)
    assert "\n" not in str(error.value)


def test_a_module_must_define_chunk_step(fit):
    class Empty(TruncatedBPTTModule):
        def configure_optimizers(self):
            return torch.optim.SGD([torch.nn.Parameter(torch.zeros(()))], 0.1)

    with pytest.raises(NotImplementedError, match="chunk_step"):
        fit(Empty(TruncatedBPTT(3)), [batch32()])


def test_two_optimizers_are_refused(fit):
    class Two(Linear):
        def configure_optimizers(self):
            return [torch.optim.SGD(self.parameters(), 0.1), torch.optim.SGD(self.parameters(), 0.1)]

    with pytest.raises(ArgumentError, match="one optimizer"):
        fit(Two(TruncatedBPTT(3)), [batch32()])


def test_an_unknown_interval_is_refused():
    with pytest.raises(ArgumentError, match="lr_interval"):
        seq2seq(lr_interval="minute")


@pytest.mark.parametrize("monitor", ["nothing", "val/nothing"])
def test_a_monitor_that_does_not_exist_is_refused(monitor, fit):
    def plateau(optimizer):
        return ReduceLROnPlateau(optimizer, monitor=monitor)

    module = seq2seq(tbptt=TruncatedBPTT(3), lr_scheduler=plateau).float()
    with pytest.raises(ArgumentError, match=r"lr_scheduler\.monitor"):
        fit(module, [batch32()], [batch32()])


def test_steps_of_validation_and_test_need_no_trainer():
    """As for a look at one batch in a notebook."""
    model, batch = Seq2Seq(1, 1, hidden_size=4), {"x": torch.randn(2, 5, 1), "y": torch.randn(2, 5, 1)}
    for step in (model.validation_step, model.test_step):
        assert step(batch, 0)["errors"].shape == (2, 5)


def test_a_validation_step_within_training_leaves_the_training_loss_alone(silent_trainer):
    class Peeks(Seq2Seq):
        peeks = True

        def training_step(self, batch, batch_idx):
            if self.peeks:
                with torch.no_grad():
                    self.validation_step({"x": batch["x"], "y": batch["y"] + 100}, batch_idx)
            return super().training_step(batch, batch_idx)

    data = [{"x": torch.randn(2, 6, 1), "y": torch.randn(2, 6, 1)} for _ in range(3)]
    found = []
    for peeks in (False, True):
        torch.manual_seed(0)
        model = Peeks(1, 1, hidden_size=4, tbptt=TruncatedBPTT(2))
        model.peeks = peeks
        trainer = silent_trainer(max_epochs=1)
        trainer.fit(model, DataLoader(data, batch_size=None))
        found.append(float(trainer.callback_metrics["train/loss"]))
    assert found[0] == found[1]
