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
from measure import alternate, machine, save, table
from torch.nn import functional as F
from torch.utils.data import DataLoader

from rnn_lightning.models import Seq2Seq, TruncatedBPTT

ROWS, HIDDEN, K = 32, 128, 100
MODES = ("tbptt", "plain loop", "full")


def make_model(mode: str) -> Seq2Seq:
    """The network, trained in chunks or as a whole."""
    torch.manual_seed(0)
    tbptt = None if mode == "full" else TruncatedBPTT(K)
    return Seq2Seq(1, 1, cell="lstm", hidden_size=HIDDEN, tbptt=tbptt, optimizer=lambda p: torch.optim.SGD(p, 0.01))


def fit(model: Seq2Seq, batches: list[dict[str, torch.Tensor]]) -> list[float]:
    """Seconds of each batch, inside `Trainer.fit`."""
    seconds: list[float] = []

    class Timed(Seq2Seq):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            start = time.perf_counter()
            result = super().training_step(batch, batch_idx)
            seconds.append(time.perf_counter() - start)
            return result

    model.__class__ = Timed
    quiet = {
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
    }
    Trainer(accelerator="cpu", max_epochs=1, **quiet).fit(model, DataLoader(batches, batch_size=None))  # type: ignore[arg-type]
    return seconds


def plain_loop(model: Seq2Seq, batches: list[dict[str, torch.Tensor]]) -> list[float]:
    """Seconds of each batch in a loop written by hand over the same network."""
    net, seconds = model.net.train(), []
    optimizer = torch.optim.SGD(net.parameters(), 0.01)
    for batch in batches:
        start, state = time.perf_counter(), None
        for x, y in zip(batch["x"].split(K, 1), batch["y"].split(K, 1), strict=True):
            optimizer.zero_grad()
            y_hat, state = net(x, state)
            F.mse_loss(y_hat, y).backward()
            optimizer.step()
            state = tuple(s.detach() for s in state)
        seconds.append(time.perf_counter() - start)
    return seconds


def peak() -> int:
    """Peak resident memory of this process so far, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def case(mode: str, steps: int) -> dict[str, float]:
    """Measures one case in this process."""
    run = plain_loop if mode == "plain loop" else fit
    model = make_model(mode)
    batch = {"x": torch.randn(ROWS, steps, 1), "y": torch.randn(ROWS, steps, 1)}
    # After the input: it would take the place of what the warm-up has freed.
    run(model, [{"x": torch.randn(ROWS, 2 * K, 1), "y": torch.randn(ROWS, 2 * K, 1)}])
    before = peak()
    seconds = run(model, [batch] * 3)
    return {"bytes": peak() - before, "microseconds a step": 1e6 * min(seconds[1:]) / steps}


def overhead(rounds: int) -> dict[str, list[float]]:
    """Seconds of a batch of 10,000 steps, ours and the plain loop in turn in this process."""
    batch = {"x": torch.randn(ROWS, 10_000, 1), "y": torch.randn(ROWS, 10_000, 1)}
    return alternate(
        {
            "plain loop": lambda: plain_loop(make_model("plain loop"), [batch] * 2)[1],
            "tbptt": lambda: fit(make_model("tbptt"), [batch] * 2)[1],
        },
        rounds,
    )


def main() -> None:
    """Runs all cases, each in a process of its own, and prints a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, nargs="+", default=[1_000, 10_000, 100_000])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--full_up_to", type=int, default=10_000, help="longest sequence for full BPTT")
    parser.add_argument("--json", help="also write the results there")
    parser.add_argument("--overhead", action="store_true", help="only the overhead over the plain loop, 9 alternations")
    parser.add_argument("--case", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.case is not None:
        print(json.dumps(case(options.case[0], int(options.case[1]))))
        return
    if options.overhead:
        print(table(overhead(9), "plain loop"))
        return
    results: dict[str, list[dict[str, float]]] = {}
    for _ in range(options.rounds):
        for steps in options.steps:
            for mode in MODES:
                if mode == "full" and steps > options.full_up_to:
                    continue
                command = [sys.executable, __file__, "--case", mode, str(steps)]
                line = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1]
                results.setdefault(f"{mode}, T {steps:,}", []).append(json.loads(line))
                print(f"{mode}, T {steps:,}: {line}", file=sys.stderr, flush=True)
    print(f"LSTM, B {ROWS}, I 1, H {HIDDEN}, k1 = k2 = {K}; {machine()}\n")
    print("| | peak memory beyond the input, MB | microseconds a time step (median, min to max) |\n|---|---|---|")
    for name, runs in results.items():
        memory = statistics.median(run["bytes"] for run in runs) / 1e6
        times = sorted(run["microseconds a step"] for run in runs)
        print(f"| {name} | {memory:.1f} | {statistics.median(times):.0f} ({times[0]:.0f} to {times[-1]:.0f}) |")
    save(options.json, tbptt=results)


if __name__ == "__main__":
    main()
