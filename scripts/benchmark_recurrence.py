"""One recurrent layer, forward and backward and inference, against torch.nn and against a loop over torch's cells.

    OMP_NUM_THREADS=2 python scripts/benchmark_recurrence.py --json recurrence.json

All contestants of a case run in turn, round after round, in one process, in float32. `ours` is a layer of
rnn_lightning.nn in training without dropout, with one state mask a sequence (`variational`) and with one a step
(`fresh`), masks drawn anew each time; `native` is its whole-sequence recurrence where `ours` would take another path;
`cells` is the loop that one writes for state dropout without it, over torch.nn's cell with a variational mask. Where
Keras 3 is installed (extra `bench`), its layer runs too, without and with `recurrent_dropout`, on the backend that
KERAS_BACKEND names.

GFLOP/s count the products: 2 T B G H (I + H) forward, twice that backward, less the input's gradient, which is not
asked for. The peak is torch.mm's, at 2000 x 2000 and at the layer's own (B, H) x (H, G H).
"""

import argparse
import contextlib
import importlib
import importlib.util
import os
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from measure import alternate, machine, save
from torch import Tensor, nn

import rnn_lightning.nn as ours
from rnn_lightning.nn import force_path

CASES = [(28, 150, 28, 150), (20, 50, 1, 100), (784, 128, 1, 128), (100, 32, 128, 512), (35, 20, 650, 650)]
GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}
P = 0.3  # of dropping


def timed(run: Callable[[], Tensor], layer: nn.Module, grad: Tensor | None) -> Callable[[], float]:
    """Seconds of a forward pass and, with `grad`, a backward pass."""

    def once() -> float:
        for _ in range(2):  # the second counts: in training, too, the same layer ran before and warmed its memory
            layer.zero_grad(set_to_none=True)
            start = time.perf_counter()
            with torch.set_grad_enabled(grad is not None):
                y = run()
            if grad is not None:
                y.backward(grad)
            seconds = time.perf_counter() - start
        return seconds

    return once


def forced(layer: nn.Module, x: Tensor) -> Tensor:
    with force_path("native"):
        return layer(x)[0]


def over_cells(cell: nn.Module, x: Tensor, lstm: bool) -> Tensor:
    """(T, B, I) -> (T, B, H), one state mask a sequence."""
    hidden = cell.hidden_size
    assert isinstance(hidden, int)
    h = c = x.new_zeros(x.shape[1], hidden)
    mask = torch.empty_like(h).bernoulli_(1 - P).div_(1 - P)
    outputs = []
    for x_t in x.unbind(0):
        if lstm:
            out, c = cell(x_t, (h, c))
        else:
            out = cell(x_t, h)
        outputs.append(out)
        h = out * mask
    return torch.stack(outputs)


def keras_contestants(cell: str, size: tuple[int, int, int, int]) -> dict[str, Callable[[], float]]:
    """Training steps of Keras 3's layer, with the least optimiser, compiled where the backend compiles."""
    if "KERAS_BACKEND" not in os.environ or importlib.util.find_spec("keras") is None:
        return {}
    keras: Any = importlib.import_module("keras")

    steps, batch, features, hidden = size
    name = {"RNN": "SimpleRNN"}.get(cell, cell)
    x = torch.randn(batch, steps, features).numpy()
    y = torch.randn(batch, steps, hidden).numpy()
    contestants: dict[str, Callable[[], float]] = {}
    for label, dropout in (("keras", 0.0), ("keras variational", P)):
        options = {"reset_after": True} if cell == "GRU" else {}
        layer = getattr(keras.layers, name)(hidden, return_sequences=True, recurrent_dropout=dropout, **options)
        model = keras.Sequential([keras.Input((steps, features)), layer])
        model.compile(optimizer=keras.optimizers.SGD(1e-6), loss="mse")

        def once(model: object = model) -> float:
            start = time.perf_counter()
            model.train_on_batch(x, y)  # type: ignore[attr-defined]
            return time.perf_counter() - start

        once()  # compiles
        contestants[label] = once
    return contestants


