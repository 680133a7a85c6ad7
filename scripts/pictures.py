"""Draws the pictures of README and docs.

python scripts/pictures.py readme                       # trains two recipes: docs/pictures/
python scripts/pictures.py reproduction --data_dir data # from docs/reproduction.json: docs/figures/
python scripts/pictures.py memory                       # from docs/reproduction.json: docs/figures/
python scripts/pictures.py series --out series.png      # the synthetic series with one training window
"""

import tempfile
from pathlib import Path

import memory_pictures
import torch
from jsonargparse import auto_cli
from matplotlib.figure import Figure
from plan import RESULTS, ROOT, load
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from rnn_lightning.cli import main
from rnn_lightning.cli.arguments import fail
from rnn_lightning.data import SequenceMNIST, SyntheticSine
from rnn_lightning.data.sine import time_series
from rnn_lightning.errors import ArgumentError
from rnn_lightning.figures import series_figure, window_figure
from rnn_lightning.files import write_atomically

FIGURES = ROOT / "docs" / "figures"
README_PICTURES = {
    "sine_seq2seq": {"val/window": "window.png"},
    "sine_tbptt": {"val/forecast": "forecast.png", "train/gradient_reach": "gradient_reach.png"},
}
"""The picture's file for each recipe and TensorBoard tag."""


def readme(out: Path = ROOT / "docs" / "pictures") -> None:
    """Trains the recipes, and writes the pictures that TensorBoard shows after the last validation."""
    for recipe, files in README_PICTURES.items():
        with tempfile.TemporaryDirectory() as folder:
            main(["fit", "--config", recipe, f"--trainer.logger.save_dir={folder}", "--trainer.accelerator=cpu"])
            run = str(Path(folder, recipe, "version_0"))
            events = EventAccumulator(run, size_guidance={"images": 1}).Reload()
        for tag, name in files.items():
            print(write_atomically(out / name, events.Images(tag)[-1].encoded_image_string))


def reproduction(out: Path = FIGURES, data_dir: str = "data") -> None:
    """Draws the tutorial's four figures: the series, a digit, and predictions by the first seed of two systems."""
    series(out / "reproduction_series.png")
    digit(data_dir, out / "reproduction_digit.png")
    t = 12.2 + 0.1 * torch.arange(21, dtype=torch.float64)
    for name, system in (("window", "sine_seq2seq"), ("dropout", "sine_deep_dropout_tutorial")):
        columns = load()["runs"][f"{system}/0"]["predictions"]
        figure = window_figure(t[:-1], columns["x_0"], t[1:], columns["y"], columns["prediction"], title=system)
        save(figure, out / f"reproduction_{name}.png")


def memory(out: Path = FIGURES, results: Path = RESULTS) -> None:
    """Draws how far gradients must reach, and MNIST pixel by pixel. Systems that were not run get no picture."""
    for name, draw in (("reach", memory_pictures.reach), ("pixels", memory_pictures.pixels)):
        figure = draw(load(results))
        if figure is not None:
            save(figure, out / f"reproduction_{name}.png")


def series(
    out: Path = Path("series.png"), t_min: float = 0.0, t_max: float = 30.0, resolution: float = 0.1,
    n_steps: int = 20, start: float = 12.2,
) -> None:  # fmt: skip
    """Draws the whole series with the window from `start` on in bold (left), and its inputs and targets (right)."""
    SyntheticSine(t_min=t_min, t_max=t_max, resolution=resolution, n_steps=n_steps)  # checks them
    t = torch.arange(t_min, t_max, resolution, dtype=torch.float64)
    window = start + resolution * torch.arange(n_steps + 1, dtype=torch.float64)
    save(series_figure(t, time_series(t), window, time_series(window), name="t sin(t) / 3 + 2 sin(5t)"), out)


def digit(data_dir: str, path: Path) -> None:
    """Draws the first digit of the test set, as an image and as a sequence."""
    data = SequenceMNIST(data_dir)
    data.setup("test")
    sample = data.datasets["test"][0]
    figure = Figure(figsize=(7.4, 3.7), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.imshow(sample["x"], cmap="gray_r")
    left.set(title=f"A digit: {int(sample['y'])}", xlabel="pixel of a row", ylabel="row")
    right.imshow(sample["x"].T, cmap="gray_r", origin="lower")
    right.set(title="What the network reads", xlabel="time step: the row", ylabel="input: the pixel")
    save(figure, path)


def save(figure: Figure, path: Path) -> None:
    """Writes a PNG."""
    print(write_atomically(path, lambda part: figure.savefig(part, dpi=150)))


def run(arguments: list[str] | None = None) -> None:
    try:
        auto_cli([readme, reproduction, memory, series], args=arguments)
    except ArgumentError as error:
        fail(str(error))


if __name__ == "__main__":
    run()
