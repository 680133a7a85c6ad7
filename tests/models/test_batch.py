import pytest
import torch

from rnn_lightning import ArgumentError
from rnn_lightning.models.batch import as_batch, cut, valid_steps

X, Y = torch.randn(3, 5, 2), torch.randn(3, 5)


def test_a_pair_is_x_and_y():
    batch = as_batch((X, Y))
    assert batch["x"] is X
    assert batch["y"] is Y
    assert as_batch([X, Y], input_size=2)["y"] is Y


def test_predicting_needs_no_targets():
    assert set(as_batch(X, needs_y=False)) == {"x"}
    assert set(as_batch({"x": X}, needs_y=False)) == {"x"}


@pytest.mark.parametrize(
    ("batch", "words"),
    [
        ({"x": X}, "needs x and y"),
        ({"y": Y}, "needs x and y"),
        ((X, Y, Y), "pair"),
        ("no batch", "pair|needs x"),
        ((X[0], Y), "shape"),
        ((X[:, :0], Y), "shape"),
        ({"x": X, "y": Y, "lengths": torch.tensor([5, 5])}, "lengths"),
        ({"x": X, "y": Y, "lengths": torch.tensor([5.0, 5.0, 5.0])}, "lengths"),
        ({"x": X, "y": Y, "lengths": torch.tensor([0, 5, 5])}, "lengths"),
        ({"x": X, "y": Y, "lengths": torch.tensor([1, 6, 5])}, "lengths"),
        ({"x": X, "y": Y, "mask": torch.ones(3, 4, dtype=torch.bool)}, "mask"),
        ({"x": X, "y": Y, "mask": torch.ones(3, 5)}, "mask"),
        ({"x": X, "y": Y, "reset": torch.ones(3)}, "reset"),
    ],
)
def test_what_does_not_fit_is_one_line(batch, words):
    with pytest.raises(ArgumentError, match=words) as error:
        as_batch(batch)
    assert "\n" not in str(error.value)


def test_features_must_fit_the_model():
    with pytest.raises(ArgumentError, match="input_size is 3"):
        as_batch((X, Y), input_size=3)


def test_cut_counts_lengths_from_its_first_step():
    lengths, mask = torch.tensor([5, 1, 3]), torch.rand(3, 5) > 0.5
    chunk = cut({"x": X, "y": Y, "mask": mask, "lengths": lengths, "name": "kept"}, 2, 4)
    assert torch.equal(chunk["x"], X[:, 2:4])
    assert torch.equal(chunk["y"], Y[:, 2:4])
    assert torch.equal(chunk["mask"], mask[:, 2:4])
    assert chunk["lengths"].tolist() == [2, 0, 1]
    assert chunk["name"] == "kept"


def test_valid_steps_joins_lengths_and_mask():
    lengths, mask = torch.tensor([5, 1, 3]), torch.rand(3, 5) > 0.5
    assert valid_steps({"x": X}) is None
    expected = torch.zeros(3, 5, dtype=torch.bool)
    for row, length in enumerate(lengths):
        expected[row, :length] = mask[row, :length]
    assert torch.equal(valid_steps({"x": X, "lengths": lengths, "mask": mask}), expected)


@pytest.mark.parametrize(
    ("batch", "words"),
    [
        ({"x": X, "y": None}, "y of the batch is None"),
        ({"x": torch.nn.utils.rnn.pack_sequence([X[0]]), "y": Y}, "x of the batch"),
        ({"x": X, "y": Y, "lengths": [5, 5, 5]}, "lengths of the batch"),
        ({"x": X, "y": Y, "lengths": torch.ones(3, dtype=torch.bool)}, "lengths"),
        ({"x": X, "y": Y[:2]}, "2 rows, x has 3"),
        ({"x": X.long(), "y": Y}, "floats"),
    ],
)
def test_wrong_types_are_one_line(batch, words):
    with pytest.raises(ArgumentError, match=words) as error:
        as_batch(batch)
    assert "\n" not in str(error.value)
