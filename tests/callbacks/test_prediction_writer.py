import csv
import weakref

import numpy as np
import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from torch.utils.data import DataLoader, IterableDataset

from rnn_lightning.callbacks import PredictionWriter
from rnn_lightning.data import AddingProblem, SequenceMNIST, TensorBatches
from rnn_lightning.models import Seq2Seq, Seq2Vec
from rnn_lightning.predictions import ClassTally, PredictionTable, merge_tables

X = torch.randn(5, 4, 2)


def predict(model, batches, folder, arrays=False):
    writer = PredictionWriter(folder, arrays)
    settings = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    trainer = Trainer(accelerator="cpu", callbacks=[writer], **settings)
    results = trainer.predict(model, DataLoader(batches, batch_size=None))
    with open(folder / "predictions.csv") as file:
        return list(csv.DictReader(file)), results


def test_one_line_a_step_up_to_each_rows_length(tmp_path):
    lengths = torch.tensor([4, 1, 2])
    batches = [{"x": X[:3], "y": X[:3, :, :1], "lengths": lengths}, {"x": X[3:], "y": X[3:, :, :1]}]
    batches[1]["lengths"] = torch.tensor([4, 4])
    rows, results = predict(Seq2Seq(2, 1), batches, tmp_path / "new")
    assert list(rows[0]) == ["sequence", "step", "x_0", "x_1", "y", "prediction"]
    assert [(int(r["sequence"]), int(r["step"])) for r in rows] == [
        (sequence, step) for sequence, length in enumerate([4, 1, 2, 4, 4]) for step in range(length)
    ]
    assert float(rows[4]["prediction"]) == pytest.approx(results[0]["prediction"][1, 0, 0].item())
    assert float(rows[4]["x_1"]) == pytest.approx(X[1, 0, 1].item())


def test_one_line_a_sequence_with_the_classes_probabilities(tmp_path):
    rows, results = predict(Seq2Vec(2, 3), [(X, torch.arange(5) % 3)], tmp_path)
    assert list(rows[0]) == ["sequence", "y", "prediction", "probability_0", "probability_1", "probability_2"]
    assert [int(r["prediction"]) for r in rows] == results[0]["prediction"].tolist()
    assert sum(float(rows[0][f"probability_{k}"]) for k in range(3)) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("model", "columns"),
    [
        (Seq2Seq(2, 3, task="classification"), ["sequence", "step", "x_0", "x_1", "prediction"]),
        (Seq2Seq(2, 2), ["sequence", "step", "x_0", "x_1", "prediction_0", "prediction_1"]),
        (Seq2Vec(2, 2, task="regression"), ["sequence", "prediction_0", "prediction_1"]),
    ],
)
def test_columns_without_targets(model, columns, tmp_path):
    rows, _ = predict(model, [{"x": X}], tmp_path)
    assert [name for name in rows[0] if not name.startswith("probability")] == columns


def arrays_in(folder):
    """What `predictions.npz` holds; there is no pickle in it."""
    with np.load(folder / "predictions.npz") as file:
        return dict(file)


def test_raw_arrays_of_all_sequences(tmp_path):
    batches = [{"x": X[:3], "y": X[:3, :, :1]}, {"x": torch.randn(2, 6, 2), "y": torch.randn(2, 6, 1)}]
    _, results = predict(Seq2Seq(2, 1), batches, tmp_path, arrays=True)
    found = arrays_in(tmp_path)
    assert set(found) == {"sequence", "x", "y", "prediction", "lengths"}
    assert found["sequence"].tolist() == list(range(5))
    assert found["lengths"].tolist() == [4, 4, 4, 6, 6]
    assert found["prediction"].shape == (5, 6, 1)
    np.testing.assert_array_equal(found["prediction"][:3, :4], results[0]["prediction"])
    np.testing.assert_array_equal(found["x"][3:], batches[1]["x"])
    assert np.isnan(found["prediction"][:3, 4:]).all()


def test_raw_arrays_of_a_classifier_in_half_precision(tmp_path):
    predict(Seq2Vec(2, 3).to(torch.bfloat16), [(X.to(torch.bfloat16), torch.arange(5) % 3)] * 2, tmp_path, arrays=True)
    found = arrays_in(tmp_path)
    assert found["probability"].dtype == np.float32
    np.testing.assert_allclose(found["probability"].sum(1), 1, atol=0.02)
    assert "lengths" not in found


