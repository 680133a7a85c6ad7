"""Compares the final weights of seeded fits here and in another checkout, after a change to the training loop.

    python scripts/same_seeds.py --against ../other_checkout

Each checkout trains every case in a fresh process, on torch's recurrences (which are the same in all versions) and one
thread. The table shows the largest difference between the weights, where 0 means equal, bit for bit.
"""

import argparse
import logging
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Trainer
from tbptt_case import QUIET
from torch.utils.data import DataLoader

from rnn_lightning.models import Seq2Seq, Seq2Vec, TruncatedBPTT
from rnn_lightning.nn import force_path

ROWS, STEPS, BATCHES = 4, 100, 4
CASES: dict[str, dict[str, Any]] = {
    "whole sequences, RNN": {"cell": "rnn"},
    "whole sequences, GRU, 64-true": {"cell": "gru", "precision": "64-true"},
    "k1=20": {"tbptt": {"k1": 20}},
    "k1=20, k2=30, RNN": {"tbptt": {"k1": 20, "k2": 30}, "cell": "rnn"},
    "k1=30, k2=50, two layers": {"tbptt": {"k1": 30, "k2": 50}, "num_layers": 2},
    "k1=20, clipped": {"tbptt": {"k1": 20, "gradient_clip_val": 0.01}},
    "k1=20, one step per batch": {"tbptt": {"k1": 20, "step_every": "batch"}},
    "k1=30, a step in 2 batches": {"tbptt": {"k1": 30, "step_every": 2}},
    "k1=30, a step in 3 batches": {"tbptt": {"k1": 30, "step_every": 3}},
    "k1=30, lengths": {"tbptt": {"k1": 30}, "lengths": True},
    "k1=30, lengths, one step per batch": {"tbptt": {"k1": 30, "step_every": "batch"}, "lengths": True},
    "k1=20, fresh masks": {"tbptt": {"k1": 20, "k2": 25}, "input_dropout": 0.3, "output_dropout": 0.2},
    "stream": {"carry_state": True},
    "stream in chunks": {"carry_state": True, "tbptt": {"k1": 30}},
    "stream, variational masks": {"carry_state": True, "variational": True, "input_dropout": 0.3},
    "one output per sequence, k1=10, k2=25": {"model": Seq2Vec, "tbptt": {"k1": 10, "k2": 25}, "lengths": True},
}


def weights(case: dict[str, Any]) -> dict[str, torch.Tensor]:
    """Returns the weights after two epochs of Adam with seed 0."""
    case = {"model": Seq2Seq, "cell": "lstm", "precision": "32-true", "lengths": False, **case}
    model, precision, lengths = (case.pop(name) for name in ("model", "precision", "lengths"))
    if "tbptt" in case:
        case["tbptt"] = TruncatedBPTT(**case["tbptt"])
    torch.manual_seed(0)
    module = model(2, 1, task="regression", hidden_size=8, optimizer=torch.optim.Adam, **case)
    batches = []
    for _ in range(BATCHES):
        x = torch.randn(ROWS, STEPS, 2)
        batch = {"x": x, "y": x.sum(-1).cumsum(1) / 10 if model is Seq2Seq else x.sum((1, 2))}
        batches.append({**batch, "lengths": torch.randint(1, STEPS + 1, (ROWS,))} if lengths else batch)
    with force_path("torch"):
        trainer = Trainer(max_epochs=2, precision=precision, **QUIET)
        trainer.fit(module, DataLoader(batches, batch_size=None))  # type: ignore[arg-type]
    return module.net.state_dict()


def trained(checkout: Path) -> dict[str, dict[str, torch.Tensor]]:
    """Returns the weights of every case, trained by a checkout."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "weights.pt")
        environment = {**os.environ, "PYTHONPATH": str(checkout.resolve())}
        subprocess.run([sys.executable, __file__, "--save", str(file)], check=True, env=environment)
        return torch.load(file, weights_only=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--against", type=Path, help="the other checkout")
    parser.add_argument("--save", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.save is not None:
        logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
        torch.set_num_threads(1)
        torch.save({name: weights(case) for name, case in CASES.items()}, options.save)
    elif options.against is None:
        parser.error("give --against CHECKOUT")
    else:
        ours, theirs = trained(Path(__file__).parent.parent), trained(options.against)
        print("| case | largest difference |\n|---|---|")
        for name in CASES:
            difference = max(float((a - theirs[name][key]).abs().max()) for key, a in ours[name].items())
            print(f"| {name} | {difference:.2g} |")


if __name__ == "__main__":
    main()
