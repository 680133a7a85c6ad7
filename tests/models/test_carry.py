"""A state that goes on from batch to batch."""

import pytest
import torch
from lightning.pytorch import LightningDataModule, Trainer
from torch.utils.data import DataLoader

from rnn_lightning import ArgumentError
from rnn_lightning.data import SyntheticSine
from rnn_lightning.models import Seq2Seq, TruncatedBPTT
from rnn_lightning.models.carry import CarriedStates


def seq2seq(cell="lstm", **arguments):
    torch.manual_seed(1)
    lr = arguments.pop("lr", 0.05)
    return Seq2Seq(
        1, 1, cell=cell, hidden_size=4, num_layers=2, optimizer=lambda p: torch.optim.SGD(p, lr), **arguments
    ).double()


def stream(rows=3, steps=24, seed=0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    x, y = (torch.randn(rows, steps, 1, generator=generator, dtype=torch.float64) for _ in range(2))
    return x, y


def pieces(x, y, length, **more):
    return [{"x": a, "y": b, **more} for a, b in zip(x.split(length, 1), y.split(length, 1), strict=True)]


@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
def test_a_stream_of_batches_is_truncated_bptt_over_the_whole(cell, fit):
    x, y = stream()
    streamed, chunked = seq2seq(cell, carry_state=True), seq2seq(cell, tbptt=TruncatedBPTT(6))
    fit(streamed, pieces(x, y, 6), epochs=2, precision="64-true")
    fit(chunked, [{"x": x, "y": y}], epochs=2, precision="64-true")
    for a, b in zip(streamed.parameters(), chunked.parameters(), strict=True):
        torch.testing.assert_close(a, b)
    alone = seq2seq(cell)
    fit(alone, pieces(x, y, 6), epochs=2, precision="64-true")
    assert not torch.equal(alone.net.head.weight, streamed.net.head.weight)


def test_chunks_within_a_stream(fit):
    x, y = stream()
    streamed, chunked = (seq2seq(carry_state=carry, tbptt=TruncatedBPTT(4)) for carry in (True, False))
    fit(streamed, pieces(x, y, 8), precision="64-true")
    fit(chunked, [{"x": x, "y": y}], precision="64-true")
    for a, b in zip(streamed.parameters(), chunked.parameters(), strict=True):
        torch.testing.assert_close(a, b)


def test_validation_carries_a_state_of_its_own_and_begins_anew(fit):
    x, y = stream()
    module = seq2seq(carry_state=True, lr=0.0)
    trainer = fit(module, pieces(*stream(seed=1), 6), pieces(x, y, 6), epochs=2, precision="64-true")
    whole = (module.eval()(x)[0] - y).square().mean().item()
    assert trainer.callback_metrics["val/loss"].item() == pytest.approx(whole, rel=1e-6)


def test_a_reset_row_begins_with_a_zero_state(fit):
    x, y = stream()
    reset = torch.tensor([False, True, False])
    batches = pieces(x, y, 12)
    batches[1]["reset"] = reset
    module = seq2seq(carry_state=True, lr=0.0)
    loss = fit(module, batches, batches, precision="64-true").callback_metrics["val/loss"].item()
    module.eval()
    first, state = module(x[:, :12])
    state = tuple(torch.where(reset[:, None], torch.zeros_like(s), s) for s in state)
    second, _ = module(x[:, 12:], state)
    assert loss == pytest.approx((torch.cat((first, second), 1) - y).square().mean().item(), rel=1e-6)


@pytest.mark.parametrize("tbptt", [None, TruncatedBPTT(4, 6)])
def test_variational_masks_are_drawn_anew_for_each_batch_and_stay_within_it(tbptt, fit):
    module, seen = seq2seq(carry_state=True, state_dropout=0.5, variational=True, tbptt=tbptt), []
    chunk_step = module.chunk_step
    module.chunk_step = lambda chunk, state: (
        seen.append(chunk["masks"].layers[1].state.keep) or chunk_step(chunk, state)
    )
    fit(module, pieces(*stream(), 12), precision="64-true")
    half = len(seen) // 2  # two batches
    assert half == (1 if tbptt is None else 5)
    for masks in (seen[:half], seen[half:]):
        assert all(torch.equal(masks[0], mask) for mask in masks)
    assert not torch.equal(seen[0], seen[half])


def test_more_rows_than_before_are_an_error(fit):
    batches = pieces(*stream(rows=2), 12) + pieces(*stream(), 12)
    with pytest.raises(ArgumentError, match=r"3 rows, but the previous one had 2"):
        fit(seq2seq(carry_state=True), batches, precision="64-true")


@pytest.mark.parametrize("cell", ["gru", "lstm"])
def test_a_short_batch_ends_the_missing_rows(cell, fit):
    x, y = stream()
    first, second = pieces(x, y, 12)
    second = {name: value[:2] for name, value in second.items()}
    module = seq2seq(cell, carry_state=True, lr=0.0)
    loss = fit(module, [first], [first, second], precision="64-true").callback_metrics["val/loss"].item()
    y_hat = module.eval()(x)[0]
    errors = (y_hat - y).square()
    assert loss == pytest.approx(((errors.sum() - errors[2, 12:].sum()) / (3 * 24 - 12)).item(), rel=1e-6)


@pytest.mark.parametrize("dropout", [{}, {"state_dropout": 0.3, "variational": True}])
def test_the_carried_state_is_in_the_checkpoint(dropout, fit, tmp_path):
    module = seq2seq(carry_state=True, **dropout)
    trainer = fit(module, pieces(*stream(), 12), precision="64-true")
    trainer.save_checkpoint(tmp_path / "a.ckpt")
    loaded = CarriedStates()
    (rank,) = torch.load(tmp_path / "a.ckpt", weights_only=True)["ranks"]
    loaded.load_state_dict(rank["carried"])
    state, again = (carried.take("train", 3) for carried in (module.carried, loaded))
    assert len(state) == 2
    assert all(torch.equal(a, b) for a, b in zip(state, again, strict=True))


def test_data_that_is_not_contiguous_is_refused():
    with pytest.raises(ArgumentError, match="SyntheticSine is not contiguous"):
        Trainer(logger=False, enable_checkpointing=False).fit(seq2seq(carry_state=True), SyntheticSine())


@pytest.mark.parametrize("word", [None, "loader", "dataset"])
def test_own_loaders_must_say_that_their_rows_go_on(word):
    class Pieces(list):
        pass

    def loader():
        made = DataLoader(Pieces(pieces(*stream(), 12)), batch_size=None)
        for name, part in (("loader", made), ("dataset", made.dataset)):
            if word == name:
                part.contiguous = True
        return made

    quiet = {"enable_progress_bar": False, "enable_model_summary": False, "logger": False}
    module = seq2seq(carry_state=True)
    trainer = Trainer(max_epochs=1, enable_checkpointing=False, precision="64-true", accelerator="cpu", **quiet)
    runs = [
        lambda: trainer.fit(module, loader()),
        lambda: trainer.validate(module, loader(), verbose=False),
        lambda: trainer.test(module, [loader(), loader()], verbose=False),
        lambda: trainer.predict(module, loader()),
    ]
    for run in runs:
        if word is None:
            with pytest.raises(
                ArgumentError, match="set contiguous = True on its dataset if they do, else set carry_state=false"
            ):
                run()
        elif word == "dataset":  # for predict, Lightning makes a loader of its own
            run()
    if word == "loader":
        runs[0]()


def test_contiguous_data_is_taken():
    class Stream(LightningDataModule):
        contiguous = True

        def train_dataloader(self):
            return DataLoader(pieces(*stream(), 12), batch_size=None)

    quiet = {"enable_progress_bar": False, "enable_model_summary": False}
    trainer = Trainer(max_epochs=1, logger=False, enable_checkpointing=False, precision="64-true", **quiet)
    trainer.fit(seq2seq(carry_state=True), Stream())
    assert trainer.global_step == 2
