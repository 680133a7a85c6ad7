"""The tutorial's figures, drawn from the results."""

from pathlib import Path
from typing import Any

import torch
from matplotlib.figure import Figure

from reproduction.systems import DRAWN, plan
from reproduction.words import FIGURES
from rnn_lightning.data import SequenceMNIST, time_series
from rnn_lightning.data.mnist_files import SHA256, find_file
from rnn_lightning.data.sine import PREDICT_START
from rnn_lightning.figures import new_figure, save, series_figure, window_figure
from rnn_lightning.figures.style import styled

N_STEPS, RESOLUTION = 20, 0.1


def has_mnist(data_dir: str) -> bool:
    """Whether the four files are there: nothing is downloaded here."""
    return all(find_file(Path(data_dir).expanduser(), name) for name in SHA256)


def draw(state: dict[str, Any], folder: Path, data_dir: str) -> list[str]:
    """Draws what there are data for.

    Args:
        state: The results.
        folder: Where the PNGs go.
        data_dir: The folder of MNIST.

    Returns:
        The names of the files that are in `folder` now, without suffix.
    """
    figures = {"reproduction_series": _series()}
    if has_mnist(data_dir):
        figures["reproduction_digit"] = _digit(data_dir)
    for name, system in zip(("reproduction_window", "reproduction_dropout"), DRAWN, strict=True):
        run = next(run for run in plan(state["full"]) if run.name == system)
        result = state["runs"].get(run.key, {})
        if "predictions" in result and result["arguments"] == list(run.arguments):
            figures[name] = _window(result["predictions"], system)
    for name, figure in figures.items():
        save(figure, folder / f"{name}.png")
    return [name for name in FIGURES if (folder / f"{name}.png").is_file()]


def _series() -> Figure:
    t = torch.linspace(0, 30, 301, dtype=torch.float64)
    window = PREDICT_START + RESOLUTION * torch.arange(N_STEPS + 1, dtype=torch.float64)
    return series_figure(t, time_series(t), window, time_series(window), name="t sin(t) / 3 + 2 sin(5t)")


def _window(columns: dict[str, list[float]], system: str) -> Figure:
    t = PREDICT_START + RESOLUTION * torch.arange(N_STEPS + 1, dtype=torch.float64)
    return window_figure(t[:-1], columns["x_0"], t[1:], columns["y"], columns["prediction"], title=system)


def _digit(data_dir: str) -> Figure:
    """The first digit of the test set, and the same as a sequence."""
    data = SequenceMNIST(data_dir)
    data.setup("test")
    sample = data.datasets["test"][0]
    with styled():
        figure, (left, right) = new_figure(columns=2, size=(7.4, 3.7))
        left.imshow(sample["x"], cmap="gray_r")
        left.set(title=f"A digit: {int(sample['y'])}", xlabel="pixel of a row", ylabel="row")
        right.imshow(sample["x"].T, cmap="gray_r", origin="lower")
        right.set(title="What the network reads", xlabel="time step: the row", ylabel="input: the pixel")
        for axes in (left, right):
            axes.grid(visible=False)
    return figure
