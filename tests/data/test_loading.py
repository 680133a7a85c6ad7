import pickle
from itertools import islice

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import Dataset, SequentialSampler

from rnn_lightning.data.loading import EpochSampler, EvaluationSampler, ResumableLoader, TensorBatches, identity
from rnn_lightning.errors import ArgumentError


def dataset(n):
    return TensorBatches({"x": torch.arange(n * 6.0).reshape(n, 3, 2), "y": torch.arange(n)})


class Indices(Dataset):
    """Hands out the indices themselves, and keeps what it was asked for."""

    def __init__(self, n):
        self.n, self.asked = n, []

    def __len__(self):
        return self.n

    def __getitems__(self, indices):
        self.asked.append(indices)
        return {"y": torch.tensor(indices)}


def loader(n=23, batch_size=4, num_workers=0, sampler=None, **settings):
    data = Indices(n)
    sampler = sampler or EpochSampler(data, **settings)
    return ResumableLoader(
        data,
        batch_size=batch_size,
        sampler=sampler,
        collate_fn=identity,
        num_workers=num_workers,
        persistent_workers=num_workers > 0,
        generator=torch.Generator(),
    )


def seen(batches):
    return [batch["y"].tolist() for batch in batches]


def test_a_batch_equals_indexing_and_one_sample_its_row():
    data = dataset(9)
    batch = data.__getitems__([3, 0, 8, 3])
    assert torch.equal(batch["x"], data.tensors["x"][[3, 0, 8, 3]])
    assert batch["y"].tolist() == [3, 0, 8, 3]
    assert torch.equal(data[5]["x"], data.tensors["x"][5])


@pytest.mark.parametrize("tensors", [{}, {"x": torch.zeros(3), "y": torch.zeros(4)}], ids=["none", "unequal"])
def test_tensors_that_do_not_fit_are_refused(tensors):
    with pytest.raises(ArgumentError, match="first dimension"):
        TensorBatches(tensors)


def test_dataset_and_collate_pickle_for_workers_that_are_spawned():
    copy, collate = pickle.loads(pickle.dumps((dataset(3), identity)))
    assert collate(copy.__getitems__([1]))["y"].tolist() == [1]


