"""A module of one's own: any state, tokens, resets within a chunk, several loaders, and what its checkpoints hold."""

from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from lightning.pytorch.callbacks import LearningRateFinder
from torch import nn
from torch.utils.data import DataLoader

from rnn_lightning import ArgumentError
from rnn_lightning.models import Seq2Seq, TruncatedBPTT, TruncatedBPTTModule
from rnn_lightning.models.carry import CarriedStates


class HC(NamedTuple):
    h: torch.Tensor
    c: torch.Tensor


@dataclass(frozen=True)
class Data:
    h: torch.Tensor
    c: torch.Tensor
    steps: int = 0
    nothing: None = None


FORMS = {
    "tuple": (lambda h, c: (h, c), lambda s: s),
    "list": (lambda h, c: [h, c], lambda s: s),
    "named tuple": (HC, lambda s: (s.h, s.c)),
    "dict": (lambda h, c: {"h": h, "more": [c, None, 3]}, lambda s: (s["h"], s["more"][0])),
    "ordered dict": (lambda h, c: OrderedDict(h=h, c=c), lambda s: (s["h"], s["c"])),
    "dataclass": (Data, lambda s: (s.h, s.c)),
    "nest": (lambda h, c: {"a": HC(h, (c, torch.tensor(7)))}, lambda s: (s["a"].h, s["a"].c[0])),
}


class Own(TruncatedBPTTModule):
    def __init__(self, form="tuple", tbptt=None, carry_state=True, **more):
        super().__init__(tbptt, carry_state, **more)
        self.form, self.types = form, set()
        torch.manual_seed(0)
        self.rnn = nn.LSTM(1, 4, batch_first=True)

    def chunk_step(self, chunk, state):
        pack, unpack = FORMS[self.form]
        if state is not None:
            self.types.add(type(state))
        output, state = self.rnn(chunk["x"], None if state is None else tuple(unpack(state)))
        loss = (output.sum(-1, keepdim=True) - chunk["y"]).square()
        return loss.sum(), loss.numel(), pack(*state), {"hits": (loss < 1).sum(), "prediction": output}

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.1)


def batches(count=3, rows=2, steps=9, **more):
    generator = torch.Generator().manual_seed(3)
    draw = lambda: torch.randn(rows, steps, 1, generator=generator)  # noqa: E731
    return [{"x": draw(), "y": draw(), **more} for _ in range(count)]


def weights(module):
    return [p.detach().clone() for p in module.parameters()]


@pytest.mark.parametrize("form", list(FORMS)[1:])
@pytest.mark.parametrize("tbptt", [None, TruncatedBPTT(3), TruncatedBPTT(2, 5)])
def test_any_form_of_state_is_carried_reset_and_saved_alike(form, tbptt, fit, tmp_path):
    data = batches(reset=torch.tensor([True, False]))
    plain, other = Own("tuple", tbptt), Own(form, tbptt)
    fit(plain, data, data)
    trainer = fit(other, data, data)
    assert all(torch.equal(a, b) for a, b in zip(weights(plain), weights(other), strict=True))
    assert len(other.types) == 1
    trainer.save_checkpoint(tmp_path / "a.ckpt")
    (rank,) = torch.load(tmp_path / "a.ckpt", weights_only=True)["ranks"]
    loaded = CarriedStates()
    loaded.load_state_dict(rank["carried"])
    state = loaded.take("train", 2)
    assert type(state) in other.types
    for a, b in zip(FORMS[form][1](state), plain.carried.take("train", 2), strict=True):
        assert torch.equal(a, b)


def test_a_state_whose_rows_are_elsewhere_is_one_line(fit):
    class Wrong(Own):
        def chunk_step(self, chunk, state):
            loss, targets, _, more = super().chunk_step(chunk, None)
            return loss, targets, torch.zeros(2, 4, 5), more

    with pytest.raises(ArgumentError, match=r"shape \(2, 4, 5\) for 2 rows: give states whose second-last"):
        fit(Wrong(), batches(reset=torch.tensor([True, False])))


