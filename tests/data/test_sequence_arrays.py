"""`SequenceArrays`: what an array file may hold, how it is split, and what is refused."""

import io
import zipfile

import numpy as np
import pytest
import torch

from rnn_lightning import ArgumentError
from rnn_lightning.data import SequenceArrays

N, T = 60, 9


def arrays(**more):
    rng = np.random.default_rng(0)
    lengths = rng.integers(2, T + 1, N)
    x = rng.normal(size=(N, T, 3))
    x[np.arange(T) >= lengths[:, None]] = np.nan  # what is past a length is not looked at
    return {"x": x, "y": np.arange(N) % 4, "lengths": lengths, **more}


@pytest.fixture
def file(tmp_path):
    def write(**content):
        path = tmp_path / "own.npz"
        np.savez(path, **{name: value for name, value in content.items() if value is not None})
        return path

    return write


def shown(data, part):
    data.setup()
    return [row for batch in getattr(data, f"{part}_dataloader")() for row in rows_of(batch)]


def rows_of(batch):
    lengths = batch.get("lengths", torch.full((len(batch["x"]),), batch["x"].shape[1]))
    assert batch["x"].shape[1] == lengths.max()
    return [(x[:n].numpy(), y.numpy()) for x, y, n in zip(batch["x"], batch["y"], lengths, strict=True)]


def test_without_a_split_classes_are_in_equal_shares_and_always_the_same(file):
    given = arrays()
    path = file(**given)
    data, again = SequenceArrays(path, val=0.25, test=0.25), SequenceArrays(path, val=0.25, test=0.25, seed=5)
    assert (data.task, data.input_size, data.output_size, data.classes) == ("classification", 3, 4, [0, 1, 2, 3])
    everything = []
    for part, size in (("train", 32), ("val", 12), ("test", 16)):
        rows = shown(data, part)
        everything += rows
        counts = np.bincount([int(y) for _, y in rows])
        assert counts.max() - counts.min() <= 1
        assert len(rows) == pytest.approx(size, abs=4)
        key = lambda row: row[0].sum()  # noqa: E731
        for (x, y), (x2, y2) in zip(sorted(rows, key=key), sorted(shown(again, part), key=key), strict=True):
            np.testing.assert_array_equal(x, x2)
            assert y == y2
    expected = sorted(given["x"][i, :n].sum() for i, n in enumerate(given["lengths"]))
    assert sorted(x.sum() for x, _ in everything) == pytest.approx(expected, rel=1e-4)


def test_the_files_own_split_is_kept_and_a_missing_validation_is_cut_from_the_training(file):
    split = np.array(["train"] * 40 + ["test"] * 20)
    given = arrays(split=split)
    data = SequenceArrays(file(**given), val=0.2)
    found = [x for x, _ in shown(data, "test")]
    for x, i in zip(found, range(40, 60), strict=True):
        np.testing.assert_allclose(x, given["x"][i, : given["lengths"][i]], rtol=1e-6)
    assert (len(shown(data, "train")), len(shown(data, "val"))) == (32, 8)
    split[30:40] = "val"
    data = SequenceArrays(file(**arrays(split=split)))
    assert [len(shown(data, part)) for part in ("train", "val", "test")] == [30, 10, 20]


def test_texts_are_classes_and_travel(file):
    names = np.array(["up", "down", "left"])[np.arange(N) % 3]
    data = SequenceArrays(file(**arrays(y=names)))
    assert data.classes == ["down", "left", "up"]
    few = names == "up"
    other = SequenceArrays(file(**{k: v[few] for k, v in arrays(y=names).items()}), fitted=data.fitted_values)
    assert other.output_size == 3
    assert {int(y) for _, y in shown(other, "test")} == {2}
    with pytest.raises(ArgumentError, match="2 features per step, but the network was trained on 3"):
        SequenceArrays(file(**arrays(x=np.zeros((N, T, 2)), y=names)), fitted=data.fitted_values)


@pytest.mark.parametrize("shape", [(N,), (N, 2), (N, T, 2)])
def test_values(shape, file):
    given = arrays(y=np.random.default_rng(1).normal(size=shape))
    if len(shape) == 3:
        given["y"][np.isnan(given["x"][..., :2])] = np.nan
    data = SequenceArrays(file(**given))
    assert data.task == "regression"
    assert data.output_size == (1 if len(shape) == 1 else 2)
    for x, y in shown(data, "train"):
        assert np.isfinite(y).all()
        assert len(shape) < 3 or len(y) >= len(x)


@pytest.mark.parametrize("kind", ["classes", "values", "values a step"])
def test_the_baseline_is_what_always_the_same_answer_reaches(kind, file):
    rng = np.random.default_rng(2)
    y = {
        "classes": rng.integers(0, 3, N) % 2,
        "values": rng.normal(size=(N, 2)),
        "values a step": rng.normal(size=(N, T, 1)),
    }
    data = SequenceArrays(file(**arrays(y=y[kind])), val=0.2, test=0.3)
    train, test = ([y[: len(x)] if kind.endswith("step") else y for x, y in shown(data, p)] for p in ("train", "test"))
    if kind == "classes":
        most = np.bincount(np.array(train)).argmax()
        assert data.baseline == {"test/acc": pytest.approx(np.mean(np.array(test) == most))}
        return
    train, test = (np.concatenate([np.atleast_2d(y) for y in part]) for part in (train, test))
    errors = test - train.mean(axis=0)
    assert data.baseline["test/loss"] == pytest.approx(np.square(errors).mean(), rel=1e-5)
    assert data.baseline["test/mae"] == pytest.approx(np.abs(errors).mean(), rel=1e-5)


