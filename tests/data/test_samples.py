"""Own datasets of any length become batches."""

import numpy as np
import pytest
import torch
from lightning.pytorch import Trainer
from torch.utils.data import Dataset, IterableDataset

from rnn_lightning import ArgumentError
from rnn_lightning.data import SequenceDataModule
from rnn_lightning.data.loading import EpochSampler
from rnn_lightning.data.samples import SampleBatches, pad_samples
from rnn_lightning.models import Seq2Seq, Seq2Vec


def samples(count=37, per_step=False, seed=0):
    rng = np.random.default_rng(seed)
    lengths = rng.integers(1, 40, count)
    return [(rng.normal(size=(n, 2)), rng.normal(size=(n, 1)) if per_step else int(rng.integers(3))) for n in lengths]


class Own(Dataset):
    """Knows nothing of this package; gives dicts."""

    def __init__(self, rows, lengths=None):
        self.rows = rows
        if lengths is not None:
            self.lengths = lengths

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, index):
        x, y = self.rows[index]
        return {"x": torch.as_tensor(x), "y": y}


class Stream(IterableDataset):
    def __init__(self, rows):
        self.rows = rows

    def __iter__(self):
        return iter(self.rows)


@pytest.mark.parametrize("per_step", [False, True])
def test_a_batch_is_padded_and_knows_its_lengths(per_step):
    rows = samples(5, per_step)
    batch = pad_samples(rows)
    assert batch["x"].dtype == torch.float32
    for i, (x, y) in enumerate(rows):
        n = len(x)
        assert batch["lengths"][i] == n
        np.testing.assert_allclose(batch["x"][i, :n], x, rtol=1e-6)
        assert not batch["x"][i, n:].any()
        np.testing.assert_allclose(batch["y"][i, :n] if per_step else batch["y"][i], y, rtol=1e-6)
    same = pad_samples([rows[0], rows[0]])
    assert "lengths" not in same
    assert pad_samples([torch.zeros(3, 2), torch.ones(4, 2)])["lengths"].tolist() == [3, 4]


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([(np.zeros((3, 2)), 1), (np.zeros((4, 3)), 1)], r"x is \(3, 2\), \(4, 3\) in the samples"),
        ([{"x": np.zeros((3, 2)), "y": 1}, {"x": np.zeros((3, 2))}], r"y is \(\), missing"),
        ([{"x": np.zeros((3, 2))}, {"x": np.zeros((3, 2)), "y": 1}], r"y is \(\), missing"),
        ([{"y": 1}], "a sample is a dict with x"),
        ([(np.zeros((0, 2)), 1)], "T at least 1"),
        ([(np.zeros((3, 2)), 1, 3)], r"a pair \(x, y\)"),
        ([(np.zeros((3, 2)), "cat")], "y of a sample is 'cat': give numbers"),
    ],
    ids=["features", "missing", "missing in the first", "no x", "empty", "three", "a text"],
)
def test_samples_that_do_not_fit_are_one_line(rows, words):
    with pytest.raises(ArgumentError, match=words):
        pad_samples(rows)


@pytest.mark.parametrize("kind", [list, lambda rows: Own(rows, [len(x) for x, _ in rows])])
def test_training_batches_are_of_like_length(kind):
    rows = samples(400)
    data = SequenceDataModule.from_datasets(kind(rows), batch_size=8)
    loader = data.train_dataloader()
    epochs = []
    for _ in range(2):
        shown, padding, steps = [], 0, 0
        for batch in loader:
            lengths = batch.get("lengths", torch.full((len(batch["x"]),), batch["x"].shape[1]))
            padding += int((batch["x"].shape[1] - lengths).sum())
            steps += int(lengths.sum())
            shown.extend(
                (x[:n].sum().item(), y.item()) for x, n, y in zip(batch["x"], lengths, batch["y"], strict=True)
            )
        assert padding < 0.1 * steps
        assert len(shown) == 400
        epochs.append(shown)
    np.testing.assert_allclose(sorted(epochs[0]), sorted(epochs[1]), rtol=1e-4, atol=1e-4)  # each sample once an epoch
    assert epochs[0] != epochs[1], "in another order"
    plain = SequenceDataModule.from_datasets(Own(rows), batch_size=8)
    assert sum(len(batch["x"]) for batch in plain.train_dataloader()) == 400, "without lengths, a plain shuffle"


