"""What people bring along to the command line: a DataModule, a LightningModule, loggers and a file system."""

import os
from typing import Any

import torch
from fsspec.implementations.dirfs import DirFileSystem
from fsspec.implementations.local import LocalFileSystem
from lightning.pytorch import LightningDataModule, LightningModule
from lightning.pytorch.loggers import Logger, TensorBoardLogger
from torch.utils.data import DataLoader, TensorDataset

from rnn_lightning.models import Seq2Seq


class TrainingOnly(LightningDataModule):
    """Has neither validation nor test."""

    def __init__(self, size: int = 2, num_workers: int = 0):
        super().__init__()
        self.input_size, self.output_size, self.num_workers = size, 1, num_workers

    def train_dataloader(self):
        x = torch.randn(12, 5, self.input_size, generator=torch.Generator().manual_seed(0))
        return DataLoader(TensorDataset(x, x.sum(-1, keepdim=True)), batch_size=4, num_workers=self.num_workers)


class Sales(TrainingOnly):
    """Has all loaders."""

    def val_dataloader(self):
        return self.train_dataloader()

    def test_dataloader(self):
        return self.train_dataloader()

    def predict_dataloader(self):
        return self.train_dataloader()


class OtherSales(Sales):
    """The same under another name."""


class Untold(Sales):
    """All targets are missing."""

    def train_dataloader(self):
        x = torch.randn(12, 5, self.input_size)
        return DataLoader(TensorDataset(x, torch.full((12, 5, 1), float("nan"))), batch_size=4)


class Noted(Sales):
    """Takes a text."""

    def __init__(self, note: str = ""):
        super().__init__()


class Mine(LightningModule):
    """A module that knows nothing of this package, with an argument of its own."""

    def __init__(self, width: int = 3):
        super().__init__()
        self.save_hyperparameters()
        self.layers = torch.nn.Sequential(torch.nn.Linear(2, width), torch.nn.Linear(width, 1))

    def loss(self, batch):
        x, y = batch
        return (self.layers(x) - y).square().mean()

    def training_step(self, batch, batch_idx):
        return self.loss(batch)

    def validation_step(self, batch, batch_idx):
        self.log("val/loss", self.loss(batch))

    def test_step(self, batch, batch_idx):
        self.log("test/loss", self.loss(batch))

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.1)


class WithNote(Mine):
    """Saves more than its arguments."""

    def __init__(self, width: int = 3):
        super().__init__(width)
        self.save_hyperparameters({"note": "of the weather", "weights": [1.0, 2.0]})


class Unranked(Mine):
    """Logs its validation loss under another name."""

    def validation_step(self, batch, batch_idx):
        self.log("val_loss", self.loss(batch))


class Predicting(Mine):
    """Gives tensors as predictions, and has an argument of a name that Seq2Seq gives another meaning."""

    def __init__(self, width: int = 3, cell: str = "lstm", given: str = "steps"):
        super().__init__(width)
        self.given = given

    def predict_step(self, batch, batch_idx):
        y = self.layers(batch[0])  # (B, T, 1)
        return {"steps": y, "last": y[:, -1], "named": {"prediction": y, "ids": ["a"] * len(y)}, "mean": y.mean()}[
            self.given
        ]


class Steps(Mine):
    """Reads the dicts of the package's data modules, and predicts each step with its own layers."""

    def loss(self, batch):
        return torch.nn.functional.mse_loss(self.layers(batch["x"]), batch["y"])

    def predict_step(self, batch, batch_idx):
        return self.layers(batch["x"])


class MySeq2Seq(Seq2Seq):
    """Seq2Seq under another name, with a loss of its own and an argument for it."""

    def __init__(self, *args: Any, power: float = 3.0, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.power = power

    def chunk_step(self, chunk, state):
        _, targets, state, more = super().chunk_step(chunk, state)
        loss = (more["prediction"] - chunk["y"]).abs().pow(self.power).sum()
        return loss, targets, state, more


class Broken(Mine):
    """Has a bug in its constructor."""

    def __init__(self, width: int = 3):
        super().__init__(width)
        try:
            open("nowhere.txt")  # noqa: SIM115
        except FileNotFoundError:
            {}["the bug"]


class BrokenStep(Mine):
    """Asks Lightning for what it refuses, by a bug in a step."""

    def training_step(self, batch, batch_idx):
        self.log("loss", "no number")


class BrokenTest(Mine):
    """Trains well and has a bug in its test."""

    def test_step(self, batch, batch_idx):
        raise IndexError("the bug")


class Silent(Logger):
    """A logger with no folder of its own."""

    @property
    def name(self):
        return "silent"

    @property
    def version(self):
        return 0

    def log_metrics(self, metrics, step=None):
        pass

    def log_hyperparams(self, params, *args, **kwargs):
        pass


class Shared(Silent):
    """A logger whose folder all of its runs share."""

    def __init__(self, save_dir: str):
        super().__init__()
        self.folder = save_dir

    @property
    def save_dir(self):
        return self.folder


class Elsewhere(TensorBoardLogger):
    """A logger that keeps a folder for each run, in a place that no argument says."""

    def __init__(self):
        super().__init__("elsewhere", name="mine")


class Bucket(DirFileSystem):
    """`bucket://...`: a remote file system to all that ask, and a folder that other processes see in truth."""

    protocol = "bucket"

    def __init__(self, **options):
        super().__init__(path=os.environ["BUCKET"], fs=LocalFileSystem(auto_mkdir=True), **options)


class Needs(Mine):
    """Has an argument without a default."""

    def __init__(self, width: int, note: str = ""):
        super().__init__(width)


class NeedsToo(Needs):
    """Hands its arguments on."""

    def __init__(self, scale: float, **kwargs: Any):
        super().__init__(**kwargs)
        self.save_hyperparameters()


class Forgetful(LightningModule):
    """Does not keep its argument in checkpoints."""

    def __init__(self, width: int):
        super().__init__()
        self.inner = Mine(width)

    def training_step(self, batch, batch_idx):
        return self.inner.loss(batch)

    def validation_step(self, batch, batch_idx):
        self.log("val/loss", self.inner.loss(batch))

    def test_step(self, batch, batch_idx):
        self.log("test/loss", self.inner.loss(batch))

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.1)


class Bounded(Forgetful):
    """Requires an argument that may be None, and does not keep it either."""

    def __init__(self, width: int, bound: float | None):
        super().__init__(width)
