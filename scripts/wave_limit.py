"""Estimates the limit for the wave: the mean squared error of the best possible predictions, step by step.

    python scripts/wave_limit.py          # a minute

A window of f(t) = t sin(t) / 3 + 2 sin(5 t) begins at a t0 that is uniform in [0, 28). Given the first value, the
second may be one of several values; given two, the third is almost always certain. The first table shows the error of
the first guess: the variance of the second value among windows whose first values are neighbours in a fine grid of t0.
The second table shows the error of the second guess by kernel regression (Nadaraya & Watson 1964) of width e on the two
values before, as by a model that cannot tell apart values that differ by less than about e.
"""

from typing import Any

import torch
from measure import machine
from pages import markdown
from torch import Tensor

from rnn_lightning.data import SyntheticSine
from rnn_lightning.data.sine import time_series

START, END, RESOLUTION, STEPS = 0.0, 28.0, 0.1, 20


def windows(starts: Tensor) -> Tensor:
    """Returns the first three values (3, N) of the windows that begin at these times (N,)."""
    return torch.stack([time_series(starts + i * RESOLUTION) for i in range(3)])


def grid(count: int) -> Tensor:
    """Returns the windows of equidistant starts."""
    return windows(START + (END - START) * (torch.arange(count, dtype=torch.float64) + 0.5) / count)


def errors_of_first_guess(x: Tensor, y: Tensor, count: int = 1_000_000, neighbours: int = 401) -> Tensor:
    """Returns the squared errors (B,) of guessing y (B,) from x (B,): the mean over `neighbours` in a grid, next to x."""
    first, second, _ = grid(count)
    order = torch.argsort(first)
    sums = second[order].cumsum(0)
    means = (sums[neighbours:] - sums[:-neighbours]) / neighbours
    places = torch.searchsorted(first[order][neighbours // 2 + 1 :][: len(means)], x.contiguous())
    return (y - means[places.clamp(max=len(means) - 1)]) ** 2


def error_of_second_guess(width: float, count: int = 140_000, asked: int = 400) -> float:
    """Returns the mean squared error of kernel regression of the third value on the first two."""
    first, second, third = grid(count)
    total = 0.0
    for places in torch.randperm(count, generator=torch.Generator().manual_seed(0))[:asked].split(20):
        far = (first[places, None] - first) ** 2 + (second[places, None] - second) ** 2
        weights = torch.exp(-far / (2 * width**2))
        total += float(((weights @ third / weights.sum(1) - third[places]) ** 2).sum())
    return total / asked


if __name__ == "__main__":
    torch.set_num_threads(1)
    random = torch.rand(200_000, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    asked = {"200,000 random windows": windows(START + (END - START) * random)}
    data = SyntheticSine(n_steps=STEPS)
    data.setup("test")
    for split in ("val", "test"):
        samples: Any = data.datasets[split]
        asked[f"the {split} set"] = samples.__getitems__(list(range(10_000)))["x"][:, :, 0].double().T
    rows: list[tuple[str, ...]] = []
    for name, (x, y, *_) in asked.items():
        errors = errors_of_first_guess(x, y)
        mean, deviation = float(errors.mean()), float(errors.std() / len(errors) ** 0.5)
        rows.append((name, f"{mean:.4f}", f"{mean / STEPS:.5f}", f"{deviation / STEPS:.5f}"))
    print(", ".join(f"{key} {value}" for key, value in machine().items()), "\n")
    print(markdown(("windows", "squared error of the first guess", "over 20 steps", "standard error"), rows), "\n")
    second = [(width, error_of_second_guess(width)) for width in (0.2, 0.1, 0.03, 0.01)]
    shown = [(width, f"{error:.4f}", f"{error / STEPS:.5f}") for width, error in second]
    print(markdown(("width e", "squared error of the second guess", "over 20 steps"), shown))
