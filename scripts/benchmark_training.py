"""Whole fits of the recipe `mnist_rnn`, and training steps of a deep network with dropout, against what people write.

    python scripts/benchmark_training.py mnist --data_dir data
    python scripts/benchmark_training.py deep

`mnist`: the recipe as the command line runs it, timed inside `trainer.fit`, with everything on that a user has:
Lightning, TensorBoard, the progress bar, checkpoints, metrics. Against it, a bare loop over torch.nn.RNN, a linear layer
and Adam, with the same batches and validations; and a plain LightningModule with the same layers, fed by a DataLoader
over a TensorDataset, with what Lightning turns on by itself.

`deep`: 3 tanh layers of 100, 20 steps, batches of 50, dropout 0.3 on every layer's input and state, a linear unit, MSE
and Adam: whole training steps. Against it, the loop over torch.nn.RNNCell that one writes for state dropout, with one
mask a sequence or with `dropout` at every step; where Keras 3 is installed (extra `bench`), its SimpleRNN layers, which
take one mask a sequence, on the backend that KERAS_BACKEND names.
"""

import argparse
import contextlib
import importlib
import importlib.util
import os
import tempfile
import time
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import lightning
import torch
from measure import alternate, machine, save, table
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset
from torchmetrics.classification import MulticlassAccuracy

from rnn_lightning.cli import CLI, main
from rnn_lightning.data import SequenceMNIST, TensorBatches
from rnn_lightning.nn import Seq2SeqNet

BATCH = 150
STEPS, ROWS, LAYERS, HIDDEN, P = 20, 50, 3, 100, 0.3  # of `deep`


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


class Plain(lightning.LightningModule):
    """What the recipe does, as a LightningModule that a user of torch.nn writes."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn, self.head = nn.RNN(28, 150, batch_first=True), nn.Linear(150, 10)
        self.accuracy = MulticlassAccuracy(10, average="micro")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits (B, 10)."""
        logits: torch.Tensor = self.head(self.rnn(x)[1][-1])
        return logits

    def training_step(self, batch: list[torch.Tensor], batch_idx: int) -> torch.Tensor:
        """The loss of a batch."""
        loss = F.cross_entropy(self(batch[0]), batch[1])
        self.log("train/loss", loss)
        return loss

    def validation_step(self, batch: list[torch.Tensor], batch_idx: int) -> None:
        """Logs loss and accuracy."""
        logits = self(batch[0])
        self.accuracy(logits, batch[1])
        self.log("val/loss", F.cross_entropy(logits, batch[1]))
        self.log("val/acc", self.accuracy)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """The tutorial's Adam."""
        return torch.optim.Adam(self.parameters(), lr=0.001)


def plain_lightning(data_dir: str, epochs: int) -> float:
    """Seconds inside `trainer.fit` of a plain module on a DataLoader over a TensorDataset."""
    data = SequenceMNIST(data_dir)
    data.setup("fit")
    train, val = (TensorDataset(*_tensors(data, stage)) for stage in ("train", "val"))
    loaders = DataLoader(train, BATCH, shuffle=True), DataLoader(val, BATCH)
    with tempfile.TemporaryDirectory() as folder, open(os.devnull, "w") as screen, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Lightning asks for worker processes
        with contextlib.redirect_stdout(screen), contextlib.redirect_stderr(screen):
            trainer = lightning.Trainer(max_epochs=epochs, accelerator="cpu", default_root_dir=folder)
            start = time.perf_counter()
            trainer.fit(Plain(), *loaders)
            return time.perf_counter() - start


class Cells(nn.Module):
    """Layers with input and state dropout as a loop over torch.nn's cells, the masks of torch's `dropout`."""

    def __init__(self, variational: bool) -> None:
        super().__init__()
        self.variational = variational
        self.cells = nn.ModuleList(nn.RNNCell(HIDDEN if layer else 1, HIDDEN) for layer in range(LAYERS))
        self.head = nn.Linear(HIDDEN, 1)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, None]:
        """Predictions (B, T, 1)."""
        steps = list(x.unbind(1))
        for cell in self.cells:
            h = x.new_zeros(len(x), HIDDEN)
            if self.variational:
                on_input, on_state = (F.dropout(torch.ones_like(part), P) for part in (steps[0], h))
            outputs = []
            for x_t in steps:
                out = cell(x_t * on_input if self.variational else F.dropout(x_t, P), h)
                h = out * on_state if self.variational else F.dropout(out, P)
                outputs.append(out)
            steps = outputs
        return self.head(torch.stack(steps, 1)), None


