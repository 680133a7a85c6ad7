import pytest
import torch

from rnn_lightning import ArgumentError
from rnn_lightning.models import Seq2Seq
from rnn_lightning.models.batches import as_batch, begun, cut, first_rows, valid_steps
from rnn_lightning.models.plan import Span

X, Y = torch.randn(3, 5, 2), torch.randn(3, 5)


def test_a_pair_is_x_and_y():
    batch = as_batch((X, Y))
    assert batch["x"] is X
    assert batch["y"] is Y
    assert as_batch([X, Y])["y"] is Y


def test_predicting_needs_no_targets():
    assert set(as_batch(X, needs_y=False)) == {"x"}
    assert set(as_batch({"x": X}, needs_y=False)) == {"x"}


@pytest.mark.parametrize(
    ("batch", "words"),
    [
        ({"x": X}, "needs x and y"),
        ({"y": Y}, "needs x and y"),
        ((X, Y, Y), r"a tuple \(x, y\)"),
        ("no batch", "a dict with x and y"),
        ((X[0], X[0]), "shape"),
        ((X[:, :0], Y), "shape"),
        ({"x": X, "y": Y, "lengths": torch.tensor([5, 5])}, "lengths"),
        ({"x": X, "y": Y, "lengths": torch.tensor([5.0, 5.0, 5.0])}, "lengths"),
        ({"x": X, "y": Y, "lengths": torch.tensor([0, 5, 5])}, "lengths"),
        ({"x": X, "y": Y, "lengths": torch.tensor([1, 6, 5])}, "lengths"),
        ({"x": X, "y": Y, "mask": torch.ones(3, 4, dtype=torch.bool)}, "mask"),
        ({"x": X, "y": Y, "mask": torch.ones(3, 5)}, "mask"),
        ({"x": X, "y": Y, "reset": torch.ones(3)}, "reset"),
        ({"x": X, "y": Y, "reset": torch.ones(3, 4, dtype=torch.bool)}, r"\(3,\) or \(3, 5\)"),
    ],
)
def test_what_does_not_fit_is_one_line(batch, words):
    with pytest.raises(ArgumentError, match=words) as error:
        Seq2Seq(2, 1).prepare_batch(batch)
    assert "\n" not in str(error.value)


def test_features_must_fit_the_model():
    with pytest.raises(ArgumentError, match="input_size is 3"):
        Seq2Seq(3, 1).prepare_batch((X, Y))


def test_cut_counts_lengths_from_its_first_step():
    lengths, mask = torch.tensor([5, 1, 3]), torch.rand(3, 5) > 0.5
    chunk = cut({"x": X, "y": Y, "mask": mask, "lengths": lengths, "name": "kept"}, Span(2, 4))
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
        ({"x": [X[0], X[1], X[2]], "y": Y}, "x of the batch"),
        ({"x": X, "y": Y, "lengths": [5, 5, 5]}, "lengths of the batch"),
        ({"x": X, "y": Y, "lengths": torch.ones(3, dtype=torch.bool)}, "lengths"),
        ({"x": X, "y": Y[:2]}, "2 rows, but x has 3"),
        ({"x": X.long(), "y": Y}, "floats"),
        ({"x": X[..., 0].long(), "y": Y}, r"int64 of shape \(3, 5\), which looks like tokens: .*x.float.*embedding"),
    ],
)
def test_wrong_types_are_one_line(batch, words):
    with pytest.raises(ArgumentError, match=words) as error:
        Seq2Seq(2, 1).prepare_batch(batch)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("x", [torch.ones(3, 5, dtype=torch.int64), torch.randn(3, 5), torch.randn(3, 5, 1, 8, 8)])
def test_a_model_of_ones_own_takes_any_x_with_rows_and_steps(x):
    assert as_batch((x, Y))["x"] is x


def test_rows_may_be_cut_each_at_its_own_place():
    batch = {"x": X, "y": Y, "lengths": torch.tensor([5, 2, 4]), "reset": torch.rand(3, 5) > 0.5}
    begins = torch.tensor([3, 0, 2])
    chunk = cut(batch, Span(3, 5, begins), ("x",))
    assert chunk["lengths"].tolist() == [2, 2, 2]
    for row, begin in enumerate(begins):
        assert torch.equal(chunk["x"][row], X[row, begin : begin + 2])
        assert torch.equal(chunk["reset"][row], batch["reset"][row, begin : begin + 2])
    assert chunk["y"] is Y
    assert cut(batch, Span(1, 3, ends=begins))["lengths"].tolist() == [2, 0, 1]


def test_a_chunk_has_nothing_that_is_for_the_first_step_only():
    batch = {"x": X, "y": Y, "reset": torch.tensor([True, False, True]), "state": torch.ones(1, 3, 4)}
    assert set(cut(batch, Span(0, 2))) == {"x", "y"}
    assert set(batch) == {"x", "y", "reset", "state"}, "the batch keeps it"
    zeroed = begun(batch, batch["state"])
    assert zeroed[0, :, 0].tolist() == [0, 1, 0]
    assert begun({**batch, "reset": torch.ones(3, 5, dtype=torch.bool)}, batch["state"]) is batch["state"]


def test_the_first_rows_have_their_state_and_keep_what_has_no_rows():
    batch = {"x": X, "state": (torch.randn(3, 3, 4), torch.randn(3, 3, 4)), "of": {"a": 1}, "n": torch.tensor(2)}
    first = first_rows(batch, 2)
    assert torch.equal(first["x"], X[:2])
    assert all(torch.equal(a, b[:, :2]) for a, b in zip(first["state"], batch["state"], strict=True))
    assert first["of"] is batch["of"]
    assert first["n"] is batch["n"]


def test_packed_sequences_are_padded_and_get_lengths():
    lengths = torch.tensor([2, 5, 3])
    x, y = (torch.nn.utils.rnn.pack_padded_sequence(part, lengths, True, enforce_sorted=False) for part in (X, Y))
    for batch in ((x, y), {"x": x, "y": y}):
        padded = as_batch(batch)
        assert padded["lengths"].tolist() == [2, 5, 3]
        for row, length in enumerate(lengths):
            assert torch.equal(padded["x"][row, :length], X[row, :length])
            assert torch.equal(padded["y"][row, :length], Y[row, :length])
