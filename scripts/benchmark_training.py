"""Times fits of the recipe `mnist_rnn`, and training steps of a deep network with dropout, against hand-written code.

    python scripts/benchmark_training.py mnist --data_dir data
    python scripts/benchmark_training.py deep

`mnist`: the recipe as the command line runs it, timed inside `trainer.fit`, with everything that is on by default:
Lightning, TensorBoard, the progress bar, checkpoints, metrics. This fit is compared with a bare loop over torch.nn.RNN,
a linear layer and Adam, with the same batches and validations; with the same loop over rnn_lightning.nn.RNN, which
shows what Lightning costs; and with a plain LightningModule with the same layers, fed by a DataLoader over a
TensorDataset, with Lightning's defaults.

If Keras 3 is installed (extra `bench`) and KERAS_BACKEND names a backend, such as jax, both are also compared with
Keras, which compiles its steps before the clock starts.

`deep`: 3 tanh layers of 100 units, 20 steps, batches of 50, dropout 0.3 on every layer's input and state, a linear
unit, MSE and Adam. Whole training steps are compared with a loop over torch.nn.RNNCell, as you would write it for state
dropout, with one mask per sequence or with `dropout` at every step; and with Keras' SimpleRNN layers, which use one
mask per sequence.
"""

import argparse
import importlib
import importlib.util
import os
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import lightning
import measure
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset
from torchmetrics.classification import MulticlassAccuracy

from rnn_lightning.data import SequenceMNIST
from rnn_lightning.nn import RNN, Seq2SeqNet

BATCH = 150
STEPS, ROWS, LAYERS, HIDDEN, P = 20, 50, 3, 100, 0.3  # of `deep`


def ours(data_dir: str, epochs: int, *more: str) -> float:
    """Returns the seconds inside `trainer.fit`, with further arguments of the command line."""
    arguments = [f"--data.data_dir={data_dir}", f"--trainer.max_epochs={epochs}", "--trainer.accelerator=cpu"]
    with measure.in_temporary_folder(), measure.silent():
        return measure.fit(["--config=mnist_rnn", *arguments, *more], test=False)[0]


def samples(data_dir: str) -> list[tuple[Tensor, Tensor]]:
    """Returns all training and all validation images, both with their labels."""
    data = SequenceMNIST(data_dir)
    data.setup("fit")
    stages = (data.datasets[stage] for stage in ("train", "val"))
    everything = (stage.__getitems__(list(range(len(stage)))) for stage in stages)  # type: ignore[attr-defined, arg-type]
    return [(batch["x"], batch["y"]) for batch in everything]


