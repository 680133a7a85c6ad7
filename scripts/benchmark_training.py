"""Whole fits: the recipe `mnist_rnn` as the command line runs it, against a bare PyTorch loop over the same batches.

    python scripts/benchmark_training.py --data_dir data

Ours is timed inside `trainer.fit`, with everything on that a user has: Lightning, TensorBoard, the progress bar,
checkpoints, metrics. The bare loop is torch.nn.RNN, a linear layer and Adam, with the same batches and validations.
"""

import argparse
import contextlib
import os
import tempfile
import time

import torch
from measure import alternate, machine, save, table
from torch import nn
from torch.nn import functional as F

from rnn_lightning.cli import CLI, main
from rnn_lightning.data import SequenceMNIST, TensorBatches

BATCH = 150


def ours(data_dir: str, epochs: int, *more: str) -> float:
    """Seconds inside `trainer.fit`, with further arguments of the command line."""
    seconds = 0.0

    class Timed(CLI):
        def fit(self, **arguments: object) -> None:
            nonlocal seconds
            start = time.perf_counter()
            self.trainer.fit(**arguments)  # type: ignore[arg-type]
            seconds = time.perf_counter() - start

        def after_fit(self) -> None:
            pass

    with tempfile.TemporaryDirectory() as folder, open(os.devnull, "w") as screen:
        arguments = [
            "fit",
            "--config=mnist_rnn",
            f"--data.data_dir={data_dir}",
            f"--trainer.max_epochs={epochs}",
            f"--trainer.logger.save_dir={folder}",
            "--trainer.accelerator=cpu",
            *more,
        ]
        with contextlib.redirect_stdout(screen), contextlib.redirect_stderr(screen):
            main(arguments, Timed)
    return seconds


def _tensors(data: SequenceMNIST, stage: str) -> tuple[torch.Tensor, torch.Tensor]:
    samples = data.datasets[stage]
    assert isinstance(samples, TensorBatches)
    everything = samples.__getitems__(list(range(len(samples))))
    return everything["x"], everything["y"]


def bare(data_dir: str, epochs: int) -> float:
    """Seconds of a loop that a careful user of plain PyTorch would write."""
    data = SequenceMNIST(data_dir)
    data.setup("fit")
    (x, y), (x_val, y_val) = (_tensors(data, stage) for stage in ("train", "val"))
    rnn, head = nn.RNN(28, 150, batch_first=True), nn.Linear(150, 10)
    optimizer = torch.optim.Adam([*rnn.parameters(), *head.parameters()], lr=0.001)
    start = time.perf_counter()
    for _ in range(epochs):
        for rows in torch.randperm(len(x)).split(BATCH):
            optimizer.zero_grad()
            _, h = rnn(x.index_select(0, rows))
            F.cross_entropy(head(h[-1]), y.index_select(0, rows)).backward()
            optimizer.step()
        with torch.no_grad():
            hits = 0
            for x_batch, y_batch in zip(x_val.split(BATCH), y_val.split(BATCH), strict=True):
                hits += int((head(rnn(x_batch)[1][-1]).argmax(-1) == y_batch).sum())
    return time.perf_counter() - start


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data_dir", default="data", help="folder of the four MNIST files")
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", help="also write the results there")
    options = parser.parse_args()
    data_dir = os.path.abspath(options.data_dir)
    times = alternate(
        {
            "bare nn.RNN loop": lambda: bare(data_dir, options.epochs),
            "rnn_lightning fit": lambda: ours(data_dir, options.epochs),
        },
        options.rounds,
    )
    print(f"\nmnist_rnn, {options.epochs} epochs, {machine()}\n\n{table(times, 'bare nn.RNN loop')}")
    save(options.json, mnist_rnn=times)
