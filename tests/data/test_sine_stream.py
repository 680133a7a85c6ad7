"""Rows that go on from batch to batch."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rnn_lightning import ArgumentError
from rnn_lightning.data import SineStream, SyntheticSine
from rnn_lightning.data.loading import EpochSampler
from rnn_lightning.data.sine import StreamDataset, time_series


def stream(**arguments):
    data = SineStream(**{"n_steps": 7, "batch_size": 4, "steps_per_epoch": 25, **arguments})
    data.setup()
    return data


@pytest.mark.parametrize("batch_size", [1, 4, 42])
def test_a_row_goes_on_where_it_ended_unless_it_is_reset(batch_size):
    data = stream(batch_size=batch_size)
    loader, before = data.train_dataloader(), None
    for epoch in range(2):  # the second epoch goes on in the series, with every row marked as new
        for number, batch in enumerate(loader):
            assert batch["x"].shape == batch["y"].shape == (batch_size, 7, 1)
            assert torch.equal(batch["x"][:, 1:], batch["y"][:, :-1])
            assert batch["reset"].all() == (number == 0 or (batch_size == 1 and bool(batch["reset"])))
            if before is not None:
                goes_on = (batch["x"][:, 0] == before["y"][:, -1]).squeeze(1)
                assert (goes_on | batch["reset"]).all()
                if not (epoch == 1 and number == 0):
                    assert torch.equal(goes_on, ~batch["reset"])
            before = batch


def test_readers_are_spread_and_begin_again_one_by_one():
    resets = torch.stack([batch["reset"] for batch in stream().train_dataloader()])  # (25, 4)
    assert resets[0].all()
    assert (resets[1:].sum(1) <= 1).all()
    assert resets[1:].any()


@pytest.mark.parametrize("split", ["val", "test"])
def test_evaluation_goes_through_points_beside_once(split):
    data = stream(eval_batch_size=1)
    batches = list(getattr(data, f"{split}_dataloader")())
    x = torch.cat([batch["x"][0, :, 0] for batch in batches])
    beside = {"val": 0.5, "test": 0.25}[split]
    t = (torch.arange(len(x), dtype=torch.float64) + beside) * 0.1
    torch.testing.assert_close(x, time_series(t).float(), rtol=0, atol=1e-5)
    assert len(x) == 299 // 7 * 7
    assert [bool(batch["reset"]) for batch in batches] == [True] + [False] * (len(batches) - 1)


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 3), st.integers(1, 3), st.integers(1, 5), st.integers(1, 6))
def test_ranks_share_the_readers(world, rows, batches, n_steps):
    dataset = StreamDataset(torch.arange(200.0), n_steps, rows * world, batches)
    parts = []
    for rank in range(world):
        sampler = EpochSampler(dataset, world, rank, new_each_epoch=True)
        indices = list(sampler)
        parts.append([dataset.__getitems__(indices[i : i + rows]) for i in range(0, len(indices), rows)])
        for a, b in zip(parts[-1], parts[-1][1:], strict=False):
            assert ((a["y"][:, -1] == b["x"][:, 0]).squeeze(1) | b["reset"]).all()
    whole = [dataset.__getitems__(list(range(i, i + rows * world))) for i in range(0, len(dataset), rows * world)]
    for number, batch in enumerate(whole):
        for rank in range(world):
            assert torch.equal(parts[rank][number]["x"], batch["x"][rank::world])


def test_the_stream_is_contiguous_and_windows_are_not():
    assert stream().contiguous
    assert not SyntheticSine().contiguous


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"batch_size": 50}, "50 readers"),
        ({"batch_size": 4, "eval_batch_size": 50}, "50 readers"),
        ({"steps_per_epoch": 0, "batch_size": 4}, "steps_per_epoch=0: give an integer of at least 1"),
        ({"t_max": 1.0}, "do not fit between"),
    ],
    ids=str,
)
def test_what_does_not_fit_is_one_line(arguments, words):
    with pytest.raises(ArgumentError, match=words) as error:
        SineStream(**arguments)
    assert "\n" not in str(error.value)
