import csv

import pytest
import torch
from lightning.pytorch import Trainer
from torch.utils.data import DataLoader

from rnn_lightning.callbacks import PredictionWriter
from rnn_lightning.models import Seq2Seq, Seq2Vec

X = torch.randn(5, 4, 2)


def predict(model, batches, folder):
    writer = PredictionWriter(folder)
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


def test_a_failure_leaves_no_file(tmp_path):
    with pytest.raises(ValueError, match="features"):
        predict(Seq2Seq(3, 1), [{"x": X}], tmp_path)
    assert list(tmp_path.iterdir()) == []
