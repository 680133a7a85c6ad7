"""Compares recurrent layers with torch.nn's: training steps, inference, single steps, long streams, busy processes.

    OMP_NUM_THREADS=2 python scripts/benchmark_recurrence.py --page docs/performance.md

All contestants of a case run in turn, round after round, in one process, in float32. Each contestant runs through its
public layer with default settings, and with a fresh graph each time. `ours` is a layer of rnn_lightning.nn: without
dropout, with one state mask per sequence (`variational`), and with one mask per step (`fresh`). Masks are drawn anew
each time. `cells` is a loop over torch.nn's cell with a variational mask, as you would write it for state dropout
without this package. `--busy N` runs N other processes, each of which keeps a core busy.

GFLOP/s count only the products: 2 T B G H (I + H) forward and twice that backward, minus the input's gradient if that
gradient is not needed. The peak is measured with a loop of multiply-adds in registers (fma_peak.c), on the same number
of threads.
"""

import argparse
import contextlib
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import torch
from fma_peak import fma_peak
from measure import CellLoop, alternate, options_of, publish, silent, timed
from pages import markdown
from torch import Tensor, nn

import rnn_lightning.nn as ours
from rnn_lightning.nn.cells import CELLS
from rnn_lightning.nn.native import reason, variant

Size = tuple[int, int, int, int]
CASES: list[Size] = [(28, 150, 28, 150), (20, 50, 1, 100), (784, 128, 1, 128), (100, 32, 128, 512)]
STREAMS: list[Size] = [(1000, 2, 1, 16), (1000, 8, 16, 64), (1000, 32, 1, 64)]
GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}
P = 0.3  # of dropping


def training(layer: nn.Module, x: Tensor, grad: Tensor, **options: Any) -> Callable[[], float]:
    """Returns a function that times a forward and a backward pass, in seconds."""

    def once() -> float:
        for _ in range(2):  # the first call, which does not count, finds another contestant's data in the caches
            layer.zero_grad(set_to_none=True)
            x.grad = None
            seconds = timed(lambda: layer(x, **options)[0].backward(grad))
        return seconds

    return once


def inference(run: Callable[[], Any], repeats: int = 1) -> Callable[[], float]:
    """Returns a function that times a call without a graph, in seconds."""

    @torch.no_grad()
    def once() -> float:
        return timed(lambda: [run() for _ in range(repeats)]) / repeats

    return once


def contestants(cell: str, size: Size) -> dict[str, Callable[[], float]]:
    """Returns the contestants of one case, by name."""
    steps, batch, features, hidden = size
    x, grad = torch.randn(steps, batch, features), torch.randn(steps, batch, hidden)
    wanted = x.clone().requires_grad_()
    reset = torch.rand(steps, batch) < 0.05
    theirs, own = getattr(nn, cell)(features, hidden), getattr(ours, cell)
    plain = own(features, hidden)
    variational, fresh = (own(features, hidden, state_dropout=P, variational=v) for v in (True, False))
    return {
        "torch.nn": training(theirs, x, grad),
        "ours": training(plain, x, grad),
        "variational": training(variational, x, grad),
        "fresh": training(fresh, x, grad),
        "reset": training(plain, x, grad, reset=reset),
        "cells": training(CellLoop(cell, features, hidden, p_state=P), x, grad),
        "torch.nn, x": training(theirs, wanted, grad),
        "ours, x": training(plain, wanted, grad),
        "torch.nn inference": inference(lambda: theirs(x)),
        "ours inference": inference(lambda: plain(x)),
    }


def single_steps(cell: str, batch: int, hidden: int = 150) -> dict[str, Callable[[], float]]:
    """Returns functions that time one step of a stream: torch's kernel alone, torch.nn's cell, a layer's `step`."""
    x, theirs, own = torch.randn(batch, hidden), getattr(nn, f"{cell}Cell")(hidden, hidden), getattr(ours, cell)
    layer = own(hidden, hidden).eval()
    h = torch.zeros(batch, hidden)
    given, state = ((h, h), (h[None], h[None])) if cell == "LSTM" else (h, h[None])
    kernel, weights = CELLS[layer.mode], list(theirs.parameters())
    return {
        "kernel": inference(lambda: kernel(x, given, *weights), 20),
        "cell": inference(lambda: theirs(x, given), 20),
        "step": inference(lambda: layer.step(x, state), 20),
    }


