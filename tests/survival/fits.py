"""Fits in processes of their own, and what they leave."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import torch

ALWAYS = [
    "--trainer.max_epochs=3",
    "--trainer.accelerator=cpu",
    "--trainer.enable_progress_bar=false",
    "--trainer.enable_model_summary=false",
    "--model.hidden_size=8",
    *[f"--{name}.enabled=false" for name in ("series_figures", "gradient_reach", "network_graph", "vital_signs")],
]
SETTINGS = [*ALWAYS, "--data.steps_per_epoch=4", "--data.eval_windows=20"]
TWO = ["--trainer.devices=2", "--trainer.strategy=ddp"]
PERIODIC = ["--trainer.callbacks+=PeriodicCheckpoint", "--trainer.callbacks.every_n_steps=1"]


def kill(**arguments):
    """The arguments that put a `Killer` into a run."""
    return [
        "--trainer.callbacks+=killer.Killer",
        *(f"--trainer.callbacks.{name}={value}" for name, value in arguments.items()),
    ]


class Place:
    """A folder in which fits run."""

    def __init__(self, folder):
        self.folder = folder

    def start(self, *arguments, recipe="sine_seq2seq", command="fit", environment=(), settings=SETTINGS):
        """Starts a command; SIGINT is at its default, which a shell takes from what it runs in the background."""
        own = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parent), **dict(environment)}
        return subprocess.Popen(
            [sys.executable, "-m", "rnn_lightning", command, "--config", recipe, *settings, *arguments],
            cwd=self.folder,
            env=own,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            restore_signals=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )

    def run(self, *arguments, **how):
        """Runs a command to its end; returns its exit code and what it printed."""
        process = self.start(*arguments, **how)
        try:
            out, err = process.communicate(timeout=900)
        finally:
            process.kill()
        return process.returncode, out, err

    def state(self, name="last"):
        """The newest checkpoint of this name."""
        paths = sorted(
            Path(self.folder).glob(f"runs/*/*/checkpoints/{name}.ckpt"), key=lambda path: path.stat().st_mtime
        )
        return torch.load(paths[-1], weights_only=True)


def assert_same_run(one, two):
    """The same weights, optimizer, steps, epochs and best score, to the bit."""
    key = "best_model_score"
    for name in ("last", "best"):
        first, second = one.state(name), two.state(name)
        assert (first["global_step"], first["epoch"]) == (second["global_step"], second["epoch"])
        assert first["state_dict"].keys() == second["state_dict"].keys()
        for parameter, value in first["state_dict"].items():
            assert torch.equal(value, second["state_dict"][parameter]), f"{parameter} differs"
        assert str(first["optimizer_states"]) == str(second["optimizer_states"])
        scores = [next(kept[key] for kept in found["callbacks"].values() if key in kept) for found in (first, second)]
        assert torch.equal(*scores)
