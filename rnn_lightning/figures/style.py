"""The style of all figures: consistent colours, and sizes that suit TensorBoard's cards.

Figures use only matplotlib's object interface, so that no backend is chosen for you and pyplot does not keep them in
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
"""Colours that colour-blind readers can tell apart (after Okabe & Ito). A forecast has the colour of predictions."""

CARD = (5.2, 3.3)
"""Width and height of a figure in inches. At `DPI` its text stays readable when TensorBoard shrinks it to a card."""

DPI = 110

DIGIT_SPACE = "\u2007"
"""As wide as a digit: labels padded with it have equal widths, so that a layout also fits later numbers."""

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
    "axes.titley": 1.0,  # at a fixed place, as searching for a free one takes as long as drawing an axes
    "grid.color": "#e3e6e8",
    "grid.linewidth": 0.8,
    "lines.linewidth": 1.6,
    "figure.facecolor": "white",
    "figure.dpi": DPI,
    "figure.constrained_layout.use": True,
}


@contextmanager
def styled() -> Iterator[None]:
    """Applies the style to figures made inside the `with` block; your matplotlib settings are restored afterwards."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()  # a user's own matplotlibrc must not change our pictures
        matplotlib.rcParams.update(_STYLE)
        yield


def new_figure(rows: int = 1, columns: int = 1, size: tuple[float, float] = CARD) -> tuple[Figure, list[Axes]]:
    """A figure with a grid of axes, laid out by matplotlib. Call it inside `styled()`.

    Args:
        rows: Number of rows of axes.
        columns: Number of columns.
        size: Width and height in inches.

    Returns:
        The figure and its axes, row by row.
    """
    figure = Figure(figsize=size)
    return figure, list(figure.subplots(rows, columns, squeeze=False).flat)


def log_scale(axes: Axes) -> None:
    """Makes the vertical axis logarithmic, with plain numbers, as formulas and minor ticks are slow to draw.

    Call it after the curves are drawn, as it looks at their range.
    """
    axes.set_yscale("log")
    low, high = axes.get_ylim()
    axes.yaxis.set_major_locator(LogLocator(subs=(1.0,) if high > 50 * low else (1.0, 2.0, 5.0)))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}".rjust(6, DIGIT_SPACE)))


def marker_size(points: int, largest: float = 7.0) -> float:
    """The size of markers in points, smaller if there are many, so that they do not overlap."""
    return float(np.clip(largest * (20 / max(points, 1)) ** 0.5, 2.0, largest))


def vector(name: str, values: Any) -> np.ndarray:
    """Values as a one-dimensional array of floats; a tensor on the CPU also works.

    Raises:
        ValueError: They do not have one dimension, not counting dimensions of size 1.
    """
    array = np.asarray(values, dtype=float)
    if array.ndim != 1:
        array = array.squeeze()
    if array.ndim != 1:
        raise ValueError(f"{name} has shape {np.shape(values)}: give one value for each point, shape (N,)")
    return array


def pixels(figure: Figure) -> np.ndarray:
    """The figure as an image: (height, width, 3) uint8.

    This fixes its layout, so that drawing it again takes half the time.
    """
    canvas = figure.canvas if isinstance(figure.canvas, FigureCanvasAgg) else FigureCanvasAgg(figure)
    with styled():
        canvas.draw()
    figure.set_layout_engine("none")
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def png(figure: Figure) -> tuple[bytes, int, int]:
    """The figure as a PNG with fast compression, and its width and height in pixels."""
    image = Image.fromarray(pixels(figure))
    file = io.BytesIO()
    image.save(file, format="PNG", compress_level=1)
    return file.getvalue(), image.width, image.height


def save(figure: Figure, path: str | Path) -> Path:
    """Writes the figure as a PNG, completely or not at all, and makes the folder if necessary."""
    return write_atomically(path, png(figure)[0])
