"""What tests in all rooms share: one thread a process, files in MNIST's format, small or real, and a clean state."""

import gc
import gzip
import os
import sys
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"  # before torch is imported, and for every process that a test starts

import numpy as np
import pytest
import torch

REAL_MNIST = Path(__file__).parents[2] / "shared" / "data" / "mnist"


def pytest_collection_finish():
    """Leaves the imported libraries out of garbage collections, which otherwise take a tenth of the processor's time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 100)


@pytest.fixture(autouse=True)
def _clean_state():
    """One thread (the workers of pytest-xdist share the cores), no screen for figures, no seed from another test.

    A test that needs two threads calls `torch.set_num_threads(2)`.
    """
    torch.set_num_threads(1)
    if "matplotlib" in sys.modules:
        sys.modules["matplotlib"].use("agg")
    before = os.environ.pop("PL_GLOBAL_SEED", None)
    yield
    os.environ.pop("PL_GLOBAL_SEED", None)
    if before is not None:
        os.environ["PL_GLOBAL_SEED"] = before


@pytest.fixture
def own_folder(tmp_path, monkeypatch):
    """An empty folder, in which the test runs."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def own_parts_folder(own_folder, monkeypatch):
    """The same, where commands find the models and data of `own_parts.py`."""
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    return own_folder


@pytest.fixture
def use_native(monkeypatch):
    """Chooses the variant of the recurrence in C; the environment variable is read once per process."""
    from rnn_lightning.nn.native.library import SWITCH, load

    def use(variant):
        monkeypatch.setenv(SWITCH, variant)
        load.cache_clear()

    yield use
    load.cache_clear()


@pytest.fixture(scope="session")
def silent_trainer():
    """Makes a Trainer on the CPU that neither prints nor writes: `silent_trainer(max_epochs=1, ...)`."""
    from lightning.pytorch import Trainer

    off = dict.fromkeys(("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False)
    return lambda **options: Trainer(**{"accelerator": "cpu", **off, **options})


@pytest.fixture
def fail(capsys):
    """Runs a command that must fail, and returns the one line it prints."""

    from rnn_lightning.cli import main

    def run(*arguments):
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            main(list(arguments))
        lines = capsys.readouterr().err.strip().splitlines()
        assert end.value.code == 2
        assert lines[-1].startswith("error: ")
        assert len(lines) == 1, lines
        return lines[-1]

    return run


def idx_bytes(array):
    """An IDX file of unsigned bytes."""
    array = np.asarray(array, dtype=np.uint8)
    return bytes((0, 0, 8, array.ndim)) + np.array(array.shape, ">u4").tobytes() + array.tobytes()


def fake_mnist(folder, train=600, test=200, rows=28, columns=28, classes=10, packed=False, seed=0):
    """Writes four small files in MNIST's format: each class is a fixed random picture under noise, easy to learn."""
    rng = np.random.default_rng(seed)
    templates = rng.integers(0, 2, (classes, rows, columns)) * 160
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for part, count in (("train", train), ("t10k", test)):
        labels = np.arange(count) % classes
        rng.shuffle(labels)
        images = templates[labels] + rng.integers(0, 90, (count, rows, columns))
        for name, array in ((f"{part}-images-idx3-ubyte", images), (f"{part}-labels-idx1-ubyte", labels)):
            data = idx_bytes(array)
            (folder / (name + ".gz" * packed)).write_bytes(gzip.compress(data, 1) if packed else data)
    return folder


@pytest.fixture(scope="session")
def make_mnist():
    """The function that writes such files: `make_mnist(folder, train=600, test=200, rows=28, ...)`."""
    return fake_mnist


@pytest.fixture(scope="session")
def fake_mnist_dir(tmp_path_factory):
    """A folder with 600 training and 200 test images, 28 x 28, 10 classes; to be read with `verify=False`."""
    return fake_mnist(tmp_path_factory.mktemp("mnist"))


@pytest.fixture(scope="session")
def mnist_dir():
    """The folder of the real files: RNN_LIGHTNING_MNIST, else ../shared/data/mnist beside the repository."""
    folder = Path(os.environ.get("RNN_LIGHTNING_MNIST", REAL_MNIST))
    if not folder.is_dir():
        pytest.skip("no MNIST files; set RNN_LIGHTNING_MNIST to their folder")
    return folder
