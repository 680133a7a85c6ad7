"""Kill -9 in mid-epoch, resume, and end with the weights of an uninterrupted run, to the bit."""

import multiprocessing
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from series_tables import hourly

from rnn_lightning.callbacks import TENSORBOARD_CALLBACKS
from rnn_lightning.cli import main

KILLER = '''
import os, signal
from lightning.pytorch import Callback


class Killer(Callback):
    """Kills its process at the end of a batch, as nothing else could: without a word."""

    def __init__(self, batches: int) -> None:
        self.batches = batches

    def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx):
        self.batches -= 1
        if self.batches == 0:
            os.kill(os.getpid(), signal.SIGKILL)
'''
SETTINGS = [
    "--trainer.max_epochs=3",
    "--trainer.accelerator=cpu",
    "--trainer.enable_progress_bar=false",
    "--trainer.enable_model_summary=false",
]
SETTINGS += [f"--{name}.enabled=false" for name in TENSORBOARD_CALLBACKS]
SINE = ["--data.steps_per_epoch=6"]
TEXT = ["--model.hidden_size=8", "--data.val=0.49", "--data.test=0.49", "--data.batch_size=64", "--data.n_steps=24"]
SITES = ["--data.path=sites.csv", "--data.target=load", "--data.time=when", "--data.id=site", "--data.n_steps=8"]
RECIPES = {
    "arrays": [
        *("--data.path=own.npz", "--data.batch_size=8", "--data.num_workers=1"),
        *("--model.hidden_size=8", "--model.input_dropout=0.2"),
    ],
    "chars": [*TEXT, "--model.state_dropout=0.2", "--model.variational=true"],
    "series": [*SITES, "--model.hidden_size=8", "--data.batch_size=32", "--model.output_dropout=0.2"],
    "series in order": [
        *SITES,
        "--model.hidden_size=8",
        "--data.batch_size=4",
        "--data.stream=true",
        "--model.carry_state=true",
        "--model.tbptt.k1=4",
        "--model.state_dropout=0.2",
        "--trainer.gradient_clip_val=null",
    ],
    "sine_seq2seq": [*SINE, "--data.eval_windows=20", "--model.output_dropout=0.2"],
    "sine_tbptt": [*SINE, "--data.eval_windows=20", "--model.state_dropout=0.2", "--model.input_dropout=0.1"],
    "sine_tbptt accumulated": [
        *SINE,
        "--data.eval_windows=20",
        "--model.state_dropout=0.2",
        "--model.tbptt.step_every=2",
    ],
    "sine_stream": [*SINE, "--model.state_dropout=0.2", "--model.variational=true", "--data.num_workers=1"],
}


def fit(folder, name, *arguments):
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(folder)}
    command = [sys.executable, "-m", "rnn_lightning", *words(name), *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)


def fit_forked(folder, name, *arguments):
    """The same in a process that need not import everything again."""

    def run():
        os.chdir(folder)
        sys.path.insert(0, str(folder))
        main([*words(name), *arguments])

    process = multiprocessing.get_context("fork").Process(target=run)
    process.start()
    process.join(300)
    return subprocess.CompletedProcess(name, process.exitcode, stderr="as shown above")


def words(name):
    return ["fit", "--config", name.partition(" ")[0], *SETTINGS, *RECIPES[name]]


def weights(folder, version):
    path = folder / f"runs/{next(Path(folder / 'runs').iterdir()).name}/version_{version}/checkpoints/last.ckpt"
    return torch.load(path, weights_only=True)


def check(folder, name, *devices, fit=fit):
    (folder / "killer.py").write_text(KILLER)
    hourly().to_csv(folder / "sites.csv", index=False)
    x = np.random.default_rng(0).normal(size=(80, 6, 2))
    np.savez(folder / "own.npz", x=x, y=np.arange(80) % 4, lengths=np.arange(80) % 6 + 1)
    whole = fit(folder, name, *devices)
    assert whole.returncode == 0, whole.stderr
    periodic = ["--trainer.callbacks+=PeriodicCheckpoint", "--trainer.callbacks.every_n_steps=1"]
    # In the second epoch: one whole epoch, and four or five batches more.
    killed = fit(
        folder, name, *devices, *periodic, "--trainer.callbacks+=killer.Killer", "--trainer.callbacks.batches=11"
    )
    assert killed.returncode == -signal.SIGKILL or devices, killed.stderr
    before = weights(folder, 1)
    assert 0 < before["global_step"] < weights(folder, 0)["global_step"]
    assert before["epoch"] == 1
    resumed = fit(folder, name, *devices, "--ckpt_path=last")
    assert resumed.returncode == 0, resumed.stderr
    first, second = weights(folder, 0), weights(folder, 1)
    assert first["global_step"] == second["global_step"]
    for key, value in first["state_dict"].items():
        assert torch.equal(value, second["state_dict"][key]), f"{key} differs"
    if not devices:
        assert first["ranks"][0]["means"] == second["ranks"][0]["means"]
        assert first["ranks"][0]["carried"].keys() == second["ranks"][0]["carried"].keys()


@pytest.mark.skipif(torch.cuda.is_available(), reason="no fork with CUDA's threads")
@pytest.mark.filterwarnings("ignore:.*use of fork")  # later Pythons, of threads that the tests have
def test_a_killed_fork_resumes_to_the_bit(tmp_path):
    check(tmp_path, "sine_tbptt", fit=fit_forked)


@pytest.mark.slow
@pytest.mark.parametrize("name", RECIPES)
def test_a_killed_run_resumes_to_the_bit(name, tmp_path):
    check(tmp_path, name)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["sine_tbptt", "sine_stream", "chars", "series in order"])
def test_two_killed_processes_resume_to_the_bit(name, tmp_path):
    # Of each process, so that an epoch has as many batches as with one.
    halved = {"chars": ["--data.batch_size=32"], "series in order": ["--data.batch_size=2"]}.get(name, [])
    check(tmp_path, name, "--trainer.devices=2", "--trainer.strategy=ddp", *halved)
