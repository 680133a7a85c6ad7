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


def values(count: int) -> Tensor:
    """Returns the first three values (3, count) of windows on a grid of starts."""
    starts = START + (END - START) * (torch.arange(count, dtype=torch.float64) + 0.5) / count
    return torch.stack([time_series(starts + i * RESOLUTION) for i in range(3)])


def first_guess(count: int = 1_000_000, neighbours: int = 401) -> tuple[Tensor, Tensor]:
    """Returns first values (N,) in order, and the mean second values (N,) of windows with neighbouring first values."""
    first, second, _ = values(count)
    order = torch.argsort(first)
    sums = second[order].cumsum(0)
    means = (sums[neighbours:] - sums[:-neighbours]) / neighbours
    half = neighbours // 2
    return first[order][half + 1 : half + 1 + len(means)], means


def error_of_first_guess(x: Tensor, y: Tensor) -> tuple[float, float]:
    """Returns the mean squared error of the first guess of y (B,), given x (B,), and its standard error."""
    grid, means = first_guess()
    places = torch.searchsorted(grid, x.contiguous()).clamp(max=len(grid) - 1)
    errors = (y - means[places]) ** 2
    return float(errors.mean()), float(errors.std() / len(errors) ** 0.5)


def error_of_second_guess(width: float, count: int = 140_000, asked: int = 400) -> float:
    """Returns the mean squared error of kernel regression of the third value on the first two."""
    first, second, third = values(count)
    total = 0.0
    for places in torch.randperm(count, generator=torch.Generator().manual_seed(0))[:asked].split(20):
        far = (first[places, None] - first) ** 2 + (second[places, None] - second) ** 2
        weights = torch.exp(-far / (2 * width**2))
        total += float(((weights @ third / weights.sum(1) - third[places]) ** 2).sum())
    return total / asked


def main() -> None:
    rows = []
    starts = START + (END - START) * torch.rand(
        200_000, dtype=torch.float64, generator=torch.Generator().manual_seed(1)
    )
    rows.append(
        ("200,000 random windows", *error_of_first_guess(time_series(starts), time_series(starts + RESOLUTION)))
    )
    data = SyntheticSine(n_steps=STEPS)
    data.setup("test")
    for split in ("val", "test"):
        windows: Any = data.datasets[split]
        points = windows.__getitems__(list(range(10_000)))["x"][:, :2, 0].double()
        rows.append((f"the {split} set", *error_of_first_guess(points[:, 0], points[:, 1])))
    shown = [(name, f"{error:.4f}", f"{error / STEPS:.5f}", f"{sd / STEPS:.5f}") for name, error, sd in rows]
    print(", ".join(f"{key} {value}" for key, value in machine().items()), "\n")
    print(markdown(("windows", "squared error of the first guess", "over 20 steps", "standard error"), shown), "\n")
    second = [
        (width, f"{(e := error_of_second_guess(width)):.4f}", f"{e / STEPS:.5f}") for width in (0.2, 0.1, 0.03, 0.01)
    ]
    print(markdown(("width e", "squared error of the second guess", "over 20 steps"), second))


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
