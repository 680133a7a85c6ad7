"""Trains the networks that ship with the package, and checks them.

    python scripts/train_weights.py seq2vec_mnist --data_dir data    # trains, writes weights and model card
    python scripts/train_weights.py --check --data_dir data          # evaluates all shipped weights against their cards

A network is trained once for each seed, by its recipe, on one thread of the CPU. The best by validation is shipped; the
test set is only looked at afterwards.
"""

import argparse
import contextlib
import sys
import tempfile
from pathlib import Path

import torch
from model_card import Run, read_card, write_card
from torch.nn import functional as F
from trained_networks import NETWORKS, TrainedNetwork

from rnn_lightning.callbacks import BestAndLast
from rnn_lightning.cli import CLI, fail, main
from rnn_lightning.data import SequenceDataModule, SequenceMNIST, SyntheticSine
from rnn_lightning.errors import ArgumentError
from rnn_lightning.nn import RecurrentNet
from rnn_lightning.saved import load_network, read_description, save_network

ROOT = Path(__file__).resolve().parents[1]
WEIGHTS = ROOT / "rnn_lightning" / "weights"


class Training(CLI):
    """A fit that tells where its best checkpoint is, and tests nothing."""

    best: tuple[float, str] = (float("inf"), "")

    def after_fit(self) -> None:
        """Keeps the score and the path of the best checkpoint."""
        (callback,) = (c for c in self.trainer.callbacks if isinstance(c, BestAndLast))  # type: ignore[attr-defined]
        type(self).best = (float(callback.best_model_score or "inf"), callback.best_model_path)


def train(entry: TrainedNetwork, seed: int, data_dir: str, folder: str) -> tuple[float, str]:
    """Fits by the entry's recipe; the validation loss of the best checkpoint, and its path."""
    arguments = ["fit", f"--config={entry.recipe}", *entry.overrides, f"--seed_everything={seed}"]
    arguments += [f"--trainer.logger.save_dir={folder}", "--trainer.accelerator=cpu"]
    arguments += [f"--data.data_dir={data_dir}"] if entry.on_mnist else []
    arguments += ["--trainer.enable_progress_bar=false", "--trainer.enable_model_summary=false"]
    with contextlib.redirect_stderr(sys.stdout):
        main(arguments, Training)
    return Training.best


def held_out(entry: TrainedNetwork, data_dir: str) -> SequenceDataModule:
    """The entry's data, with the test set ready."""
    data = SequenceMNIST(data_dir, eval_batch_size=1000) if entry.on_mnist else SyntheticSine(eval_batch_size=1000)
    data.setup("test")
    return data


@torch.no_grad()
def evaluate(net: RecurrentNet, data: SequenceDataModule) -> float:
    """The test metric in plain torch: accuracy of a classifier of digits, else the mean squared error of every step."""
    total, count = 0.0, 0
    for batch in data.test_dataloader():
        y_hat, _ = net.eval()(batch["x"])
        hits = (y_hat.argmax(-1) == batch["y"]).sum() if isinstance(data, SequenceMNIST) else None
        total += float(F.mse_loss(y_hat, batch["y"], reduction="sum") if hits is None else hits)
        count += batch["y"].numel()
    return total / count


def make(entry: TrainedNetwork, seeds: list[int], data_dir: str, output: Path) -> None:
    """Trains a network once for each seed, and writes the one that validates best, with its card."""
    data = held_out(entry, data_dir)  # before the training: files that are missing show at once
    val_losses, networks = {}, {}
    with tempfile.TemporaryDirectory() as folder:
        for seed in seeds:
            val_losses[seed], checkpoint = train(entry, seed, data_dir, folder)
            networks[seed] = load_network(checkpoint), read_description(checkpoint)["arguments"]
            print(f"{entry.name}, seed {seed}: val/loss {val_losses[seed]:.5f}", flush=True)
    best = min(seeds, key=lambda seed: val_losses[seed])
    runs = [Run(seed, val_losses[seed], evaluate(networks[seed][0], data)) for seed in seeds]
    path = save_network(*networks[best], output, entry.name)
    write_card(output / f"{entry.name}.md", entry, path, runs, best)
    test = evaluate(load_network(output / f"{entry.name}.json"), data)
    print(f"{path}: test {entry.metric} {test:.5f}, by seed {best} of {seeds}")


def check(names: list[str], data_dir: str, folder: Path) -> list[str]:
    """What is wrong with the weights and cards in a folder; nothing, if each card says what its weights do."""
    wrong = []
    for name in names:
        entry = NETWORKS[name]
        card = read_card(folder / f"{name}.md")
        description = read_description(folder / f"{name}.json")
        found = evaluate(load_network(folder / f"{name}.json"), held_out(entry, data_dir))
        size = (folder / description["weights"]).stat().st_size
        print(f"{name}: test {entry.metric} {found:.5f}, the card says {card.test:.5f}")
        # One image in ten thousand, or the last digit, may fall otherwise on another machine.
        if abs(found - card.test) > (0.0003 if entry.on_mnist else 0.0001):
            wrong.append(f"{name}: the card says test {entry.metric} {card.test}, the weights have {found:.5f}")
        if (card.weights, card.sha256, card.size) != (description["weights"], description["sha256"], size):
            wrong.append(f"{name}: the card is of another file than {description['weights']} of {size} bytes")
    return wrong


def run(arguments: list[str] | None = None) -> None:
    """The command line: trains what is named, or checks it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"what to train or check: {', '.join(NETWORKS)}")
    parser.add_argument("--check", action="store_true", help="evaluate the shipped weights; all if no name is given")
    parser.add_argument("--data_dir", default="data", help="folder of the MNIST files")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="one training each")
    parser.add_argument("--output", type=Path, default=WEIGHTS, help="folder of weights and cards")
    options = parser.parse_args(arguments)
    unknown = [name for name in options.names if name not in NETWORKS]
    if unknown or not (options.names or options.check):
        fail(f"{', '.join(unknown) or 'no NAME'}: give one or several of {', '.join(NETWORKS)}")
    torch.set_num_threads(1)  # sums are rounded by the number of threads
    try:
        if options.check:
            wrong = check(options.names or list(NETWORKS), options.data_dir, options.output)
            sys.exit("\n".join(wrong) or None)
        for name in options.names:
            make(NETWORKS[name], options.seeds, options.data_dir, options.output)
    except ArgumentError as error:
        fail(str(error))


if __name__ == "__main__":
    run()
