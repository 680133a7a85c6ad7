"""Two processes read own data: each value once, no row twice, and a row's next batch goes on where it was."""

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
import torch

from rnn_lightning.data import ArrayStream, SequenceArrays, TextStream, TimeSeries

N = 400


def text(folder):
    (folder / "text.txt").write_text("".join(chr(0x4E00 + i) for i in range(N)))  # each character once
    fitted = {"level": "characters", "vocabulary": (folder / "text.txt").read_text()}
    return TextStream(folder / "text.txt", n_steps=10, batch_size=3, val=0.2, test=0.2, fitted=fitted)


def array(folder):
    return ArrayStream(np.arange(float(N))[:, None], n_steps=10, batch_size=3, val=0.2, test=0.2)


def series(folder, **arguments):
    table = pd.DataFrame({"t": range(N), "y": np.arange(float(N))})
    plain = {"difference": "none", "scale": "none", "val": 0.2, "test": 0.2, "n_steps": 10, "batch_size": 3}
    return TimeSeries(table, target="y", time="t", **plain, **arguments)


def in_order(folder):
    return series(folder, stream=True)


def arrays(folder):
    x = np.arange(float(N))[:, None, None] + np.zeros((1, 4, 1))
    np.savez(folder / "own.npz", x=x, y=np.arange(float(N)), lengths=np.arange(N) % 4 + 1)
    return SequenceArrays(folder / "own.npz", batch_size=3)


def of_ranks(make, folder, part, world=2):
    """The batches of each process."""
    found = []
    for rank in range(world):
        data = make(folder)
        data.__class__ = type("Ranked", (type(data),), {"world_size": world, "rank": rank})
        data.setup()
        found.append(list(getattr(data, f"{part}_dataloader")()))
    return found


def counted(batch):
    """(B, T) bool, the steps whose target counts."""
    y = batch["y"]
    lengths = batch.get("lengths", torch.full((len(y),), y.shape[1]))
    inside = torch.arange(y.shape[1]) < lengths[:, None]
    return inside & batch["mask"].view(y.shape[:2]) if "mask" in batch else inside


@pytest.mark.parametrize("part", ["train", "val", "test"])
@pytest.mark.parametrize("make", [text, array, in_order])
def test_streams_are_shared(make, part, tmp_path):
    (alone,) = of_ranks(make, tmp_path, part, world=1)
    values = lambda batch: batch["y"].reshape(batch["y"].shape[:2])[counted(batch)].tolist()  # noqa: E731
    everything = sorted(value for batch in alone for value in values(batch))
    ranks = of_ranks(make, tmp_path, part)
    shown = [{value for batch in batches for value in values(batch)} for batches in ranks]
    assert not shown[0] & shown[1], "no value is read twice"
    assert len(ranks[0]) == len(ranks[1])
    assert all(len(batch["x"]) == 3 for batches in ranks for batch in batches), "a carried state needs all rows"
    if part == "train" or make is not in_order:  # held-out ranges of a series read the values before them again
        for batches in ranks:
            for before, after in pairwise(batches):
                goes_on = after["x"].reshape(after["x"].shape[:2])[:, 0] == before["y"].reshape(3, -1)[:, -1]
                assert bool((goes_on | ~counted(after)[:, 0]).all())
    assert sorted(shown[0] | shown[1]) == everything


@pytest.mark.parametrize("make", [series, arrays])
def test_samples_are_shared(make, tmp_path):
    """In training, one more or less is made even by a repeated one."""
    for part in ("train", "val", "test"):
        ranks = of_ranks(make, tmp_path, part)
        first, second = ([float(x[0].flatten()[0]) for batch in batches for x in batch["x"]] for batches in ranks)
        (alone,) = of_ranks(make, tmp_path, part, world=1)
        assert set(first) | set(second) == {float(x[0].flatten()[0]) for batch in alone for x in batch["x"]}
        assert len(set(first) & set(second)) <= (1 if part == "train" else 0)
        assert abs(len(first) - len(second)) <= (0 if part == "train" else 1)
