"""Measures memory and time of truncated BPTT for several sequence lengths, and compares with a hand-written loop.

    python scripts/benchmark_tbptt.py

An LSTM (B 32, I 1, H 128) with a linear head, k1 = k2 = 100, SGD. Each case runs in a fresh process: three batches
through `Trainer.fit`, of which the last two count. Memory is how far the peak of resident memory exceeds its size with
the input in place, after a warm-up batch of 200 steps. For comparison, full BPTT is measured where it fits, and so is
the same network in a plain loop over chunks, as a careful user would write it by hand.

    python scripts/benchmark_tbptt.py --overhead --against ../other_checkout

This command measures how much more CPU time a chunk takes than in that loop, on one thread (B 4, H 8, k1 = 10, so that
the recurrence costs little). Each checkout uses its own recurrence on both sides, in fresh processes that run in turn.
"""

import argparse
import statistics
from functools import partial
from pathlib import Path

from measure import alternate, child, median_of, options_of, publish
from pages import markdown
from plan import ROOT

CASE = str(Path(__file__).with_name("tbptt_case.py"))


def overhead(options: argparse.Namespace) -> None:
    """Measures how much more a chunk costs than in the plain loop, here and in other checkouts, in turn."""
    places = {"here": ROOT, **{path.name: path for path in options.against}}
    runs = {name: partial(child, CASE, PYTHONPATH=str(path.resolve())) for name, path in places.items()}
    results = alternate(runs, options.rounds)
    rows = []
    for name, found in results.items():
        plain = statistics.median(run["plain loop"] for run in found)
        rows.append((name, f"{plain:.0f}", median_of([run["above"] for run in found], ".0f")))
    head = ("checkout", "plain loop, microseconds per chunk", "added by ours (median, min to max)")
    publish(options, "tbptt_overhead", markdown(head, rows))


def growth(options: argparse.Namespace) -> None:
    """Measures all modes and lengths, each in its own process."""
    runs = {
        f"{mode}, T {steps:,}": partial(child, CASE, mode, str(steps), str(options.batches))
        for steps in options.steps
        for mode in ("tbptt", "plain loop", "full")
        if mode != "full" or steps <= options.full_up_to
    }
    results = alternate(runs, options.rounds)
    rows = []
    for name, found in results.items():
        memory = statistics.median(run["bytes"] for run in found) / 1e6
        rows.append((name, f"{memory:.1f}", median_of([run["microseconds a step"] for run in found], ".0f")))
    head = ("case", "peak memory beyond the input, MB", "microseconds per time step (median, min to max)")
    publish(options, "tbptt", markdown(head, rows))


if __name__ == "__main__":
    parser = options_of(__doc__)
    parser.add_argument("--steps", type=int, nargs="+", default=[1_000, 10_000, 100_000])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batches", type=int, default=3, help="batches of each case; 1 for lengths that take minutes")
    parser.add_argument("--full_up_to", type=int, default=10_000, help="longest sequence for full BPTT")
    parser.add_argument("--overhead", action="store_true", help="only what a chunk costs above the plain loop")
    parser.add_argument("--against", type=Path, nargs="+", default=[], help="other checkouts, for --overhead")
    options = parser.parse_args()
    (overhead if options.overhead else growth)(options)
