"""Datasets cross a process border without their owners: neither data module nor Trainer goes along."""

import multiprocessing
import pickle
import pickletools

import numpy as np
import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from series_tables import hourly

from rnn_lightning.data import (
    AddingProblem,
    CopyMemory,
    SequenceArrays,
    SequenceDataModule,
    SequenceMNIST,
    SineStream,
    SyntheticSine,
    TextStream,
    TimeSeries,
)

SMALL = {"batch_size": 4, "steps_per_epoch": 2}
MODULES = {
    "sine": lambda folder, **settings: SyntheticSine(eval_windows=8, **SMALL, **settings),
    "stream": lambda folder, **settings: SineStream(**SMALL, **settings),
    "text": lambda folder, **settings: Text(**settings),
    "own": lambda folder, **settings: own_sequences(**settings),
    "adding": lambda folder, **settings: AddingProblem(eval_sequences=8, **SMALL, **settings),
    "copy": lambda folder, **settings: CopyMemory(eval_sequences=8, **SMALL, **settings),
    "series": lambda folder, **settings: TimeSeries(
        hourly(), target="load", time="when", id="site", n_steps=8, batch_size=100, **settings
    ),
    "series in order": lambda folder, **settings: TimeSeries(
        hourly(), target="load", time="when", id="site", n_steps=8, batch_size=4, stream=True, **settings
    ),
    "arrays": lambda folder, **settings: arrays(folder, **settings),
    "mnist": lambda folder, **settings: SequenceMNIST(
        folder, verify=False, val_size=8, batch_size=296, eval_batch_size=100, **settings
    ),
}


class Text(TextStream):
    """So short that a fit takes no time; what is predicted for it is text, so here that set is the test's."""

    def __init__(self, **settings):
        super().__init__(val=0.49, test=0.49, n_steps=400, batch_size=8, **settings)

    def setup(self, stage=None):
        super().setup(stage)
        self.datasets["predict"] = self.datasets["test"]


def arrays(folder, **settings):
    x = np.arange(160.0)[:, None, None] + np.zeros((1, 5, 2))
    np.savez(folder / "own.npz", x=x, y=np.arange(160) % 4, lengths=np.arange(160) % 5 + 1)
    return SequenceArrays(folder / "own.npz", batch_size=4, **settings)


def own_sequences(**settings):
    rows = [(torch.full((1 + i % 5, 2), float(i)), i % 3) for i in range(30)]
    given = {f"{part}_dataset": rows for part in ("train", "val", "test", "predict")}
    return SequenceDataModule.from_datasets(**given, batch_size=4, **settings)


class Sums(LightningModule):
    """Learns nothing; keeps the sum of every training batch."""

    def __init__(self):
        super().__init__()
        self.weight, self.shown, self.pickled = torch.nn.Parameter(torch.zeros(())), [], {}

    def training_step(self, batch, batch_idx):
        self.shown.append(float(batch["x"].double().sum()))
        datasets = self.trainer.datamodule.datasets
        self.pickled = {split: pickle.dumps(dataset) for split, dataset in datasets.items()}
        return self.weight * batch["x"].float().mean()

    def validation_step(self, batch, batch_idx):
        pass

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


def fit(data):
    model = Sums()
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False, "accelerator": "cpu"}
    Trainer(max_epochs=1, enable_checkpointing=False, num_sanity_val_steps=0, **quiet).fit(model, datamodule=data)
    return model


@pytest.mark.parametrize("name", MODULES)
def test_datasets_of_a_running_trainer_pickle_without_it(name, fake_mnist_dir):
    pickled = fit(MODULES[name](fake_mnist_dir)).pickled
    assert set(pickled) == {"train", "val", "test", "predict"}
    for split, content in pickled.items():
        words = {str(argument) for _, argument, _ in pickletools.genops(content) if isinstance(argument, str)}
        assert not {word for word in words if "Trainer" in word or "lightning.pytorch" in word}, split
        assert {"x", "y"} <= set(pickle.loads(content).__getitems__([0]))


@pytest.mark.slow
@pytest.mark.parametrize(
    "method", [m for m in ("fork", "spawn", "forkserver") if m in multiprocessing.get_all_start_methods()]
)
@pytest.mark.parametrize("name", MODULES)
def test_a_fit_loads_the_same_in_workers_of_every_kind(name, method, fake_mnist_dir):
    before = multiprocessing.get_start_method(allow_none=True)
    multiprocessing.set_start_method(method, force=True)
    try:
        shown = fit(MODULES[name](fake_mnist_dir, num_workers=1)).shown
    finally:
        multiprocessing.set_start_method(before, force=True)
    assert shown == fit(MODULES[name](fake_mnist_dir)).shown
