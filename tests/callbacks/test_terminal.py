"""What a run prints: the summary of layers, plain lines where the output is no terminal, and where to look at the end."""

import os
import re
import subprocess
import sys

import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from torch.utils.data import DataLoader

from rnn_lightning.callbacks import PlainProgress, progress
from rnn_lightning.models import Seq2Seq
from rnn_lightning.nn import Seq2SeqNet


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
    callbacks = [PlainProgress()]
    trainer = Trainer(accelerator="cpu", max_epochs=2, callbacks=callbacks, logger=False, enable_checkpointing=False)
    trainer.fit(model, data, *([data] if isinstance(model, Seq2Seq) else []))
    out = capsys.readouterr().out
    lines = [line for line in out.splitlines() if line.startswith("epoch")]
    assert [line.split("  ")[0] for line in lines] == ["epoch 1/2", "epoch 2/2"]
    if isinstance(model, Seq2Seq):
        assert all(name in lines[0] for name in ("step 2", "train/loss", "val/loss", "val/mae"))
        assert "v_num" not in out


def test_a_bar_only_on_a_terminal(monkeypatch):
    assert isinstance(progress(), PlainProgress)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    assert not isinstance(progress(), PlainProgress)


@pytest.mark.slow
def test_a_whole_run_into_a_file_has_no_control_characters(tmp_path):
    """As a user types it, with everything on; metrics, best checkpoint and TensorBoard's line stand at the end."""
    arguments = ["fit", "--config=sine_seq2seq", "--data.eval_windows=60", "--data.steps_per_epoch=3"]
    command = [sys.executable, "-m", "rnn_lightning", *arguments, "--trainer.max_epochs=2", "--trainer.accelerator=cpu"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, timeout=300, check=True)
    out, err = done.stdout.decode(), done.stderr.decode()
    assert not {c for c in out + err if ord(c) < 32 and c != "\n"}
    lines = out.strip().splitlines()
    net = Seq2SeqNet(1, 1, "rnn", hidden_size=100)
    for name, part in (("net", net), ("net.layers", net.layers), ("net.head", net.head)):
        count = sum(parameter.numel() for parameter in part.parameters())
        shown = f"{count / 1000:.1f} K" if count >= 1000 else str(count)
        assert re.search(rf"\| {name} +\| {type(part).__name__} +\| {shown} ", err), "the summary of layers"
    assert sum(line.startswith("epoch ") for line in lines) == 2
    assert any("test/loss" in line for line in lines)
    assert lines[-2].startswith("Best checkpoint: runs/sine_seq2seq/version_0/checkpoints/best.ckpt (val/loss ")
    assert lines[-1] == "Look at it: tensorboard --logdir runs/sine_seq2seq"