@pytest.mark.parametrize("lengths", [None, torch.tensor([4, 1, 2])])
def test_a_forecast_goes_on_where_each_sequence_ends(lengths, tmp_path):
    x = torch.randn(3, 4, 2)
    batch = {"x": x, "y": torch.randn(3, 4, 2), **({} if lengths is None else {"lengths": lengths})}
    model = Seq2Seq(2, 2, cell="lstm", hidden_size=5, state_dropout=0.5)
    model.horizon = 3
    rows, _ = predict(model, [batch], tmp_path, arrays=True)
    model.eval()
    for row in range(3):
        length = 4 if lengths is None else int(lengths[row])
        inputs, said = x[row : row + 1, :length], []
        for _ in range(4):  # shown everything again at every step: no state is carried
            said.append(model(inputs)[0][:, -1:].detach())
            inputs = torch.cat((inputs, said[-1]), dim=1)
        of_row = [r for r in rows if int(r["sequence"]) == row]
        assert [int(r["step"]) for r in of_row] == list(range(length + 3))
        for number, line in enumerate(of_row[length - 1 :]):
            assert [float(line[f"prediction_{i}"]) for i in (0, 1)] == pytest.approx(
                said[number][0, 0].tolist(), abs=1e-6
            )
            if number:
                assert [float(line[f"x_{i}"]) for i in (0, 1)] == pytest.approx(
                    said[number - 1][0, 0].tolist(), abs=1e-6
                )
                assert line["y_0"] == line["y_1"] == ""
    assert arrays_in(tmp_path)["forecast"].shape == (3, 3, 2)


@pytest.mark.parametrize(
    ("model", "batch", "pictures"),
    [
        (Seq2Seq(2, 2), {"x": X, "y": X}, 1),
        (Seq2Seq(2, 2), {"x": X}, 1),
        (Seq2Vec(2, 3), {"x": X, "y": torch.arange(5) % 3}, 1),
        (Seq2Vec(2, 3), {"x": X}, 0),
        (Seq2Vec(2, 3, task="regression"), {"x": X, "y": torch.randn(5, 3)}, 0),
        (Seq2Seq(2, 3, task="classification"), {"x": X, "y": torch.zeros(5, 4, dtype=torch.int64)}, 0),
    ],
)
def test_a_picture_where_there_is_one_to_draw(model, batch, pictures, tmp_path):
    predict(model, [batch], tmp_path)
    assert len(list(tmp_path.iterdir())) == 1 + pictures, "a table, and no arrays that nobody asked for"
    assert len(list(tmp_path.glob("*.png"))) == pictures
    for path in tmp_path.glob("*.png"):
        assert path.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("horizon", [0, 3])
def test_the_picture_ends_where_the_next_packed_sequence_begins(horizon, tmp_path):
    """It is that of the first sequence alone, without the forecast, which continues the row's last sequence."""
    model = Seq2Seq(2, 2, cell="gru")
    reset = torch.tensor([[True, False, False, True]]).expand(5, 4)
    predict(model, [{"x": X[:, :3], "y": X[:, :3]}], tmp_path / "alone")
    model.horizon = horizon
    rows, _ = predict(model, [{"x": X, "y": X, "reset": reset}], tmp_path / "packed")
    assert len(rows) == 5 * (4 + horizon), "the table has them all"
    alone, packed = ((tmp_path / folder / "predictions.png").read_bytes() for folder in ("alone", "packed"))
    assert packed == alone


def test_a_batch_without_sequences_has_no_lines(tmp_path):
    with PredictionTable(tmp_path / "table.csv") as table:
        table.write({"prediction": torch.zeros(0, 2)}, [])
        table.write({"prediction": torch.tensor([[1.0, 2.0]])}, [0])
    assert (tmp_path / "table.csv").read_text().split() == ["sequence,prediction_0,prediction_1", "0,1.0,2.0"]


def test_tables_are_joined_in_order_even_if_a_process_had_no_sequences(tmp_path):
    parts = [tmp_path / name for name in "abc"]
    for part, text in zip(parts, ("", "sequence,y\n9,1\n11,2\n", "sequence,y\n8,3\n10,4\n"), strict=True):
        part.write_text(text)
    merge_tables(parts, tmp_path / "all")
    assert (tmp_path / "all").read_text().split() == ["sequence,y", "8,3", "9,1", "10,4", "11,2"]
    assert [path.name for path in tmp_path.iterdir()] == ["all"]


def test_the_first_mistakes_of_all_batches_are_kept():
    class Shown:
        def images(self, x):
            self.x = x

    tally, data, x = ClassTally(3, mistakes=3), Shown(), torch.arange(6.0)[:, None, None]
    for batch in x.split(2):
        tally.add(batch, torch.tensor([1, 1]), torch.tensor([[1.0, 0.0, 0.0]]).expand(2, -1))
    tally.add(x[:2], torch.tensor([0, -100]), torch.tensor([[1.0, 0.0, 0.0]]).expand(2, -1))  # right, and unknown
    assert list(tally.figures(data)) == ["confusion"]
    assert data.x.flatten().tolist() == [0, 1, 2]
    assert tally.counts.tolist() == [[1, 0, 0], [6, 0, 0], [0, 0, 0]]