@pytest.mark.parametrize("what", ["x", "y", "lengths"])
def test_the_test_part_changes_no_training_batch(what, file):
    split = np.array(["train"] * 30 + ["val"] * 10 + ["test"] * 20)
    given = arrays(split=split)
    data = SequenceArrays(file(**given))
    changed = given[what].copy()
    changed[40:] = 2 if what == "lengths" else changed[40:][::-1]
    other = SequenceArrays(file(**{**given, what: changed, "x": np.nan_to_num(changed if what == "x" else given["x"])}))
    for part in ("train", "val"):
        for (x, y), (x2, y2) in zip(shown(data, part), shown(other, part), strict=True):
            np.testing.assert_array_equal(x, x2)
            assert y == y2


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"y": None}, "has no array y; its arrays are: lengths, x"),
        ({"x": np.zeros((N, T))}, r"give numbers \(sequences, steps, features\)"),
        ({"y": np.zeros(N - 1)}, "y has type float64 and shape"),
        ({"y": np.zeros((N, T + 1), dtype=int)}, "y has type int64 and shape"),
        ({"y": np.full(N, np.nan)}, "y has NaN or infinity in sequence 0"),
        ({"lengths": np.ones(3, dtype=int)}, "one whole number for each sequence"),
        ({"lengths": np.full(N, T + 1)}, f"sequence 0 has length {T + 1}"),
        ({"lengths": None}, "x has NaN or infinity in sequence"),
        ({"split": np.full(N, "dev")}, "split has 'dev': it must say train, val or test"),
        ({"split": np.full((N, 1), "test")}, r"split has shape \(60, 1\)"),
        ({"x": np.full((N, T, 3), 1e39)}, "x has a value beyond float32 in sequence 0, step 0"),
        ({"y": np.where(np.arange(N) == 5, 1e39, 1.0)}, "y has a value beyond float32 in sequence 5"),
        ({"y": np.zeros(N, dtype=int)}, "only one class, 0"),
        ({"lengths": np.full(N, 3.0)}, "lengths has type float64"),
        ({"split": np.full(N, "train")}, "no sequence is left for test"),
        ({"split": np.where(np.arange(N) % 4 == 3, "test", "train")}, "the class 3 is not in the training part"),
        ({"x": np.array([{}] * N)}, r"not an .npz file of plain arrays \(Python objects are not read\): write"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_bad_files_are_one_line(change, words, file):
    with pytest.raises(ArgumentError, match=words) as error:
        SequenceArrays(file(**arrays(**change)), val=0.3)
    assert "\n" not in str(error.value)


def test_values_of_another_fit_are_one_line(file):
    data = SequenceArrays(file(**arrays()))
    for content, fitted, words in (
        (arrays(), {"kind": "series"}, "the kind 'series', but SequenceArrays needs 'arrays'"),
        (arrays(y=np.zeros((N, 2))), data.fitted_values, "y has values, but the network was trained on classes"),
    ):
        with pytest.raises(ArgumentError, match=words):
            SequenceArrays(file(**content), fitted=fitted)


def test_files_that_are_none_are_one_line(tmp_path):
    for path in (tmp_path, "a" * 5000):
        with pytest.raises(ArgumentError, match="there is no such file"):
            SequenceArrays(path)
    with pytest.raises(ArgumentError, match="val=high: give a share"):
        SequenceArrays(tmp_path, val="high")
    with zipfile.ZipFile(tmp_path / "large.npz", "w") as archive:  # a header that promises 24 petabytes
        header = io.BytesIO()
        shape = {"descr": "<f8", "fortran_order": False, "shape": (10**9, 10**6, 3)}
        np.lib.format.write_array_header_1_0(header, shape)
        archive.writestr("x.npy", header.getvalue())
    with pytest.raises(ArgumentError, match="Unable to allocate"):
        SequenceArrays(tmp_path / "large.npz")
    with pytest.raises(ArgumentError, match="there is no such file"):
        SequenceArrays(tmp_path / "nowhere.npz")
    (tmp_path / "a.npz").write_text("x,y\n1,2\n")
    with pytest.raises(ArgumentError, match="of plain arrays"):
        SequenceArrays(tmp_path / "a.npz")
    np.save(tmp_path / "a.npy", np.zeros(3))
    with pytest.raises(ArgumentError, match="has no array x and y"):
        SequenceArrays(tmp_path / "a.npy")


def test_other_files_in_the_archive_are_no_arrays(file):
    path = file(**arrays())
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("readme.txt", "where they come from")
    assert SequenceArrays(path).input_size == 3
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x", "text")
        archive.writestr("y", "text")
    with pytest.raises(ArgumentError, match="has no array x and y"):
        SequenceArrays(path)
