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
import json
import os
import resource
import statistics
import subprocess
import sys
from pathlib import Path

from measure import options_of, publish
from tables import markdown
from tbptt_case import Size, run

MODES = ("tbptt", "plain loop", "full")


def case(mode: str, steps: int, batches: int) -> dict[str, float]:
    """Measures one case in this process. The first of several batches does not count."""
    size = Size()
    batch = size.batch(steps)
    run(
        mode, [size.batch(2 * size.k)]
    )  # after the input, which would otherwise reuse memory that the warm-up has freed
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    seconds = run(mode, [batch] * batches)
    more = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    return {"bytes": 1024 * more, "microseconds a step": 1e6 * min(seconds[1:] or seconds) / steps}


def overhead(options: argparse.Namespace) -> None:
    """Measures how much more a chunk costs than in the plain loop, here and in other checkouts, in turn."""
    places = {"here": Path(__file__).parent.parent, **{path.name: path for path in options.against}}
    results: dict[str, list[dict[str, float]]] = {name: [] for name in places}
    for _ in range(options.rounds):
        for name, path in places.items():
            command = [sys.executable, str(Path(__file__).with_name("tbptt_case.py"))]
            environment = {**os.environ, "PYTHONPATH": str(path.resolve())}
            line = subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout
            results[name].append(json.loads(line.splitlines()[-1]))
            print(f"{name}: {results[name][-1]}", file=sys.stderr, flush=True)
    rows = []
    for name, runs in results.items():
        above = sorted(run["above"] for run in runs)
        plain = statistics.median(run["plain loop"] for run in runs)
        rows.append((name, f"{plain:.0f}", f"{statistics.median(above):.0f} ({above[0]:.0f} to {above[-1]:.0f})"))
    head = ("checkout", "plain loop, microseconds per chunk", "added by ours (median, min to max)")
    publish(options, "tbptt_overhead", markdown(head, rows), overhead=results)


def growth(options: argparse.Namespace) -> None:
    """Measures all modes and lengths, each in its own process."""
    results: dict[str, list[dict[str, float]]] = {}
    cases = [(m, n) for n in options.steps for m in MODES if m != "full" or n <= options.full_up_to]
    for mode, steps in cases * options.rounds:
        command = [sys.executable, __file__, "--case", mode, str(steps), "--batches", str(options.batches)]
        line = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1]
        results.setdefault(f"{mode}, T {steps:,}", []).append(json.loads(line))
        print(f"{mode}, T {steps:,}: {line}", file=sys.stderr, flush=True)
    rows = []
    for name, runs in results.items():
        memory = statistics.median(run["bytes"] for run in runs) / 1e6
        times = sorted(run["microseconds a step"] for run in runs)
        rows.append((name, f"{memory:.1f}", f"{statistics.median(times):.0f} ({times[0]:.0f} to {times[-1]:.0f})"))
    head = ("case", "peak memory beyond the input, MB", "microseconds per time step (median, min to max)")
    publish(options, "tbptt", markdown(head, rows), tbptt=results)


if __name__ == "__main__":
    parser = options_of(__doc__)
    parser.add_argument("--steps", type=int, nargs="+", default=[1_000, 10_000, 100_000])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batches", type=int, default=3, help="batches of each case; 1 for lengths that take minutes")
    parser.add_argument("--full_up_to", type=int, default=10_000, help="longest sequence for full BPTT")
    parser.add_argument("--overhead", action="store_true", help="only what a chunk costs above the plain loop")
    parser.add_argument("--against", type=Path, nargs="+", default=[], help="other checkouts, for --overhead")
    parser.add_argument("--case", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.case is not None:
        print(json.dumps(case(options.case[0], int(options.case[1]), options.batches)))
    else:
        (overhead if options.overhead else growth)(options)
