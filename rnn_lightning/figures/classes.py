"""Draws figures of a classifier: the confusion matrix, and misclassified images."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from rnn_lightning.figures.style import COLORS, new_figure, styled

_NUMBERS = 15  # with more classes than this, cells do not show their counts


def confusion_figure(counts: Any) -> Figure:
    """Draws a confusion matrix. Each cell shows its count, and is shaded by its share of the row.

    Args:
        counts: (C, C) integers, how often the class of the row was predicted as the class of the column.

    Raises:
        ValueError: `counts` is not square.
    """
    counts = np.asarray(counts)
    if counts.ndim != 2 or counts.shape[0] != counts.shape[1]:
        raise ValueError(f"counts has shape {counts.shape}: give a square matrix, true classes by predicted classes")
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    with styled():
        few = len(counts) <= _NUMBERS
        figure, (axes,) = new_figure(size=(4.2, 4.2) if few else (5.2, 5.2))
        # The square root makes rare mistakes visible beside the many correct predictions.
        axes.imshow(share**0.5, cmap="Blues", vmin=0.0, vmax=1.0)
        axes.grid(visible=False)
        axes.set(xlabel="predicted class", ylabel="true class")
        axes.set_title(f"Confusion: {np.trace(counts):,} of {counts.sum():,} right")
        if few:
            axes.set(xticks=range(len(counts)), yticks=range(len(counts)))
            for row, column in np.argwhere(counts):
                color = "white" if share[row, column] > 0.4 else COLORS["reference"]
                place = {"ha": "center", "va": "center", "in_layout": False}  # they are within the axes
                axes.text(column, row, f"{counts[row, column]}", place, fontsize=8.5, color=color)
    return figure


def mistakes_figure(
    images: Any, truths: Sequence[Any], predictions: Sequence[Any], probabilities: Sequence[float], columns: int = 6
) -> Figure:
    """Draws misclassified images, each with its true class, its predicted class and the prediction's probability.

    Args:
        images: (N, rows, columns) grey values; N may be 0.
        truths: The N true classes.
        predictions: The N predicted classes.
        probabilities: The N probabilities of the predicted classes, in [0, 1].
        columns: The number of images in a row.
    """
    images = np.asarray(images, dtype=float)
    count, height, width = images.shape
    rows = max(1, -(-count // columns))
    cell, title, head = 0.84, 0.26, 0.36  # inches
    size = (columns * cell + 0.12, rows * (cell + title) + head)
    # Drawing all images as one picture is much faster than drawing an axes for each image.
    gap, above = max(1, width // 10), round(height * title / cell)
    wall = np.full((rows * (height + above), columns * (width + gap) - gap), np.nan)
    with styled():
        figure = Figure(figsize=size)
        figure.set_layout_engine("none")  # the images fill the page except for the title
        axes = figure.add_axes((0.01, 0.01, 0.98, 0.99 - head / size[1]))
        axes.set_axis_off()
        axes.set_title("Mistakes: truth → prediction, its probability")
        labels = zip(truths, predictions, probabilities, strict=True)
        for i, (image, (truth, prediction, probability)) in enumerate(zip(images, labels, strict=True)):
            row, column = divmod(i, columns)
            top, left = row * (height + above) + above, column * (width + gap)
            wall[top : top + height, left : left + width] = image
            place: dict[str, Any] = {"ha": "center", "va": "bottom", "fontsize": 9.0, "color": COLORS["prediction"]}
            axes.text(left + width / 2, top - 1, f"{truth} → {prediction}  {probability:.0%}", **place)
        axes.imshow(wall, cmap="gray_r", aspect="auto")
        if count == 0:
            axes.text(0.5, 0.5, "none", ha="center", transform=axes.transAxes)
    return figure