def contestants(cell: str, size: tuple[int, int, int, int]) -> dict[str, Callable[[], float]]:
    """By name, for one case."""
    steps, batch, features, hidden = size
    x, grad = torch.randn(steps, batch, features), torch.randn(steps, batch, hidden)
    kind, lstm = getattr(ours, cell), cell == "LSTM"
    theirs, plain = getattr(nn, cell)(features, hidden), kind(features, hidden, batch_first=False)
    variational = kind(features, hidden, batch_first=False, state_dropout=P, variational=True)
    fresh = kind(features, hidden, batch_first=False, state_dropout=P)
    loop = getattr(nn, f"{cell}Cell")(features, hidden)
    runs = {
        "torch.nn": timed(lambda: theirs(x)[0], theirs, grad),
        "ours": timed(lambda: plain(x)[0], plain, grad),
        "native": timed(lambda: forced(plain, x), plain, grad),
        "ours variational": timed(lambda: variational(x)[0], variational, grad),
        "ours fresh": timed(lambda: fresh(x)[0], fresh, grad),
        "cells variational": timed(lambda: over_cells(loop, x, lstm), loop, grad),
        "torch.nn inference": timed(lambda: theirs(x)[0], theirs, None),
        "ours inference": timed(lambda: plain(x)[0], plain, None),
        "native inference": timed(lambda: forced(plain, x), plain, None),
    }
    return runs | keras_contestants(cell, size)


def peak(rows: int, inner: int, columns: int) -> float:
    """The best GFLOP/s of torch.mm at this size."""
    left, right, out = torch.randn(rows, inner), torch.randn(inner, columns), torch.empty(rows, columns)
    best = 0.0
    for _ in range(10):
        repeats = max(1, int(2e8 / (rows * inner * columns)))
        start = time.perf_counter()
        for _ in range(repeats):
            torch.mm(left, right, out=out)
        best = max(best, 2e-9 * rows * inner * columns * repeats / (time.perf_counter() - start))
    return best


def gflop(cell: str, size: tuple[int, int, int, int], inference: bool) -> float:
    steps, batch, features, hidden = size
    forward = 2e-9 * steps * batch * GATES[cell] * hidden * (features + hidden)
    return forward if inference else 3 * forward - 2e-9 * steps * batch * GATES[cell] * hidden * features


def summary(results: dict[str, Any]) -> str:
    """All cases in one Markdown table: medians in ms, and how many times as fast as torch.nn ours is."""
    shown = (
        "torch.nn",
        "ours",
        "ours variational",
        "ours fresh",
        "cells variational",
        "torch.nn inference",
        "ours inference",
    )
    lines = [
        f"| layer, (T, B, I, H) | {' | '.join(shown)} | torch.nn / ours | inference |",
        "|---" * (len(shown) + 3) + "|",
    ]
    for case, result in results.items():
        medians = {name: 1e3 * statistics.median(values) for name, values in result["seconds"].items()}
        figures = [f"{medians[name]:.3g}" for name in shown]
        figures += [f"{medians['torch.nn' + what] / medians['ours' + what]:.2f}x" for what in ("", " inference")]
        lines.append(f"| {case} | {' | '.join(figures)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", nargs="+", default=list(GATES), choices=list(GATES))
    parser.add_argument("--cases", nargs="+", type=int, default=list(range(len(CASES))), help=f"of {CASES}")
    parser.add_argument("--seconds", type=float, default=10.0, help="about how long each case runs")
    parser.add_argument("--json", help="also write the results there")
    options = parser.parse_args()
    big = peak(2000, 2000, 2000)
    print(f"{machine()}, torch.mm at 2000 x 2000: {big:.0f} GFLOP/s\n")
    results: dict[str, Any] = {}
    for case in options.cases:
        for cell in options.cells:
            size = CASES[case]
            runs = contestants(cell, size)
            with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
                once = sum(min(times) for times in alternate(runs, 2).values())  # also warms up
                times = alternate(runs, min(200, max(5, int(options.seconds / once))))
            own = peak(size[1], size[3], GATES[cell] * size[3])
            print(f"\n### {cell}, (T, B, I, H) = {size}; torch.mm at the step's own size: {own:.0f} GFLOP/s\n")
            print("| | median ms | min | quartiles | torch.nn's time / its | GFLOP/s | of peak | of own peak |")
            print("|---|---|---|---|---|---|---|---|")
            for name, values in times.items():
                inference = "inference" in name
                base = statistics.median(times["torch.nn inference" if inference else "torch.nn"])
                median, (low, _, high) = statistics.median(values), statistics.quantiles(values, n=4)
                rate = gflop(cell, size, inference) / median
                print(
                    f"| {name} | {1e3 * median:.2f} | {1e3 * min(values):.2f} | {1e3 * low:.2f} to {1e3 * high:.2f} "
                    f"| {base / median:.2f} | {rate:.0f} | {rate / big:.0%} | {rate / own:.0%} |",
                    flush=True,
                )
            results[f"{cell} {size}"] = {"seconds": times, "peak_gflops": big, "own_peak_gflops": own}
            save(options.json, cases=results)
    print(f"\n### All cases, ms\n\n{summary(results)}")


if __name__ == "__main__":
    main()