@contextlib.contextmanager
def busy(processes: int) -> Iterator[None]:
    """Runs other processes, each of which keeps a core busy."""
    running = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(processes)]
    try:
        yield
    finally:
        for process in running:
            process.kill()
            process.wait()


def medians(runs: dict[str, Callable[[], float]], seconds: float) -> dict[str, float]:
    """Returns each contestant's median seconds, over as many rounds as fit into the time."""
    with silent():
        once = sum(min(times) for times in alternate(runs, 2).values())  # also warms up
        times = alternate(runs, min(200, max(5, int(seconds / once))))
    return {name: statistics.median(values) for name, values in times.items()}


def gflop(cell: str, size: Size) -> float:
    """GFLOP of a forward and a backward pass without the input's gradient."""
    steps, batch, features, hidden = size
    return 2e-9 * steps * batch * GATES[cell] * hidden * (2 * features + 3 * hidden)


def row(cell: str, size: Size, found: dict[str, float], peak: float) -> list[str]:
    """Returns a row of the table: milliseconds, then ratios."""
    ms = [f"{1e3 * found[name]:.3g}" for name in ("torch.nn", "ours", "variational", "fresh", "cells")]
    pairs = (("torch.nn", "ours"), ("torch.nn, x", "ours, x"), ("torch.nn inference", "ours inference"))
    ratios = [f"{found[theirs] / found[own]:.2f}" for theirs, own in pairs]
    costs = [f"{found[name] / found['ours']:.2f}" for name in ("variational", "fresh", "reset")]
    share = f"{gflop(cell, size) / found['ours'] / peak:.0%}" if peak else "-"
    return [f"{cell} {size}", *ms, *ratios, *costs, share]


HEAD = (
    "layer, (T, B, I, H)", "torch.nn ms", "ours", "variational", "fresh", "cells",
    "torch.nn / ours", "with x's gradient", "inference", "cost of: variational", "fresh", "reset", "of the peak",
)  # fmt: skip


def steps(options: argparse.Namespace) -> None:
    """Measures single time steps."""
    rows = []
    for cell in options.cells:
        for batch in (1, 64):
            found = medians(single_steps(cell, batch), options.seconds)
            us = [f"{1e6 * seconds:.1f}" for seconds in found.values()]
            rows.append([f"{cell}, batch {batch}", *us, f"{found['cell'] / found['step']:.2f}"])
    head = ("one step, I = H = 150", "torch's kernel us", "torch.nn's cell us", "step us", "cell / step")
    publish(options, "steps", markdown(head, rows))


def layers(options: argparse.Namespace) -> None:
    """Measures whole sequences."""
    rows = []
    with busy(options.busy):
        for size in [(CASES + STREAMS)[number] for number in options.sizes]:
            for cell in options.cells:
                peak = fma_peak(torch.get_num_threads())
                rows.append(row(cell, size, medians(contestants(cell, size), options.seconds), peak))
                print(" | ".join(rows[-1]), flush=True)
    about = f"No recurrence in C: {reason()}." if variant() is None else f"Vector width: {variant()}."
    name = f"layers_beside_{options.busy}" if options.busy else "layers"
    publish(options, name, f"{markdown(HEAD, rows)}\n\n{about}")


if __name__ == "__main__":
    parser = options_of(__doc__)
    parser.add_argument("--cells", nargs="+", default=list(GATES), choices=list(GATES))
    parser.add_argument("--sizes", nargs="+", type=int, default=list(range(7)), help=f"of {CASES + STREAMS}")
    parser.add_argument("--seconds", type=float, default=4.0, help="about how long each case runs")
    parser.add_argument("--busy", type=int, default=0, help="how many other processes keep a core busy")
    parser.add_argument("--steps", action="store_true", help="measure single time steps instead")
    options = parser.parse_args()
    (steps if options.steps else layers)(options)
