"""What the adding problem and the copy task have in common: fresh training sequences, fixed held-out ones."""

import pytest
import torch

from rnn_lightning.data import AddingProblem, CopyMemory
from rnn_lightning.errors import ArgumentError
from rnn_lightning.models import Seq2Vec

TASKS = [AddingProblem, CopyMemory]
both = pytest.mark.parametrize("task", TASKS)


def made(task, **settings):
    data = task(**{"steps_per_epoch": 6, "eval_sequences": 30, "batch_size": 10, **settings})
    data.setup("fit")
    return data


def epoch(data, number=0):
    loader = data.train_dataloader()
    loader.sampler.set_epoch(number)
    return torch.cat([batch["x"].flatten(1) for batch in loader])


@both
def test_training_sequences_are_fresh_in_every_step_and_epoch(task):
    x = torch.cat([epoch(made(task), number) for number in range(3)])
    assert len(x) == len(x.unique(dim=0)) == 180


@both
@pytest.mark.parametrize("other", [{"batch_size": 5, "steps_per_epoch": 12}, {"num_workers": 2}], ids=str)
def test_they_depend_on_neither_batch_size_nor_workers(task, other):
    assert torch.equal(epoch(made(task), 1), epoch(made(task, **other), 1))


@both
def test_they_depend_on_the_seed_and_the_fixed_sets_do_not(task, monkeypatch):
    one, two = made(task, seed=1), made(task, seed=2)
    assert torch.equal(epoch(one), epoch(made(task, seed=1)))
    assert not torch.equal(epoch(one), epoch(two))
    for loader in ("val_dataloader", "test_dataloader", "predict_dataloader"):
        for a, b in zip(getattr(one, loader)(), getattr(two, loader)(), strict=True):
            assert torch.equal(a["x"], b["x"])
            assert torch.equal(a["y"], b["y"])
    monkeypatch.setenv("PL_GLOBAL_SEED", "2")
    assert torch.equal(epoch(made(task)), epoch(two))


@both
def test_the_sets_have_no_sequence_in_common(task):
    data = made(task, eval_sequences=60)
    sets = [data.datasets[split].__getitems__(list(range(60)))["x"].flatten(1) for split in ("train", "val", "test")]
    assert len(torch.cat(sets).unique(dim=0)) == 180


@both
def test_a_batch_is_made_of_its_samples(task):
    dataset = made(task).datasets["train"]
    batch = dataset.__getitems__([3, 59, 7])
    for row, index in enumerate([3, 59, 7]):
        assert all(torch.equal(dataset[index][name], batch[name][row]) for name in ("x", "y"))


@both
def test_two_processes_share_what_one_would_see(task):
    def seen(world, rank):
        data = made(task, batch_size=20 // world)
        data.trainer = type("T", (), {"world_size": world, "global_rank": rank})
        data.setup("fit")
        return torch.cat([batch["x"] for batch in data.train_dataloader()])

    alone = seen(1, 0)
    assert torch.equal(seen(2, 0), alone[0::2])
    assert torch.equal(seen(2, 1), alone[1::2])


@both
def test_a_resumed_loader_goes_on_where_it_was(task):
    whole = [batch["x"] for batch in made(task).train_dataloader()]
    loader = made(task).train_dataloader()
    batches = iter(loader)
    for _ in range(4):
        next(batches)
    again = made(task).train_dataloader()
    again.load_state_dict(loader.state_dict())
    for a, b in zip(again, whole[4:], strict=True):
        assert torch.equal(a["x"], b)


@both
def test_sizes_and_lengths(task):
    data = made(task, batch_size=8, steps_per_epoch=3, eval_sequences=20, eval_batch_size=16)
    assert [len(batch["y"]) for batch in data.train_dataloader()] == [8, 8, 8]
    assert [len(batch["y"]) for batch in data.val_dataloader()] == [16, 4]
    assert [len(batch["y"]) for batch in data.test_dataloader()] == [16, 4]
    assert [len(batch["y"]) for batch in data.predict_dataloader()] == [10]
    for batch in data.train_dataloader():
        assert batch["x"].shape[2] == data.input_size


@pytest.mark.parametrize(
    ("task", "settings", "words"),
    [
        (AddingProblem, {"n_steps": 1}, "n_steps=1: give an integer of at least 2"),
        (CopyMemory, {"delay": 0}, "delay=0: give an integer of at least 1"),
        (CopyMemory, {"n_symbols": 1}, "n_symbols=1: give an integer of at least 2"),
        (CopyMemory, {"n_recall": 2.0}, "n_recall=2.0: give an integer"),
        *[
            (task, {name: 0}, f"{name}=0: give an integer of at least 1")
            for task in TASKS
            for name in ("steps_per_epoch", "eval_sequences")
        ],
    ],
)
def test_bad_values_are_refused_at_construction(task, settings, words):
    with pytest.raises(ArgumentError, match=words) as caught:
        task(**settings)
    assert "\n" not in str(caught.value)


def test_a_gru_learns_a_short_adding_problem(silent_trainer):
    """From nothing to a tenth of the error of whoever always answers 1."""
    torch.manual_seed(0)
    data = AddingProblem(n_steps=10, steps_per_epoch=200, eval_sequences=500, eval_batch_size=500, seed=0)
    model = Seq2Vec(2, 1, task="regression", cell="gru", hidden_size=32, init="glorot", optimizer=fast_adam)
    trainer = silent_trainer(max_epochs=1, num_sanity_val_steps=0)
    trainer.fit(model, data)
    assert trainer.callback_metrics["val/loss"] < data.baseline / 10


def fast_adam(parameters):
    return torch.optim.Adam(parameters, lr=0.01)