def deep_contestants() -> dict[str, Callable[[], float]]:
    """Seconds of a whole training step: masks, forward, backward, Adam."""
    x, y = torch.randn(ROWS, STEPS, 1), torch.randn(ROWS, STEPS, 1)
    options: dict[str, Any] = {"input_dropout": P, "state_dropout": P}

    def timed(net: nn.Module) -> Callable[[], float]:
        optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)

        def step() -> float:
            for _ in range(2):  # the second counts: in training, too, the same network ran before
                start = time.perf_counter()
                optimizer.zero_grad()
                F.mse_loss(net(x)[0], y).backward()
                optimizer.step()
                seconds = time.perf_counter() - start
            return seconds

        return step

    nets: dict[str, nn.Module] = {
        "loop over nn.RNNCell, variational": Cells(variational=True),
        "loop over nn.RNNCell, dropout at each step": Cells(variational=False),
        "rnn_lightning, variational": Seq2SeqNet(1, 1, "rnn", "tanh", HIDDEN, LAYERS, variational=True, **options),
        "rnn_lightning, fresh masks": Seq2SeqNet(1, 1, "rnn", "tanh", HIDDEN, LAYERS, **options),
        "rnn_lightning, no dropout": Seq2SeqNet(1, 1, "rnn", "tanh", HIDDEN, LAYERS),
        "torch.nn.RNN, no dropout": Stacked(),
    }
    return {**{name: timed(net) for name, net in nets.items()}, **keras_contestant(x, y)}


class Stacked(nn.Module):
    """torch.nn's layers, which have no such dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn, self.head = nn.RNN(1, HIDDEN, LAYERS, batch_first=True), nn.Linear(HIDDEN, 1)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, None]:
        """Predictions (B, T, 1)."""
        return self.head(self.rnn(x)[0]), None


def keras_contestant(x: torch.Tensor, y: torch.Tensor) -> dict[str, Callable[[], float]]:
    """Keras 3's layers with `dropout` and `recurrent_dropout`, where it is installed."""
    if "KERAS_BACKEND" not in os.environ or importlib.util.find_spec("keras") is None:
        return {}
    keras: Any = importlib.import_module("keras")

    layer = {"return_sequences": True, "dropout": P, "recurrent_dropout": P}
    layers = [keras.layers.SimpleRNN(HIDDEN, **layer) for _ in range(LAYERS)]
    model = keras.Sequential([keras.Input((STEPS, 1)), *layers, keras.layers.Dense(1)])
    model.compile(optimizer=keras.optimizers.Adam(1e-3), loss="mse")
    inputs, targets = x.numpy(), y.numpy()

    def step() -> float:
        for _ in range(2):
            start = time.perf_counter()
            model.train_on_batch(inputs, targets)
            seconds = time.perf_counter() - start
        return seconds

    step()  # compiles
    return {f"Keras {keras.__version__} on {keras.backend.backend()}, variational": step}


def run_mnist(options: argparse.Namespace) -> None:
    data_dir = os.path.abspath(options.data_dir)
    fits: dict[str, Callable[[str, int], float]] = {
        "bare nn.RNN loop": bare,
        "rnn_lightning fit": ours,
        "plain Lightning module": plain_lightning,
    }
    contestants = {name: partial(fit, data_dir, options.epochs) for name, fit in fits.items()}
    times = alternate(contestants, options.rounds)
    print(f"\nmnist_rnn, {options.epochs} epochs, {machine()}\n\n{table(times, 'bare nn.RNN loop')}")
    save(options.json, mnist_rnn=times)


def run_deep(options: argparse.Namespace) -> None:
    contestants = deep_contestants()
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
        alternate(contestants, 5)  # warms up
        times = alternate(contestants, options.rounds)
    print(f"3x100, {machine()}\n\n{table(times, 'loop over nn.RNNCell, variational', unit='ms')}")
    save(options.json, deep=times)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    mnist = commands.add_parser("mnist", help="whole fits of mnist_rnn")
    mnist.add_argument("--data_dir", default="data", help="folder of the four MNIST files")
    mnist.add_argument("--epochs", type=int, default=5)
    mnist.add_argument("--rounds", type=int, default=5)
    mnist.set_defaults(run=run_mnist)
    deep = commands.add_parser("deep", help="training steps of 3 layers of 100 with dropout")
    deep.add_argument("--rounds", type=int, default=300)
    deep.set_defaults(run=run_deep)
    for command in (mnist, deep):
        command.add_argument("--json", help="also write the results there")
    options = parser.parse_args()
    options.run(options)