@pytest.mark.parametrize("tbptt", [None, TruncatedBPTT(4), TruncatedBPTT(3, 5)])
def test_sequences_that_begin_within_a_chunk(tbptt, fit):
    """One row of two sequences and one of one, against the same three each in a row of its own."""
    x, y = torch.randn(2, 9, 1), torch.randn(2, 9, 1)
    reset = torch.zeros(2, 9, dtype=torch.bool)
    reset[0, 5] = True
    parts = [(x[0, :5], y[0, :5]), (x[0, 5:], y[0, 5:]), (x[1], y[1])]
    joined = Own(tbptt=tbptt, carry_state=False)
    batch = {"x": x, "y": y, "reset": reset}
    loss = fit(joined, [batch], [batch]).callback_metrics["val/loss"].item()
    total, count = 0.0, 0
    for a, b in parts:
        result = joined.chunk_step({"x": a[None], "y": b[None]}, None)
        total, count = total + result[0].item(), count + result[1]
    assert loss == pytest.approx(total / count, rel=1e-5)


@pytest.mark.parametrize("tbptt", [None, TruncatedBPTT(4), TruncatedBPTT(3, 5)])
@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
def test_the_networks_take_resets_within_a_chunk_as_own_modules_do(tbptt, cell, fit):
    data = batches()
    for batch in data:
        batch["reset"] = torch.rand(2, 9, generator=torch.Generator().manual_seed(1)) > 0.6
    found = []
    for handles in (True, False):
        torch.manual_seed(0)
        module = Seq2Seq(1, 1, cell=cell, hidden_size=4, tbptt=tbptt, optimizer=lambda p: torch.optim.SGD(p, 0.1))
        module.handles_reset = handles  # else chunks are cut where a sequence begins
        fit(module, data)
        found.append(weights(module))
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(a, b)
    torch.manual_seed(0)
    module = Seq2Seq(1, 1, cell=cell, hidden_size=4, tbptt=tbptt, optimizer=lambda p: torch.optim.SGD(p, 0.1))
    fit(module, [{"x": batch["x"], "y": batch["y"]} for batch in data])
    assert not torch.equal(weights(module)[0], found[0][0])


@pytest.mark.parametrize("reset", [None, torch.tensor([True, False])])
def test_a_batch_may_bring_the_state_that_it_begins_with(reset, fit):
    (batch,) = batches(1)
    h, c = torch.randn(1, 2, 4), torch.randn(1, 2, 4)
    begun = {**batch, "state": [h, c], **({} if reset is None else {"reset": reset})}
    module = Own(carry_state=False)
    loss = fit(module, [batch], [begun]).callback_metrics["val/loss"].item()
    keep = torch.ones(1, 2, 1) if reset is None else (~reset).float()[None, :, None]
    with torch.no_grad():
        expected = module.chunk_step(batch, (h * keep, c * keep))[0] / 18
    assert loss == pytest.approx(expected.item(), rel=1e-5)


class Tokens(TruncatedBPTTModule):
    def __init__(self):
        super().__init__(TruncatedBPTT(3), carry_state=True)
        self.embed, self.rnn, self.head = nn.Embedding(7, 4), nn.GRU(4, 4, batch_first=True), nn.Linear(4, 7)

    def chunk_step(self, chunk, state):
        output, state = self.rnn(self.embed(chunk["x"]), state)
        loss = nn.functional.cross_entropy(self.head(output).flatten(0, 1), chunk["y"].flatten(), reduction="sum")
        return loss, chunk["y"].numel(), state

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.1)


def test_tokens_are_taken(fit):
    x = torch.randint(7, (2, 9))
    assert fit(Tokens(), [(x, x)], [(x, x)]).global_step == 3


def test_metrics_of_several_loaders_are_each_and_together(fit):
    module, data = Own(carry_state=True), batches(4, rows=3)
    loaders = [DataLoader(d, batch_size=None) for d in (data[:3], data[3:])]
    module.contiguous = True
    from lightning.pytorch import Trainer

    quiet = {
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
    }
    trainer = Trainer(accelerator="cpu", max_epochs=1, **quiet)
    trainer.fit(module, DataLoader(data, batch_size=None), loaders)
    fitted = {name: float(value) for name, value in trainer.callback_metrics.items()}
    first, second = (fitted[f"val/loss/loader_{i}"] for i in (0, 1))
    assert fitted["val/loss"] == pytest.approx((3 * first + second) / 4, rel=1e-5)
    with torch.no_grad():  # the second loader's sequences begin anew
        assert second == pytest.approx(float(module.chunk_step(data[3], None)[0]) / 27, rel=1e-5)
    results = trainer.test(module, loaders, verbose=False)
    assert {"test/loss", "test/hits", "test/hits/loader_1"} <= set(results[0])
    assert [len(of) for of in trainer.predict(module, loaders)] == [3, 1]


