"""Compares the final weights of seeded fits here and in another checkout, after a change to the training loop.

    python scripts/same_seeds.py --against ../other_checkout

Each checkout trains every case in a fresh process, on torch's recurrences (which are the same in all versions) and one
thread. The table shows the largest difference between the weights, where 0 means equal, bit for bit.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Trainer
from tbptt_case import QUIET
from torch import tensor
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


class Batches(list[dict[str, torch.Tensor]]):
    """Batches whose rows continue those of the batch before, if the model carries its state."""

    contiguous = True


def weights(case: dict[str, Any]) -> dict[str, Any]:
    """Returns the weights after two epochs of Adam with seed 0, as lists of numbers."""
    case = {"model": Seq2Seq, "cell": "lstm", "precision": "32-true", "lengths": False, **case}
    model, precision, lengths = (case.pop(name) for name in ("model", "precision", "lengths"))
    if "tbptt" in case:
        case["tbptt"] = TruncatedBPTT(**case["tbptt"])
    torch.manual_seed(0)
    module = model(2, 1, task="regression", hidden_size=8, optimizer=torch.optim.Adam, **case)
    batches = Batches()
    for _ in range(BATCHES):
        x = torch.randn(ROWS, STEPS, 2)
        batch = {"x": x, "y": x.sum(-1).cumsum(1) / 10 if model is Seq2Seq else x.sum((1, 2))}
        batches.append({**batch, "lengths": torch.randint(1, STEPS + 1, (ROWS,))} if lengths else batch)
    with force_path("torch"):
        trainer = Trainer(max_epochs=2, precision=precision, **QUIET)
        trainer.fit(module, DataLoader(batches, batch_size=None))  # type: ignore[arg-type]
    return {name: weight.tolist() for name, weight in module.net.state_dict().items()}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--against", type=Path, help="the other checkout; without it, the weights are printed as JSON")
    other = parser.parse_args().against
    if other is None:
        torch.set_num_threads(1)
        print(json.dumps({name: weights(case) for name, case in CASES.items()}))
    else:
        from measure import child, markdown  # only here, as the other version may lack what they import

        ours, theirs = (child(__file__, PYTHONPATH=str(path.resolve())) for path in (Path(__file__).parents[1], other))
        differences = (
            max(float((tensor(a) - tensor(theirs[name][key])).abs().max()) for key, a in ours[name].items())
            for name in CASES
        )
        rows = [(name, f"{difference:.2g}") for name, difference in zip(CASES, differences, strict=True)]
        print(markdown(("case", "largest difference"), rows))
