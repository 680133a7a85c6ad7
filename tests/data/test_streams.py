"""One long sequence in parallel rows: every step once, each row in order, on any number of processes."""

import pickle

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rnn_lightning import ArgumentError
from rnn_lightning.data import ArrayStream, EpochSampler, EvaluationSampler, StreamBatches


def rows_of(dataset, world, rows, sampler=EvaluationSampler):
    """What each process is shown, row by row: a list for each process of lists of y, and of each x."""
    parts = []
    for rank in range(world):
        options = {"new_each_epoch": True} if sampler is EpochSampler else {}
        indices = list(sampler(dataset, world, rank, **options))
        shown = [([], []) for _ in range(rows)]
        for start in range(0, len(indices), rows):
            batch = dataset.__getitems__(indices[start : start + rows])
            assert len(batch["x"]) == rows, "all batches have all rows"
            lengths = batch.get("lengths", torch.full((rows,), batch["x"].shape[1]))
            for row, length in enumerate(lengths.tolist()):
                assert length >= 1
                shown[row][0].extend(batch["x"][row, :length].tolist())
                shown[row][1].extend(batch["y"][row, :length].tolist())
        parts.append(shown)
    return parts


@settings(deadline=None)
@given(st.integers(1, 60), st.integers(1, 9), st.integers(1, 3), st.integers(1, 3), st.sampled_from([0, 1]))
def test_every_target_is_shown_once_and_each_row_in_order(count, n_steps, rows, world, ahead):
    values = np.arange(count + ahead)
    if count < rows * world:
        with pytest.raises(ArgumentError, match="cannot be divided among"):
            StreamBatches(values, values, n_steps, rows * world, ahead=ahead)
        return
    dataset = StreamBatches(values, values, n_steps, rows * world, ahead=ahead)
    for sampler in (EvaluationSampler, EpochSampler):
        shown = [row for part in rows_of(dataset, world, rows, sampler) for row in part]
        assert sorted(y for _, row in shown for y in row) == list(range(ahead, count + ahead))
        for x, y in shown:
            assert y == list(range(y[0], y[0] + len(y)))
            assert x == [value - ahead for value in y]


def test_epochs_are_alike_and_batches_keep_to_n_steps():
    values = np.arange(101)
    dataset = StreamBatches(values, values, 7, 3, ahead=1)
    batches = [dataset.__getitems__([3 * i, 3 * i + 1, 3 * i + 2]) for i in range(2 * dataset.batches)]
    assert all(b["x"].shape == (3, 7) for i, b in enumerate(batches) if (i + 1) % dataset.batches)
    for first, second in zip(batches, batches[dataset.batches :], strict=False):
        assert torch.equal(first["y"], second["y"])


@pytest.mark.parametrize("order", ["C", "F"])
def test_a_memory_map_goes_to_other_processes_by_its_name(order, tmp_path):
    values = np.random.default_rng(0).normal(size=(100_000, 2)).astype(np.float32, order=order)
    np.save(tmp_path / "x.npy", values)
    x = np.load(tmp_path / "x.npy", mmap_mode="r")
    dataset = StreamBatches(x, x, 5, 2, ahead=1)
    sent = pickle.dumps(dataset)
    assert len(sent) < 2_000
    again = pickle.loads(sent)
    for key, value in dataset.__getitems__([4, 5]).items():
        assert torch.equal(value, again.__getitems__([4, 5])[key])
    part = StreamBatches(x[10:], x[10:], 5, 2)  # whose place in the file is not known: it goes as it is
    assert torch.equal(pickle.loads(pickle.dumps(part)).__getitems__([0])["x"], part.__getitems__([0])["x"])


def test_arrays_are_cut_in_time():
    x, y = np.random.default_rng(0).normal(size=(100, 3)), np.arange(100.0)
    data = ArrayStream(x, y, n_steps=10, batch_size=2, val=0.2, test=0.1)
    data.setup()
    assert (data.input_size, data.output_size, data.contiguous) == (3, 1, True)
    targets = {part: [] for part in ("train", "val", "test")}
    for part, found in targets.items():
        for batch in getattr(data, f"{part}_dataloader")():
            assert batch["x"].dtype == batch["y"].dtype == torch.float32
            found.extend(batch["y"].flatten().tolist())
    assert sorted(targets["train"]) == list(range(70))
    assert sorted(targets["val"]) == list(range(70, 90))
    assert sorted(targets["test"]) == list(range(90, 100))


def test_parts_may_be_empty():
    data = ArrayStream(np.arange(100.0)[:, None], n_steps=10, batch_size=2, val=0, test=0)
    data.setup()
    assert list(data.datasets) == ["train"]


def test_without_targets_the_next_input_is_the_target():
    data = ArrayStream(np.arange(50) % 7, n_steps=6, batch_size=3)
    data.setup()
    assert (data.input_size, data.output_size, data.predicts_next_input) == (7, 7, True)
    for batch in data.train_dataloader():
        lengths = batch.get("lengths", torch.tensor([batch["x"].shape[1]] * 3))
        for row, length in enumerate(lengths):
            assert torch.equal(batch["y"][row, : length - 1], batch["x"][row, 1:length])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"x": np.zeros((5, 2, 2))}, "x has type"),
        ({"x": np.array(["a"])}, "x has type"),
        ({"x": []}, "x has type"),
        ({"x": np.zeros(5)}, r"x\[:, None\]"),
        ({"x": np.zeros((5, 1)), "y": np.zeros(4)}, "x has 5 steps, but y has 4"),
        ({"x": np.zeros((5, 1)), "val": 0.6, "test": 0.5}, "leave a part to train on"),
        ({"x": np.zeros((5, 1)), "val": -0.1}, "shares of 0 or more"),
        ({"x": np.zeros((5, 1)), "val": None}, "val=None"),
        ({"x": np.zeros((5, 1)), "test": np.nan}, "test=nan"),
        ({"x": np.zeros((5, 1)), "n_steps": 0}, "n_steps"),
        ({"x": np.zeros((5, 1)), "output_size": 0}, "output_size=0"),
    ],
    ids=[
        "dimensions",
        "texts",
        "empty",
        "no features",
        "unequal",
        "nothing left",
        "below 0",
        "none",
        "nan",
        "no steps",
        "no outputs",
    ],
)
def test_arrays_that_do_not_fit_are_one_line(arguments, words):
    with pytest.raises(ArgumentError, match=words) as error:
        ArrayStream(**arguments)
    assert "\n" not in str(error.value)