def bare(layer: type[nn.Module], data_dir: str, epochs: int) -> float:
    """Returns the seconds of a loop as a careful user of plain PyTorch would write it, over `nn.RNN` or a layer like it."""
    (x, y), (x_val, y_val) = samples(data_dir)
    rnn, head = layer(28, 150, batch_first=True), nn.Linear(150, 10)
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
    """The recipe's model as a user of torch.nn would write it."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn, self.head = nn.RNN(28, 150, batch_first=True), nn.Linear(150, 10)
        self.accuracy = MulticlassAccuracy(10, average="micro")

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(self.rnn(x)[1][-1])
        return logits

    def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
        loss = F.cross_entropy(self(batch[0]), batch[1])
        self.log("train/loss", loss)
        return loss

    def validation_step(self, batch: list[Tensor], batch_idx: int) -> None:
        logits = self(batch[0])
        self.accuracy(logits, batch[1])
        self.log("val/loss", F.cross_entropy(logits, batch[1]))
        self.log("val/acc", self.accuracy)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), lr=0.001)


def plain_lightning(data_dir: str, epochs: int) -> float:
    """Returns the seconds inside `trainer.fit` for a plain module on a DataLoader over a TensorDataset."""
    train, val = (TensorDataset(*tensors) for tensors in samples(data_dir))
    loaders = DataLoader(train, BATCH, shuffle=True), DataLoader(val, BATCH)
    with measure.in_temporary_folder(), measure.silent():
        trainer = lightning.Trainer(max_epochs=epochs, accelerator="cpu")
        return measure.timed(trainer.fit, Plain(), *loaders)


def keras_if_there() -> tuple[Any, str] | None:
    """Returns the module keras and the name of its backend; None without Keras or KERAS_BACKEND."""
    if "KERAS_BACKEND" not in os.environ or importlib.util.find_spec("keras") is None:
        return None
    keras: Any = importlib.import_module("keras")
    return keras, f"Keras {keras.__version__} on {keras.backend.backend()}"


def keras_fit(keras: Any, data_dir: str, epochs: int) -> float:
    """Returns the seconds that Keras' `fit` takes on the recipe's network, validation included."""
    train, val = (tuple(tensor.numpy() for tensor in tensors) for tensors in samples(data_dir))
    model = keras.Sequential([keras.Input((28, 28)), keras.layers.SimpleRNN(150), keras.layers.Dense(10)])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer=keras.optimizers.Adam(0.001), loss=loss, metrics=["accuracy"])
    few = [tensor[: 2 * BATCH] for tensor in train]
    model.fit(*few, batch_size=BATCH, validation_data=few, verbose=0)  # compiles
    sizes = {"batch_size": BATCH, "validation_batch_size": BATCH}
    return measure.timed(partial(model.fit, *train, epochs=epochs, validation_data=val, verbose=0, **sizes))


class Network(nn.Module):
    """Recurrent layers (T, B, I) -> (T, B, H), followed by a linear unit."""

    def __init__(self, layers: nn.Module) -> None:
        super().__init__()
        self.layers, self.head = layers, nn.Linear(HIDDEN, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, None]:
        return self.head(self.layers(x.transpose(0, 1))[0]).transpose(0, 1), None


def second(step: Callable[[], object]) -> Callable[[], float]:
    """Returns a function that times a step right after another step of the same network, as in training."""

    def once() -> float:
        step()
        return measure.timed(step)

    return once


def deep_contestants() -> dict[str, Callable[[], float]]:
    """Returns functions that time a whole training step (masks, forward, backward, Adam), by name."""
    x, y = torch.randn(ROWS, STEPS, 1), torch.randn(ROWS, STEPS, 1)
    net = partial(Seq2SeqNet, 1, 1, "rnn", "tanh", HIDDEN, LAYERS)
    loops = (measure.CellLoop("RNN", 1, HIDDEN, LAYERS, P, P, variational) for variational in (True, False))
    nets: dict[str, nn.Module] = {
        "loop over nn.RNNCell, variational": Network(next(loops)),
        "loop over nn.RNNCell, dropout at each step": Network(next(loops)),
        "rnn_lightning, variational": net(input_dropout=P, state_dropout=P, variational=True),
        "rnn_lightning, fresh masks": net(input_dropout=P, state_dropout=P),
        "rnn_lightning, no dropout": net(),
        "torch.nn.RNN, no dropout": Network(nn.RNN(1, HIDDEN, LAYERS)),
    }
    optimizers = {name: torch.optim.Adam(net.parameters(), lr=1e-3) for name, net in nets.items()}

    def step(name: str) -> None:
        optimizers[name].zero_grad()
        F.mse_loss(nets[name](x)[0], y).backward()
        optimizers[name].step()

    contestants = {name: second(partial(step, name)) for name in nets}
    contestants["of each step: Adam"] = second(optimizers["rnn_lightning, no dropout"].step)
    if found := keras_if_there():
        keras, name = found
        layer = {"return_sequences": True, "dropout": P, "recurrent_dropout": P}
        layers = [keras.layers.SimpleRNN(HIDDEN, **layer) for _ in range(LAYERS)]
        model = keras.Sequential([keras.Input((STEPS, 1)), *layers, keras.layers.Dense(1)])
        model.compile(optimizer=keras.optimizers.Adam(1e-3), loss="mse")
        contestants[f"{name}, variational"] = second(partial(model.train_on_batch, x.numpy(), y.numpy()))
    return contestants


def mnist(options: argparse.Namespace) -> None:
    fits: dict[str, Callable[[str, int], float]] = {
        "bare nn.RNN loop": partial(bare, nn.RNN),
        "bare rnn_lightning.nn.RNN loop": partial(bare, RNN),
        "rnn_lightning fit": ours,
        "plain Lightning module": plain_lightning,
    }
    if found := keras_if_there():
        keras, name = found
        fits[name] = partial(keras_fit, keras)
    contestants = {name: partial(run, options.data_dir, options.epochs) for name, run in fits.items()}
    times = measure.alternate(contestants, options.rounds or 5)
    measure.publish(options, "mnist_rnn", measure.table(times, "bare nn.RNN loop"))


def deep(options: argparse.Namespace) -> None:
    contestants = deep_contestants()
    with measure.silent():
        measure.alternate(contestants, 5)  # warms up
        times = measure.alternate(contestants, options.rounds or 300)
    measure.publish(options, "deep", measure.table(times, "loop over nn.RNNCell, variational", unit="ms"))


if __name__ == "__main__":
    parser = measure.options_of(__doc__)
    benchmarks = {"mnist": mnist, "deep": deep}
    parser.add_argument("what", choices=benchmarks)
    parser.add_argument("--data_dir", type=os.path.abspath, default="data", help="folder of the four MNIST files")
    parser.add_argument("--epochs", type=int, default=5, help="epochs of each fit")
    parser.add_argument("--rounds", type=int, help="alternations; 5 fits or 300 steps by default")
    options = parser.parse_args()
    benchmarks[options.what](options)