@given(n=st.integers(1, 60), world=st.integers(1, 7), epoch=st.integers(0, 3), seed=st.integers(0, 5))
def test_training_ranks_are_equally_long_and_together_complete(n, world, epoch, seed):
    ranks = []
    for rank in range(world):
        sampler = EpochSampler(dataset(n), world, rank, seed)
        sampler.set_epoch(epoch)
        ranks.append(list(sampler))
        assert len(ranks[-1]) == len(sampler) == -(-n // world)
    everything = [index for turn in zip(*ranks, strict=True) for index in turn]
    assert sorted(everything[:n]) == list(range(n))  # each once; what comes after only evens the ranks out
    assert everything[n:] == [everything[i % n] for i in range(len(everything) - n)]


def test_training_order_depends_on_seed_and_epoch_and_on_nothing_else():
    def order(seed, epoch):
        sampler = EpochSampler(dataset(50), seed=seed)
        sampler.set_epoch(epoch)
        torch.rand(3)  # the global generator has no say
        return tuple(sampler)

    orders = {(seed, epoch): order(seed, epoch) for seed in range(4) for epoch in range(4)}
    assert len(set(orders.values())) == 16  # also (0, 1) and (1, 0) differ
    assert order(2, 3) == orders[2, 3]


@given(n=st.integers(1, 40), world=st.integers(1, 5), epoch=st.integers(0, 10**6))
def test_new_samples_run_on_from_epoch_to_epoch(n, world, epoch):
    n = n * world
    ranks = [EpochSampler(dataset(n), world, rank, new_each_epoch=True) for rank in range(world)]
    for sampler in ranks:
        sampler.set_epoch(epoch)
    assert sorted(index for sampler in ranks for index in sampler) == list(range(epoch * n, (epoch + 1) * n))


@given(n=st.integers(1, 60), world=st.integers(1, 60))
def test_evaluation_sees_each_sample_once_over_all_ranks(n, world):
    if n < world:
        with pytest.raises(ArgumentError, match=r"trainer\.devices"):
            EvaluationSampler(dataset(n), world)
        return
    ranks = [EvaluationSampler(dataset(n), world, rank) for rank in range(world)]
    assert sorted(index for sampler in ranks for index in sampler) == list(range(n))
    for rank, sampler in enumerate(ranks):
        assert list(sampler) == list(range(rank, n, world))
        assert len(sampler) == len(list(sampler)) > 0


def test_the_last_short_batch_is_kept():
    assert [len(y) for y in seen(loader(n=10, batch_size=4))] == [4, 4, 2]
    assert len(loader(n=10, batch_size=4)) == 3


def test_each_pass_of_a_plain_loop_is_a_new_epoch():
    twice = loader()
    first, second = seen(twice), seen(twice)
    assert first != second
    again = loader()
    again.sampler.set_epoch(1)
    assert seen(again) == second


@pytest.mark.parametrize("new_each_epoch", [False, True], ids=["shuffled", "new each epoch"])
@given(n=st.integers(1, 40), batch_size=st.integers(1, 9), world=st.integers(1, 3), data=st.data())
def test_a_resumed_loader_hands_out_what_was_left(new_each_epoch, n, batch_size, world, data):
    settings = {
        "n": n,
        "batch_size": batch_size,
        "world_size": world,
        "rank": world - 1,
        "new_each_epoch": new_each_epoch,
    }
    undisturbed = loader(**settings)
    undisturbed.sampler.set_epoch(3)
    epoch, next_epoch = seen(undisturbed), seen(undisturbed)
    stop = data.draw(st.integers(0, len(undisturbed)))

    stopped = loader(**settings)
    stopped.sampler.set_epoch(3)
    assert seen(islice(stopped, stop)) == epoch[:stop]
    state = pickle.loads(pickle.dumps(stopped.state_dict()))
    resumed = loader(**settings)
    resumed.load_state_dict(state)
    if 0 < stop < len(undisturbed):
        assert resumed.state_dict() == state
        assert seen(resumed) == epoch[stop:]
        assert seen(resumed) == next_epoch
    elif stop:  # the epoch was over
        assert seen(resumed) == next_epoch


def test_resuming_draws_nothing_of_what_was_seen():
    stopped = loader()
    next(iter(stopped))
    resumed = loader()
    resumed.load_state_dict(stopped.state_dict())
    batches = seen(resumed)
    assert resumed.dataset.asked == batches
    assert len(batches) == len(stopped) - 1 == len(resumed) - 1


def test_an_epoch_that_was_cut_short_does_not_shorten_the_next():
    stopped = loader()
    seen(islice(stopped, 2))  # as under limit_train_batches=2: the pass is not exhausted
    resumed = loader()
    resumed.load_state_dict(stopped.state_dict())
    resumed.sampler.set_epoch(1)  # Lightning knows that the epoch was over
    assert len(seen(resumed)) == len(resumed)


def test_a_sampler_that_lightning_put_in_starts_the_epoch_over():
    replaced = loader(sampler=SequentialSampler(range(23)))
    replaced.load_state_dict({"epoch": 0, "batches": 2})
    assert seen(replaced)[0] == [0, 1, 2, 3]
    assert replaced.state_dict() == {"epoch": 0, "batches": 6}


def test_iter_draws_nothing_before_the_first_next():
    lazy = loader()
    batches = iter(lazy)
    lazy.sampler.set_epoch(5)
    other = loader()
    other.sampler.set_epoch(5)
    assert seen(batches) == seen(other)


def test_workers_give_the_same_batches_also_when_resumed():
    alone, workers = loader(), loader(num_workers=2)
    assert seen(workers) == seen(alone)
    next(iter(workers))
    resumed = loader(num_workers=2)
    resumed.load_state_dict(workers.state_dict())  # the workers ran ahead, the state has not
    assert seen(resumed) == seen(alone)[1:]
