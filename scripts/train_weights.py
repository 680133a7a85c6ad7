"""Trains the networks that ship with the package, and checks them.

    python scripts/train_weights.py seq2vec_mnist --data_dir data    # trains, and writes the weights and their figures
    python scripts/train_weights.py --check --data_dir data          # evaluates all shipped weights against their figures

`trained_networks.yaml` says how each network is trained: once for each seed, on one CPU thread. The network with the
lowest validation loss is shipped; the test set is only used afterwards. The figures are saved in the JSON file beside
the weights, from which `scripts/tables.py` writes them into README and the model card.
"""

import argparse
import contextlib
import json
import platform
import sys
import tempfile
from pathlib import Path
from typing import Any

import lightning
import tables
import torch
import yaml
from measure import QUIET, fit

from rnn_lightning import __version__
from rnn_lightning.cli.arguments import fail
from rnn_lightning.data import SequenceDataModule, SequenceMNIST, SyntheticSine
from rnn_lightning.errors import ArgumentError
from rnn_lightning.files import write_atomically
from rnn_lightning.nn import RecurrentNet
from rnn_lightning.saved import load_network, read_description, save_network

WEIGHTS = tables.ROOT / "rnn_lightning" / "weights"
NETWORKS: dict[str, dict[str, Any]] = yaml.safe_load(Path(__file__).with_name("trained_networks.yaml").read_text())
TOLERANCES = {"acc": 0.0003, "mse": 0.0001}
"""On another machine, a few images in ten thousand, or the last digit, may come out differently."""


def train(entry: dict[str, Any], seed: int, data_dir: str, folder: str) -> tuple[float, str]:
    """Fits with the entry's recipe, and returns the best checkpoint's validation loss and path."""
    arguments = [f"--config={entry['recipe']}", *entry["arguments"], f"--seed_everything={seed}"]
    arguments += [f"--trainer.logger.save_dir={folder}", *QUIET]
    arguments += [f"--data.data_dir={data_dir}"] if entry["metric"] == "acc" else []
    with contextlib.redirect_stderr(sys.stdout):
        _, run = fit(arguments, test=False)
    best = run.trainer.checkpoint_callback
    return float(best.best_model_score), best.best_model_path


def held_out(metric: str, data_dir: str) -> SequenceDataModule:
    """Returns the data for networks with this metric (digits or the series), with the test set ready."""
    data = SequenceMNIST(data_dir, eval_batch_size=1000) if metric == "acc" else SyntheticSine(eval_batch_size=1000)
    data.setup("test")
    return data


@torch.no_grad()
def evaluate(net: RecurrentNet, data: SequenceDataModule) -> float:
    """Returns the test metric in plain torch: a classifier's accuracy, else the mean squared error over all steps."""
    total, count = 0.0, 0
    for batch in data.test_dataloader():
        (y_hat, _), y = net.eval()(batch["x"]), batch["y"]
        scores = y_hat.argmax(-1) == y if isinstance(data, SequenceMNIST) else (y_hat - y) ** 2
        total += float(scores.sum())
        count += y.numel()
    return total / count


def make(name: str, entry: dict[str, Any], seeds: list[int], data_dir: str, output: Path) -> None:
    """Trains a network once per seed, and writes the one with the lowest validation loss, with the figures of all."""
    data = held_out(entry["metric"], data_dir)  # before training, so that missing files are found at once
    runs: dict[str, dict[str, float]] = {}
    networks = {}
    with tempfile.TemporaryDirectory() as folder:
        for seed in seeds:
            val_loss, checkpoint = train(entry, seed, data_dir, folder)
            networks[seed] = load_network(checkpoint), read_description(checkpoint)["arguments"]
            runs[str(seed)] = {"val_loss": round(val_loss, 5)}
            print(f"{name}, seed {seed}: val/loss {val_loss:.5f}", flush=True)
    best = min(seeds, key=lambda seed: runs[str(seed)]["val_loss"])
    for seed, (net, _) in networks.items():
        runs[str(seed)]["test"] = round(evaluate(net, data), 4)
    versions = {
        "rnn_lightning": __version__,
        "torch": torch.__version__,
        "Lightning": lightning.__version__,
        "Python": platform.python_version(),
        "machine": platform.machine(),
    }
    save_network(*networks[best], output, name)
    path = output / f"{name}.json"
    training = {**entry, "seed": best, "runs": runs, "versions": versions}
    write_atomically(path, json.dumps({**json.loads(path.read_text()), "training": training}, indent=1) + "\n")
    print(f"{path}: test {entry['metric']} {runs[str(best)]['test']}, by seed {best} of {seeds}")


def check(names: list[str], data_dir: str, folder: Path) -> list[str]:
    """Returns error messages about the weights in a folder; an empty list if each network reaches its figures."""
    wrong = []
    for name in names:
        path = folder / f"{name}.json"
        training = read_description(path).get("training")
        if training is None:
            wrong.append(f"{name}: {path} has no figures: train the network again")
            continue
        metric, claimed = training["metric"], training["runs"][str(training["seed"])]["test"]
        found = evaluate(load_network(path), held_out(metric, data_dir))
        print(f"{name}: test {metric} {found:.5f}; its figures say {claimed}")
        if abs(found - claimed) > TOLERANCES[metric]:
            wrong.append(f"{name}: its figures say test {metric} {claimed}, but the weights have {found:.5f}")
    return wrong


def run(arguments: list[str] | None = None) -> None:
    """The command line: trains or checks the named networks."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"what to train or check: {', '.join(NETWORKS)}")
    parser.add_argument("--check", action="store_true", help="evaluate the shipped weights; all if no name is given")
    parser.add_argument("--data_dir", default="data", help="folder of the MNIST files")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="one training each")
    parser.add_argument("--output", type=Path, default=WEIGHTS, help="folder for the weights")
    options = parser.parse_args(arguments)
    unknown = [name for name in options.names if name not in NETWORKS]
    if unknown or not (options.names or options.check):
        fail(f"{', '.join(unknown) or 'no NAME'}: give one or more of {', '.join(NETWORKS)}")
    torch.set_num_threads(1)  # rounding of sums depends on the number of threads
    try:
        if options.check:
            wrong = check(options.names or list(NETWORKS), options.data_dir, options.output)
            sys.exit("\n".join(wrong) or None)
        for name in options.names:
            make(name, NETWORKS[name], options.seeds, options.data_dir, options.output)
    except ArgumentError as error:
        fail(str(error))
    if options.output == WEIGHTS:
        tables.fill_all()


if __name__ == "__main__":
    run()
