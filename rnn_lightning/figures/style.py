"""The style of all figures, with consistent colours and sizes that suit TensorBoard's cards.

Figures only use matplotlib's object interface. So no backend is chosen for you, and pyplot does not keep figures in
memory.
"""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator
from PIL import Image

from rnn_lightning.files import write_atomically

COLORS = {
    "series": "#8c96a0",
    "input": "#0072b2",
    "target": "#009e73",
    "prediction": "#d55e00",
    "error": "#7b4397",
    "reference": "#444444",
}
"""Colours that colour-blind readers can tell apart (after Okabe & Ito). Forecasts have the colour of predictions."""

CARD = (5.2, 3.3)
"""The width and height of a figure in inches. Its text stays readable when TensorBoard shrinks the figure."""

_STYLE: dict[Any, Any] = {  # by matplotlib's names
    "font.size": 11.0,
    "axes.titlesize": 11.5,
    "axes.labelsize": 11.0,
    "xtick.labelsize": 9.5,
    "ytick.labelsize": 9.5,
    "legend.fontsize": 9.5,
    "legend.framealpha": 0.85,
    "legend.handlelength": 1.6,
    "text.parse_math": False,
    "text.hinting": "none",  # a quarter faster
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.titlelocation": "left",
    "axes.titley": 1.0,  # a fixed position; searching for a free one takes as long as drawing an axes
    "grid.color": "#e3e6e8",
    "grid.linewidth": 0.8,
    "lines.linewidth": 1.6,
    "figure.facecolor": "white",
    "figure.dpi": 110,
    "figure.constrained_layout.use": True,
}


@contextmanager
def styled() -> Iterator[None]:
    """Applies the style to figures made inside the `with` block, and then restores your matplotlib settings."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()  # a user's own matplotlibrc must not change our figures
        matplotlib.rcParams.update(_STYLE)
        yield


def new_figure(rows: int = 1, columns: int = 1, size: tuple[float, float] = CARD) -> tuple[Figure, list[Axes]]:
    """Makes a figure with a grid of axes, which matplotlib lays out. Call it inside `styled()`.

    Args:
        rows: The number of rows of axes.
        columns: The number of columns of axes.
        size: The width and height in inches.

    Returns:
        The figure and its axes, row by row.
    """
    figure = Figure(figsize=size)
    return figure, list(figure.subplots(rows, columns, squeeze=False).flat)


def log_scale(axes: Axes, wide: float = 50) -> None:
    """Makes the vertical axis logarithmic. Its labels are plain numbers, as formulas and minor ticks are slow to draw.

    Call this function after the curves are drawn, as a small range gets more ticks. If the highest value is more than
    `wide` times the lowest, only powers of ten get one.
    """
    axes.set_yscale("log")
    low, high = axes.get_ylim()
    subs = (1.0, 2.0, 5.0) if high > 5 * low else (1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 6.0)
    axes.yaxis.set_major_locator(LogLocator(subs=(1.0,) if high > wide * low else subs))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def marker_size(points: int, largest: float = 7.0) -> float:
    """Returns the size of markers in points. It is smaller if there are many markers, so that they do not overlap."""
    return float(np.clip(largest * (20 / max(points, 1)) ** 0.5, 2.0, largest))


def vector(name: str, values: Any) -> np.ndarray:
    """Converts values, such as a tensor on the CPU, to a one-dimensional array of floats.

    Raises:
        ValueError: The values do not have one dimension, not counting dimensions of size 1.
    """
    array = np.asarray(values, dtype=float)
    if array.ndim != 1:
        array = array.squeeze()
    if array.ndim != 1:
        raise ValueError(f"{name} has shape {np.shape(values)}: give one value for each point, shape (N,)")
    return array


def pixels(figure: Figure) -> np.ndarray:
    """Renders the figure as an image: (height, width, 3) uint8."""
    canvas = FigureCanvasAgg(figure)
    with styled():
        canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def png(figure: Figure) -> tuple[bytes, int, int]:
    """Renders the figure as a PNG with fast compression. Also returns the width and height in pixels."""
    image = Image.fromarray(pixels(figure))
    file = io.BytesIO()
    image.save(file, format="PNG", compress_level=1)
    return file.getvalue(), image.width, image.height


def save(figure: Figure, path: str | Path) -> Path:
    """Writes the figure as a PNG, completely or not at all. The folder is created if missing."""
    return write_atomically(path, png(figure)[0])
