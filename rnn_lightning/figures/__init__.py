"""Draws series, predictions, classes and gradients from arrays. Each figure is a `matplotlib.figure.Figure`.

No screen is needed. Nothing else in the package imports matplotlib. Code that draws imports this subpackage inside
functions, not at the top of a file.
"""

from rnn_lightning.figures.classes import confusion_figure, mistakes_figure
from rnn_lightning.figures.gradients import gradient_reach_figure
from rnn_lightning.figures.series import (
    error_by_step_figure,
    forecast_figure,
    interval_figure,
    series_figure,
    window_figure,
)
from rnn_lightning.figures.style import COLORS, new_figure, pixels, png, save

__all__ = [
    "COLORS",
    "confusion_figure",
    "error_by_step_figure",
    "forecast_figure",
    "gradient_reach_figure",
    "interval_figure",
    "mistakes_figure",
    "new_figure",
    "pixels",
    "png",
    "save",
    "series_figure",
    "window_figure",
]