def test_processes_share_the_samples_and_have_like_lengths_at_a_time():
    dataset = SampleBatches(samples(96))
    parts = [list(EpochSampler(dataset, 2, rank, batch_size=4)) for rank in range(2)]
    assert sorted(parts[0] + parts[1]) == list(range(96))
    together = [parts[0][i : i + 4] + parts[1][i : i + 4] for i in range(0, 48, 4)]
    widths = [int(dataset.lengths[b].max() - dataset.lengths[b].min()) for b in together]
    assert max(widths) <= 8


def test_a_resumed_pass_goes_on_where_it_was():
    data = SequenceDataModule.from_datasets(samples(50), batch_size=4)
    whole, half = data.train_dataloader(), data.train_dataloader()
    batches = list(whole)
    iterator = iter(half)
    for _ in range(5):
        next(iterator)
    again = data.train_dataloader()
    again.load_state_dict(half.state_dict())
    for expected, found in zip(batches[5:], again, strict=True):
        assert torch.equal(expected["x"], found["x"])


QUIET = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "enable_model_summary": False}


@pytest.mark.filterwarnings("ignore:Total length of `list` across ranks is zero")
def test_a_fit_without_validation_data_is_not_validated():
    data = SequenceDataModule.from_datasets(samples(20), batch_size=5)
    model, trainer = Seq2Vec(2, 3), Trainer(max_epochs=2, accelerator="cpu", **QUIET)
    trainer.fit(model, datamodule=data)
    assert trainer.global_step == 8
    assert not [name for name in trainer.callback_metrics if name.startswith("val/")]
    for run, part in ((trainer.validate, "val"), (trainer.test, "test"), (trainer.predict, "predict")):
        with pytest.raises(ArgumentError, match=f"SequenceDataModule has no {part} data"):
            run(model, datamodule=data)


@pytest.mark.parametrize("part", ["train", "val", "test"])
def test_an_empty_part_is_one_line(part):
    data = SequenceDataModule.from_datasets(**{f"{part}_dataset": []})
    with pytest.raises(ArgumentError, match=f"no {part} data"):
        getattr(data, f"{part}_dataloader")()


@pytest.mark.parametrize("per_step", [False, True])
@pytest.mark.parametrize("kind", [list, Own, Stream])
def test_a_fit_on_own_datasets(kind, per_step):
    if kind is Own and per_step:
        kind = Stream
    given = {
        f"{part}_dataset": kind(samples(20, per_step, i)) for i, part in enumerate(("train", "val", "test", "predict"))
    }
    data = SequenceDataModule.from_datasets(**given, batch_size=6)
    model = Seq2Seq(2, 1) if per_step else Seq2Vec(2, 3)
    trainer = Trainer(max_epochs=2, accelerator="cpu", **QUIET)
    trainer.fit(model, datamodule=data)
    assert trainer.global_step == 8
    (found,) = trainer.test(model, datamodule=data, verbose=False)
    rows = samples(20, per_step, 2)
    with torch.no_grad():
        outputs = [model.eval()(torch.tensor(x[None], dtype=torch.float32))[0][0] for x, _ in rows]
    if per_step:
        errors = torch.cat([(o - torch.tensor(y)).square() for o, (_, y) in zip(outputs, rows, strict=True)])
        expected = errors.mean().item()
    else:
        losses = [
            torch.nn.functional.cross_entropy(o, torch.tensor(y)) for o, (_, y) in zip(outputs, rows, strict=True)
        ]
        expected = torch.stack(losses).mean().item()
    assert found["test/loss"] == pytest.approx(expected, rel=1e-4)
    assert sum(len(p["prediction"]) for p in trainer.predict(model, datamodule=data)) == 20
