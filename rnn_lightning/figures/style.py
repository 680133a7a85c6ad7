"""The style of all figures: consistent colours, and sizes that suit TensorBoard's cards.

Figures are made by matplotlib's object interface alone, so that no backend is chosen for the caller, and nothing is kept
alive by pyplot.
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
"""What is drawn in which colour, told apart also by the colour-blind (after Okabe & Ito): a forecast is a prediction."""

CARD = (5.2, 3.3)
"""Width and height of a figure in inches. At `DPI` its letters stay readable where TensorBoard shrinks it to a card."""

DPI = 110

DIGIT_SPACE = "\u2007"
"""As wide as a digit: labels filled up with it are equally wide, so that a layout fits later numbers, too."""

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
    "axes.titley": 1.0,  # fixed: to look for what may be in its way takes as long as drawing an axes
    "grid.color": "#e3e6e8",
    "grid.linewidth": 0.8,
    "lines.linewidth": 1.6,
    "figure.facecolor": "white",
    "figure.dpi": DPI,
    "figure.constrained_layout.use": True,
}


@contextmanager
def styled() -> Iterator[None]:
    """The style for the figures made inside the `with` block; no setting of the caller's matplotlib stays changed."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()  # a user's own matplotlibrc must not change our pictures
        matplotlib.rcParams.update(_STYLE)
        yield


def new_figure(rows: int = 1, columns: int = 1, size: tuple[float, float] = CARD) -> tuple[Figure, list[Axes]]:
    """A figure with a grid of axes, laid out by matplotlib. To be called inside `styled()`.

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
    """A logarithmic vertical axis with plain numbers: formulas such as 10^-3 are slow to set, as are ticks between.

    To be called after the curves are drawn, as it looks at their range.
    """
    axes.set_yscale("log")
    low, high = axes.get_ylim()
    axes.yaxis.set_major_locator(LogLocator(subs=(1.0,) if high > 50 * low else (1.0, 2.0, 5.0)))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}".rjust(6, DIGIT_SPACE)))


def marker_size(points: int, largest: float = 7.0) -> float:
    """The size of markers in points, smaller where there are many, so that they do not cover each other."""
    return float(np.clip(largest * (20 / max(points, 1)) ** 0.5, 2.0, largest))


def vector(name: str, values: Any) -> np.ndarray:
    """Values as a one-dimensional array of floats; a tensor on the CPU also works.

    Raises:
        ValueError: They have another number of dimensions, dimensions of size 1 not counted.
    """
    array = np.asarray(values, dtype=float)
    if array.ndim != 1:
        array = array.squeeze()
    if array.ndim != 1:
        raise ValueError(f"{name} has shape {np.shape(values)}: give one value for each point, shape (N,)")
    return array


def pixels(figure: Figure) -> np.ndarray:
    """The figure as an image: (height, width, 3) uint8. Its layout is then fixed: another drawing takes half the time."""
    canvas = figure.canvas if isinstance(figure.canvas, FigureCanvasAgg) else FigureCanvasAgg(figure)
    with styled():
        canvas.draw()
    figure.set_layout_engine("none")
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def png(figure: Figure) -> tuple[bytes, int, int]:
    """The figure as a PNG, quickly packed, with its width and height in pixels."""
    image = Image.fromarray(pixels(figure))
    file = io.BytesIO()
    image.save(file, format="PNG", compress_level=1)
    return file.getvalue(), image.width, image.height


def save(figure: Figure, path: str | Path) -> Path:
    """Writes the figure as a PNG, whole or not at all; makes the folder if it is not there."""
    return write_atomically(path, png(figure)[0])