def test_predictions_are_the_chunks_joined(fit):
    module = Own(tbptt=TruncatedBPTT(4), carry_state=False)
    (batch,) = batches(1)
    with torch.no_grad():
        found = module.predict_step(batch, 0)
    torch.testing.assert_close(found["prediction"], module.rnn(batch["x"])[0])
    assert found["y"] is batch["y"]
    with pytest.raises(ArgumentError, match="Tokens has no predictions: return them from chunk_step"):
        Tokens().predict_step((torch.zeros(1, 2, dtype=torch.int64),) * 2, 0)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda loss, n, state, more: (loss, n), "a tuple of 2: return the sum of the losses"),
        (lambda loss, n, state, more: (loss.expand(3), n, state), r"float32 of shape \(3,\) as the loss"),
        (lambda loss, n, state, more: (loss.item(), n, state), "a float as the loss"),
        (lambda loss, n, state, more: (loss, n, state, more["prediction"]), "as the fourth value: return a dict"),
    ],
    ids=["short", "losses", "float", "no dict"],
)
@pytest.mark.parametrize("tbptt", [None, TruncatedBPTT(3)])
def test_a_chunk_step_that_returns_something_else_is_one_line(change, words, tbptt, fit):
    class Other(Own):
        def chunk_step(self, chunk, state):
            return change(*super().chunk_step(chunk, state))

    with pytest.raises(ArgumentError, match=f"chunk_step returned .*{words}") as error:
        fit(Other(tbptt=tbptt), batches())
    assert "\n" not in str(error.value)


def test_no_name_of_a_further_value_changes_the_loss(fit):
    class Named(Own):
        def chunk_step(self, chunk, state):
            loss, n, state, more = super().chunk_step(chunk, state)
            return loss, n, state, {**more, "targets": 2 * n, "loss": 3 * loss}

    data = batches()
    own, named = (fit(module, data, data).callback_metrics for module in (Own(), Named()))
    assert named["val/loss"] == own["val/loss"]
    assert named["val/targets"] == 2
    assert next(name for name in named if name.startswith("val/")) == "val/loss", "the terminal shows it first"


# Checkpoints.


class Encoder:
    """No plain value."""


class Kept(Own):
    def __init__(self, path, scale, tbptt, encoder=None):
        super().__init__(tbptt=tbptt)
        self.save_hyperparameters()

    def configure_optimizers(self):
        optimizer = torch.optim.SGD(self.parameters(), np.float64(0.1))
        return [optimizer], [torch.optim.lr_scheduler.StepLR(optimizer, np.int64(2), gamma=np.float64(0.5))]


def test_what_enters_a_checkpoint_is_made_plain(fit, tmp_path):
    module = Kept(Path("a.csv"), np.float32(0.5), TruncatedBPTT(np.int64(3)))
    fit(module, batches()).save_checkpoint(tmp_path / "a.ckpt")
    saved = torch.load(tmp_path / "a.ckpt", weights_only=True)
    assert saved["hyper_parameters"]["path"] == "a.csv"
    assert saved["hyper_parameters"]["scale"] == 0.5
    assert type(saved["lr_schedulers"][0]["gamma"]) is float
    loaded = Kept.load_from_checkpoint(tmp_path / "a.ckpt")
    assert loaded.tbptt == TruncatedBPTT(3)
    assert fit(loaded, batches()).global_step == 9


def test_what_cannot_be_made_plain_is_named_when_it_is_saved(fit, tmp_path):
    trainer = fit(Kept("a", 1, None, encoder={"text": Encoder()}), batches())
    with pytest.warns(UserWarning, match=r"leaves out hyper_parameters.encoder.text \(Encoder\)"):
        trainer.save_checkpoint(tmp_path / "a.ckpt")
    assert torch.load(tmp_path / "a.ckpt", weights_only=True)["hyper_parameters"]["encoder"] == {}


