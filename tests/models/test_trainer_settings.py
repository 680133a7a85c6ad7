"""Truncated BPTT under the Trainer's settings and callbacks."""

import logging

import pytest
import torch
from lightning.pytorch import Callback
from lightning.pytorch.callbacks import EarlyStopping, LearningRateFinder, StochasticWeightAveraging
from lightning.pytorch.plugins import MixedPrecision

from rnn_lightning import ArgumentError
from rnn_lightning.models import Seq2Seq, Seq2Vec, TruncatedBPTT
from rnn_lightning.nn import native


def seq2seq(lr=0.05, **arguments):
    torch.manual_seed(0)
    arguments = {"cell": "gru", "hidden_size": 5, "tbptt": TruncatedBPTT(4, 6), **arguments}
    return Seq2Seq(2, 1, optimizer=lambda p: torch.optim.SGD(p, lr), **arguments)


def batches(count=3, rows=4, steps=10):
    generator = torch.Generator().manual_seed(1)
    return [
        (torch.randn(rows, steps, 2, generator=generator), torch.randn(rows, steps, 1, generator=generator))
        for _ in range(count)
    ]


@pytest.mark.parametrize("callback", [LearningRateFinder, lambda: StochasticWeightAveraging(0.1)])
def test_what_manual_optimisation_cannot_do_is_refused_in_one_line(callback, fit):
    with pytest.raises(ArgumentError, match="does not work with tbptt: ") as error:
        fit(seq2seq(), batches(), callbacks=[callback()])
    assert "\n" not in str(error.value)


def test_early_stopping(fit):
    stopping = EarlyStopping("val/loss", patience=2, min_delta=1e9)
    assert fit(seq2seq(), batches(), batches(), epochs=20, callbacks=[stopping]).current_epoch == 3


@pytest.mark.parametrize("tbptt", [None, TruncatedBPTT(4, step_every=3)])
def test_an_interrupted_fit_leaves_nothing_to_the_next(tbptt, fit):
    class Interrupt(Callback):
        def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx):
            raise InterruptedError

    module = seq2seq(tbptt=tbptt)
    with pytest.raises(InterruptedError):
        fit(module, batches(), callbacks=[Interrupt()])
    fresh = seq2seq(tbptt=tbptt)
    fresh.load_state_dict(module.state_dict())
    assert fit(module, batches()).callback_metrics == fit(fresh, batches()).callback_metrics
    for ours, theirs in zip(module.parameters(), fresh.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_overfit_batches(fit):
    trainer = fit(seq2seq(), batches(), overfit_batches=1, epochs=2)
    assert trainer.global_step == 6  # one batch of three chunks, twice


@pytest.mark.parametrize("model", [Seq2Seq, Seq2Vec])
@pytest.mark.parametrize("state_dropout", [0.0, 0.5])
def test_a_compiled_network_trains_the_same(model, state_dropout, fit):
    data = batches() if model is Seq2Seq else [(x, torch.tensor([0, 1, 1, 0])) for x, _ in batches()]
    weights = []
    for compiled in (False, True):
        torch.manual_seed(0)
        module = model(
            2,
            1 if model is Seq2Seq else 2,
            hidden_size=4,
            state_dropout=state_dropout,
            variational=True,
            tbptt=TruncatedBPTT(5, 7),
            optimizer=lambda p: torch.optim.SGD(p, 0.1),
        )
        if compiled:
            module.net.compile(backend="eager")
        torch.manual_seed(1)
        fit(module, data)
        weights.append([p.detach().clone() for p in module.parameters()])
    for a, b in zip(*weights, strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize("precision", ["bf16-mixed", "bf16-true", "64-true"])
@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
@pytest.mark.parametrize("state_dropout", [0.0, 0.2])
def test_precisions(precision, cell, state_dropout, fit):
    module = seq2seq(lr=0.1, cell=cell, state_dropout=state_dropout)
    trainer = fit(module, batches(), batches(), precision=precision, epochs=3)
    assert trainer.global_step == 27
    assert trainer.callback_metrics["val/loss"].item() < 2.0
    assert all(p.isfinite().all() for p in module.parameters())


def test_scaled_gradients_are_clipped_after_they_are_unscaled(fit):
    """As under 16-mixed, with the scaler on the CPU: a huge scale must not change what a bound of 0.01 leaves."""

    class Scaled(MixedPrecision):
        def __init__(self):
            super().__init__("bf16-mixed", "cpu")
            self.scaler = torch.amp.GradScaler("cpu", init_scale=2.0**14)

    class Norms(Callback):
        def __init__(self):
            self.moved = []

        def on_train_batch_start(self, trainer, module, batch, batch_idx):
            self.before = torch.cat([p.detach().flatten() for p in module.parameters()])

        def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx):
            after = torch.cat([p.detach().flatten() for p in module.parameters()])
            self.moved.append((after - self.before).norm().item())

    norms = Norms()
    module = seq2seq(lr=1.0, tbptt=TruncatedBPTT(20, gradient_clip_val=0.01))
    fit(module, batches(), plugins=[Scaled()], callbacks=[norms])
    assert norms.moved == pytest.approx([0.01] * 3, rel=1e-2)


@pytest.mark.parametrize("library", ["off", "baseline"])
def test_a_fit_without_the_recurrence_in_c_says_so_once(library, fit, use_native, caplog):
    if library != "off" and native.reason() is not None:
        pytest.skip("no native recurrence")
    use_native(library)
    with caplog.at_level(logging.INFO, "lightning.pytorch.utilities.rank_zero"):
        fit(seq2seq(), batches(), epochs=2)
    told = [record.getMessage() for record in caplog.records if "No recurrence in C" in record.getMessage()]
    assert len(told) == (library == "off")
    assert all("\n" not in line and "RNN_LIGHTNING_NATIVE=off" in line for line in told)
