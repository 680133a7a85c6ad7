"""Memory and time of a training step by truncated BPTT, against the length of the sequence and a hand-written loop.

    python scripts/benchmark_tbptt.py

An LSTM (B 32, I 1, H 128) with a linear head, k1 = k2 = 100, SGD. Each case runs in a fresh process: three batches
through `Trainer.fit`, of which the last two count. Memory is the peak of resident memory beyond what it was with
the input in place, after a warm-up batch of 200 steps. Full BPTT stands beside it where it fits, and the same network
in a plain loop over chunks, which is what a careful user would write by hand.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from typing import Any

import torch
from lightning.pytorch import Trainer
from measure import alternate, options_of, publish, table
from tables import markdown
from torch.nn import functional as F
from torch.utils.data import DataLoader

from rnn_lightning.models import Seq2Seq, TruncatedBPTT

ROWS, HIDDEN, K = 32, 128, 100
MODES = ("tbptt", "plain loop", "full")


class Timed(Seq2Seq):
    """The network, trained in chunks or as a whole; it keeps the seconds of each batch."""

    def __init__(self, mode: str) -> None:
        torch.manual_seed(0)
        tbptt = None if mode == "full" else TruncatedBPTT(K)
        optimizer = lambda parameters: torch.optim.SGD(parameters, 0.01)  # noqa: E731
        super().__init__(1, 1, cell="lstm", hidden_size=HIDDEN, tbptt=tbptt, optimizer=optimizer)
        self.seconds: list[float] = []

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        """As ever, with a clock."""
        start = time.perf_counter()
        result = super().training_step(batch, batch_idx)
        self.seconds.append(time.perf_counter() - start)
        return result


def run(mode: str, batches: list[dict[str, torch.Tensor]]) -> list[float]:
    """Seconds of each batch, inside `Trainer.fit` or in a loop written by hand over the same network."""
    model = Timed(mode)
    if mode != "plain loop":
        quiet = ("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary")
        trainer = Trainer(accelerator="cpu", max_epochs=1, **dict.fromkeys(quiet, False))  # type: ignore[arg-type]
        trainer.fit(model, DataLoader(batches, batch_size=None))  # type: ignore[arg-type]
        return model.seconds
    net = model.net.train()
    optimizer = torch.optim.SGD(net.parameters(), 0.01)
    for batch in batches:
        start, state = time.perf_counter(), None
        for x, y in zip(batch["x"].split(K, 1), batch["y"].split(K, 1), strict=True):
            optimizer.zero_grad()
            y_hat, state = net(x, state)
            F.mse_loss(y_hat, y).backward()
            optimizer.step()
            state = tuple(s.detach() for s in state)
        model.seconds.append(time.perf_counter() - start)
    return model.seconds


def random_batch(steps: int) -> dict[str, torch.Tensor]:
    return {"x": torch.randn(ROWS, steps, 1), "y": torch.randn(ROWS, steps, 1)}


def case(mode: str, steps: int) -> dict[str, float]:
    """Measures one case in this process."""
    batch = random_batch(steps)
    run(mode, [random_batch(2 * K)])  # after the input: it would take the place of what the warm-up has freed
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    seconds = run(mode, [batch] * 3)
    more = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    return {"bytes": 1024 * more, "microseconds a step": 1e6 * min(seconds[1:]) / steps}


def overhead(options: argparse.Namespace) -> None:
    """A batch of 10,000 steps, ours and the plain loop in turn in this process."""
    batch = random_batch(10_000)
    times = alternate({mode: lambda mode=mode: run(mode, [batch] * 2)[1] for mode in MODES[:2]}, 9)  # type: ignore[misc]
    publish(options, "tbptt_overhead", table(times, "plain loop"), overhead=times)


def growth(options: argparse.Namespace) -> None:
    """All modes and lengths, each in a process of its own."""
    results: dict[str, list[dict[str, float]]] = {}
    cases = [(m, n) for n in options.steps for m in MODES if m != "full" or n <= options.full_up_to]
    for mode, steps in cases * options.rounds:
        command = [sys.executable, __file__, "--case", mode, str(steps)]
        line = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1]
        results.setdefault(f"{mode}, T {steps:,}", []).append(json.loads(line))
        print(f"{mode}, T {steps:,}: {line}", file=sys.stderr, flush=True)
    rows = []
    for name, runs in results.items():
        memory = statistics.median(run["bytes"] for run in runs) / 1e6
        times = sorted(run["microseconds a step"] for run in runs)
        rows.append((name, f"{memory:.1f}", f"{statistics.median(times):.0f} ({times[0]:.0f} to {times[-1]:.0f})"))
    head = ("case", "peak memory beyond the input, MB", "microseconds a time step (median, min to max)")
    publish(options, "tbptt", markdown(head, rows), tbptt=results)


if __name__ == "__main__":
    parser = options_of(__doc__)
    parser.add_argument("--steps", type=int, nargs="+", default=[1_000, 10_000, 100_000])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--full_up_to", type=int, default=10_000, help="longest sequence for full BPTT")
    parser.add_argument("--overhead", action="store_true", help="only the overhead over the plain loop, 9 alternations")
    parser.add_argument("--case", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.case is not None:
        print(json.dumps(case(options.case[0], int(options.case[1]))))
    else:
        (overhead if options.overhead else growth)(options)