def test_load_from_checkpoint_trains_as_before(fit, tmp_path):
    def step(optimizer):
        return torch.optim.lr_scheduler.StepLR(optimizer, 1, gamma=0.5)

    sgd = {"optimizer": lambda p: torch.optim.SGD(p, lr=np.float64(0.1), momentum=0.5), "lr_scheduler": step}
    data = batches()
    first = Seq2Seq(1, 1, hidden_size=np.int64(4), tbptt=TruncatedBPTT(3), carry_state=True, lr_interval="step", **sgd)
    trainer = fit(first, data)
    trainer.save_checkpoint(tmp_path / "a.ckpt")
    second = Seq2Seq.load_from_checkpoint(tmp_path / "a.ckpt")
    again = Seq2Seq(1, 1, hidden_size=4, tbptt=TruncatedBPTT(3), carry_state=True, lr_interval="step", **sgd)
    again.load_state_dict(first.state_dict())
    for module in (second, again):
        assert fit(module, data).global_step == trainer.global_step == 9
    assert all(torch.equal(a, b) for a, b in zip(second.parameters(), again.parameters(), strict=True))
    assert second.carry_state
    whole = Seq2Seq.load_from_checkpoint(tmp_path / "a.ckpt", tbptt=None, optimizer=torch.optim.Adam)
    assert fit(whole, data).global_step == 3
    assert whole.optimizer_name == "Adam"


def test_load_from_checkpoint_says_what_it_could_not_keep(fit, tmp_path):
    def split(parameters):
        *layers, weight, bias = parameters
        return torch.optim.SGD([{"params": layers}, {"params": [weight, bias], "lr": 0.5}], lr=0.1)

    fit(Seq2Seq(1, 1, hidden_size=4, optimizer=split), batches()).save_checkpoint(tmp_path / "a.ckpt")
    with pytest.warns(UserWarning, match=r"optimizer was a SGD .* a further fit will use Adam; give optimizer=..."):
        Seq2Seq.load_from_checkpoint(tmp_path / "a.ckpt")


# What messages advise.


def test_the_learning_rate_finder_finds_a_rate_as_its_refusal_advises(fit):
    module = Seq2Seq(1, 1, hidden_size=4, tbptt=None)
    finder = LearningRateFinder(num_training_steps=30)
    trainer = fit(module, batches(40), callbacks=[finder])
    assert 1e-8 < finder.optimal_lr.suggestion() < 1
    assert module.lr == finder.optimal_lr.suggestion()
    assert trainer.optimizers[0].param_groups[0]["lr"] == module.lr
    # Lightning's finder has set the rate of that optimizer itself; that of a further fit has it from the module.
    assert fit(module, batches()).optimizers[0].param_groups[0]["lr"] == module.lr != 0.001


@pytest.mark.parametrize("tbptt", [None, TruncatedBPTT(3)])
@pytest.mark.filterwarnings("ignore:The lr scheduler dict contains the key")  # which manual optimisation ignores
def test_reduce_on_plateau_is_stepped_once_an_epoch(tbptt, fit):
    class Follows(Own):
        def configure_optimizers(self):
            optimizer = super().configure_optimizers()
            plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.1, patience=0, threshold=1.0)
            return {"optimizer": optimizer, "lr_scheduler": {"scheduler": plateau, "monitor": "val/loss"}}

    data = [(torch.randn(2, 6, 1), torch.randn(2, 6, 1))]
    trainer = fit(Follows(tbptt=tbptt, carry_state=False), data, data, epochs=3)
    assert trainer.optimizers[0].param_groups[0]["lr"] == pytest.approx(1e-4)  # no epoch is good enough


def test_lbfgs_without_tbptt_as_its_refusal_advises(fit):
    with pytest.raises(ArgumentError, match=r"LBFGS .* use tbptt=null, or Adam"):
        fit(Seq2Seq(1, 1, tbptt=TruncatedBPTT(5), optimizer=torch.optim.LBFGS), batches())
    assert fit(Seq2Seq(1, 1, hidden_size=4, optimizer=torch.optim.LBFGS), batches()).global_step == 3


def test_sparse_adam_and_float16_get_a_sentence(fit):
    with pytest.raises(ArgumentError, match=r"SparseAdam needs sparse gradients.*use Adam"):
        Seq2Seq(1, 1, optimizer=torch.optim.SparseAdam)
    with pytest.raises(ArgumentError, match=r"16-true: .* use 16-mixed or bf16-true"):
        fit(Seq2Seq(1, 1), batches(), precision="16-true")


def test_numpys_numbers_are_numbers(fit):
    module = Seq2Seq(
        np.int64(1),
        np.int32(1),
        hidden_size=np.int64(4),
        state_dropout=np.float32(0.1),
        tbptt=TruncatedBPTT(np.int64(3), np.int64(4), step_every=np.int64(2), gradient_clip_val=np.float64(0.5)),
    )
    assert fit(module, batches()).global_step == 2
