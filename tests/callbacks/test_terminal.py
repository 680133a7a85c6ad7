"""What a run prints: the layers' table, plain lines where the output is no terminal, and where to look at the end."""

import os
import subprocess
import sys

import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from torch.utils.data import DataLoader

from rnn_lightning.callbacks import LayerSummary, PlainProgress, progress
from rnn_lightning.callbacks.layer_summary import layer_table
from rnn_lightning.models import Seq2Seq
from rnn_lightning.nn import Seq2SeqNet, Seq2VecNet


@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("kind", [Seq2SeqNet, Seq2VecNet])
def test_the_tables_counts_and_shapes_are_the_networks(kind, cell, bidirectional):
    net = kind(3, 2, cell, hidden_size=5, num_layers=2, bidirectional=bidirectional)
    lines = layer_table(net, one_output=kind is Seq2VecNet).splitlines()
    width = 10 if bidirectional else 5
    counts = [int(line[: line.index("(")].split()[-1].replace(",", "")) for line in lines[2:5]]
    expected = [sum(p.numel() for n, p in net.layers.named_parameters() if f"_l{layer}" in n) for layer in (0, 1)]
    assert counts == [*expected, sum(p.numel() for p in net.head.parameters())]
    assert [line[line.index("(") :] for line in lines[2:5]] == [
        f"(B, T, {width})",
        f"(B, T, {width})",
        "(B, 2)" if kind is Seq2VecNet else "(B, T, 2)",
    ]
    output = net(torch.randn(4, 7, 3))[0]
    assert output.shape == ((4, 2) if kind is Seq2VecNet else (4, 7, 2))
    assert lines[5] == f"{sum(counts):,} parameters"


def test_the_table_names_dropout_and_frozen_weights():
    net = Seq2SeqNet(1, 1, hidden_size=2, state_dropout=0.25, variational=True)
    net.head.requires_grad_(False)
    assert layer_table(net, False).splitlines()[-1] == (
        "13 parameters, 3 of them frozen, state_dropout=0.25, variational"
    )


class Other(LightningModule):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)

    def training_step(self, batch, batch_idx):
        return self.layer(batch).sum()

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.1)


@pytest.mark.parametrize("model", [Seq2Seq(1, 1, hidden_size=2), Other()])
def test_an_epoch_is_a_line_of_its_metrics(model, capsys):
    data = DataLoader([torch.ones(2, 3, 1)], batch_size=None)
    if isinstance(model, Seq2Seq):
        data = DataLoader([(torch.ones(2, 3, 1), torch.ones(2, 3, 1))] * 2, batch_size=None)
    callbacks = [PlainProgress(), LayerSummary()]
    trainer = Trainer(accelerator="cpu", max_epochs=2, callbacks=callbacks, logger=False, enable_checkpointing=False)
    trainer.fit(model, data, *([data] if isinstance(model, Seq2Seq) else []))
    out = capsys.readouterr().out
    lines = [line for line in out.splitlines() if line.startswith("epoch")]
    assert [line.split("  ")[0] for line in lines] == ["epoch 1/2", "epoch 2/2"]
    if isinstance(model, Seq2Seq):
        assert all(name in lines[0] for name in ("step 2", "train/loss", "val/loss", "val/mae"))
        assert "v_num" not in out
        assert "RNN, tanh" in out


def test_a_bar_only_on_a_terminal(monkeypatch):
    assert isinstance(progress(), PlainProgress)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    assert not isinstance(progress(), PlainProgress)


def test_a_whole_run_into_a_file_has_no_control_characters(tmp_path):
    """As a user types it, with everything on; metrics, best checkpoint and TensorBoard's line stand at the end."""
    arguments = ["fit", "--config=sine_seq2seq", "--data.eval_windows=60", "--data.steps_per_epoch=3"]
    command = [sys.executable, "-m", "rnn_lightning", *arguments, "--trainer.max_epochs=2", "--trainer.accelerator=cpu"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, timeout=300, check=True)
    out, err = done.stdout.decode(), done.stderr.decode()
    assert not {c for c in out + err if ord(c) < 32 and c != "\n"}
    lines = out.strip().splitlines()
    assert any(line.startswith("layer") for line in lines)
    assert sum(line.startswith("epoch ") for line in lines) == 2
    assert any("test/loss" in line for line in lines)
    assert lines[-2].startswith("Best checkpoint: runs/sine_seq2seq/version_0/checkpoints/best.ckpt (val/loss ")
    assert lines[-1] == "Look at it: tensorboard --logdir runs/sine_seq2seq"