class Returns(LightningModule):
    """Predicts what it is told."""

    def __init__(self, found):
        super().__init__()
        self.found = found

    def predict_step(self, batch, batch_idx):
        return self.found


@pytest.mark.parametrize(
    ("x", "y", "columns"),
    [
        (torch.arange(20).view(5, 4) % 3, X[..., :1], ["x_0", "y"]),  # tokens
        (torch.randn(5, 4, 1, 2, 2), X[..., :1], ["x_0", "x_1", "x_2", "x_3", "y"]),  # images
        (X, torch.arange(5), ["x_0", "x_1"]),  # one target a sequence
        (X, torch.randn(5, 3), ["x_0", "x_1"]),
        (X, torch.randn(5, 7, 1), ["x_0", "x_1"]),  # targets of other steps
    ],
)
@pytest.mark.parametrize("lengths", [None, torch.tensor([3, 4, 1, 1, 2])])
def test_outputs_a_step_of_a_model_of_ones_own(x, y, columns, lengths, tmp_path):
    found = {"x": x, "y": y, "prediction": X[..., :1], **({} if lengths is None else {"lengths": lengths})}
    rows, _ = predict(Returns(found), [X], tmp_path, arrays=True)
    assert list(rows[0]) == ["sequence", "step", *columns, "prediction"]
    assert len(rows) == (20 if lengths is None else lengths.sum())
    assert float(rows[1]["prediction"]) == pytest.approx(X[0, 1, 0].item())
    assert (tmp_path / "predictions.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("arrays", [False, True])
def test_no_batch_stays_in_memory(arrays, tmp_path):
    """As many batches as one likes: the tensors of all but the first row of the first are gone."""
    seen = []

    class Watching(PredictionWriter):
        def write_on_batch_end(self, trainer, pl_module, prediction, *rest):
            assert not any(reference() is not None for reference in seen[:-6]), "an earlier batch is still held"
            super().write_on_batch_end(trainer, pl_module, prediction, *rest)
            seen.extend(weakref.ref(values) for values in prediction.values())

    settings = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    trainer = Trainer(accelerator="cpu", callbacks=[Watching(tmp_path, arrays)], **settings)
    batches = (({"x": torch.randn(4, 6, 2), "y": torch.randn(4, 6, 1)}) for _ in range(8))
    trainer.predict(Seq2Seq(2, 1), DataLoader(Stream(batches), batch_size=None), return_predictions=False)
    assert len(seen) == 24
    assert len(list(csv.DictReader((tmp_path / "predictions.csv").read_text().splitlines()))) == 8 * 4 * 6
    if arrays:
        assert arrays_in(tmp_path)["x"].shape == (32, 6, 2)


class Stream(IterableDataset):
    def __init__(self, batches):
        self.batches = batches

    def __iter__(self):
        return self.batches


@pytest.mark.parametrize("task", ["series", "classes"])
def test_two_processes_write_one_table_and_one_picture(task, tmp_path, fake_mnist_dir):
    """As one process alone writes them."""
    if task == "series":
        data, model = AddingProblem(n_steps=5, eval_sequences=7, eval_batch_size=2), Seq2Seq(2, 1)
        data.setup()
        x = torch.cat([batch["x"] for batch in data.predict_dataloader()])
        data.datasets["predict"] = TensorBatches({"x": x, "y": x[..., :1].clone()})
        data.setup = lambda stage=None: None
    else:
        data = SequenceMNIST(fake_mnist_dir, verify=False, val_size=10, eval_batch_size=30)
        model = Seq2Vec(28, 10, hidden_size=4)
    for folder, options in (("one", {"devices": 1}), ("two", {"devices": 2, "strategy": "ddp_fork"})):
        settings = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
        trainer = Trainer(accelerator="cpu", callbacks=[PredictionWriter(tmp_path / folder)], **settings, **options)
        trainer.predict(model, data, return_predictions=False)
    one, two = ({path.name: path for path in (tmp_path / folder).iterdir()} for folder in ("one", "two"))
    pictures = {"predictions.png", "predictions_mistakes.png"} if task == "classes" else {"predictions.png"}
    assert set(one) == set(two) == {"predictions.csv", *pictures}
    tables = [list(csv.DictReader(found["predictions.csv"].read_text().splitlines())) for found in (one, two)]
    assert [row["sequence"] for row in tables[0]] == [row["sequence"] for row in tables[1]]
    for a, b in zip(*tables, strict=True):
        assert {k: float(v) for k, v in a.items()} == pytest.approx({k: float(v) for k, v in b.items()}, abs=1e-5)
    assert one["predictions.png"].read_bytes() == two["predictions.png"].read_bytes()


def test_a_failure_leaves_no_file(tmp_path):
    with pytest.raises(ValueError, match="features"):
        predict(Seq2Seq(3, 1), [{"x": X}], tmp_path)
    assert list(tmp_path.iterdir()) == []
