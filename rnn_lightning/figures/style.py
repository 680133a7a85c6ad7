"""How every figure looks: one colour for one thing everywhere, sizes that TensorBoard's cards can show, margins.

Figures are made by matplotlib's object interface alone, so that no backend is chosen for whoever calls, and nothing is
kept alive by pyplot. Margins are fixed in inches: a layout engine would take longer than the drawing.
"""

import io
import os
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
    "savefig.dpi": "figure",
}


@contextmanager
def styled() -> Iterator[None]:
    """The style for the figures made inside the `with` block; no setting of the caller's matplotlib stays changed."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()  # a user's own matplotlibrc must not change our pictures
        matplotlib.rcParams.update(_STYLE)
        yield


def new_figure(
    rows: int = 1,
    columns: int = 1,
    size: tuple[float, float] = CARD,
    margins: tuple[float, float, float, float] = (0.72, 0.16, 0.52, 0.36),
    gap: float = 0.72,
) -> tuple[Figure, list[Axes]]:
    """A figure with a grid of axes.

    Args:
        rows: How many axes stand one above the other.
        columns: How many stand side by side.
        size: Width and height in inches.
        margins: Left, right, bottom and top of the axes, in inches.
        gap: Inches between two axes.

    Returns:
        The figure, with a canvas that draws without a screen, and its axes.
    """
    figure = Figure(figsize=size, dpi=DPI)
    FigureCanvasAgg(figure)
    left, right, bottom, top = margins
    width = (size[0] - left - right - gap * (columns - 1)) / columns
    height = (size[1] - bottom - top - gap * (rows - 1)) / rows
    grid = figure.add_gridspec(
        rows,
        columns,
        left=left / size[0],
        right=1 - right / size[0],
        bottom=bottom / size[1],
        top=1 - top / size[1],
        wspace=gap / width,
        hspace=gap / height,
    )
    return figure, [figure.add_subplot(grid[row, column]) for row in range(rows) for column in range(columns)]


def log_scale(axes: Axes) -> None:
    """A logarithmic vertical axis with plain numbers: formulas such as 10^-3 are slow to set, as are ticks between.

    To be called after the curves are drawn, as it looks at their range.
    """
    axes.set_yscale("log")
    low, high = axes.get_ylim()
    axes.yaxis.set_major_locator(LogLocator(subs=(1.0,) if high > 50 * low else (1.0, 2.0, 5.0)))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def legend_above(axes: Axes, *handles_and_labels: Any) -> None:
    """A legend in one line between the title, which needs a pad of 24, and the axes: there it covers nothing."""
    style: dict[str, Any] = {"frameon": False, "borderaxespad": 0.0, "columnspacing": 1.2, "ncols": 3}
    axes.legend(*handles_and_labels, loc="lower left", bbox_to_anchor=(-0.02, 0.98), **style)


def marker_size(points: int, largest: float = 7.0) -> float:
    """The size of markers in points, smaller where there are many, so that they do not cover each other."""
    return float(np.clip(largest * (20 / max(points, 1)) ** 0.5, 2.0, largest))


def vector(name: str, values: Any) -> np.ndarray:
    """Values as a one-dimensional array of floats; a tensor on the CPU will do.

    Raises:
        ValueError: They have another number of dimensions, dimensions of size 1 not counted.
    """
    array = np.asarray(values, dtype=float)
    if array.ndim != 1:
        array = array.squeeze()
    if array.ndim != 1:
        raise ValueError(f"{name} has shape {np.shape(values)}: give one value for each point, shape (N,)")
    return array


def png(figure: Figure) -> tuple[bytes, int, int]:
    """The figure as a PNG, quickly packed, with its width and height in pixels."""
    image = Image.fromarray(pixels(figure))
    file = io.BytesIO()
    image.save(file, format="PNG", compress_level=1)
    return file.getvalue(), image.width, image.height


def pixels(figure: Figure) -> np.ndarray:
    """The figure as an image: (height, width, 3) uint8."""
    canvas = figure.canvas if isinstance(figure.canvas, FigureCanvasAgg) else FigureCanvasAgg(figure)
    with styled():
        canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def save(figure: Figure, path: str | Path) -> Path:
    """Writes the figure as a PNG beside `path` and then renames it; makes the folder if it is not there."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.part")
    # No date and no version in the file: the same figure is the same bytes.
    with styled():
        figure.savefig(part, format="png", metadata={"Software": None})
    os.replace(part, path)
    return path
