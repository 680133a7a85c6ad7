"""Draws the held-out error of each time step, which shows where in a sequence a model is wrong."""

from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from rnn_lightning.figures.style import COLORS, log_scale, marker_size, new_figure, styled, vector


def error_by_step_figure(errors: Any, name: str = "mean squared error", best: Any | None = None) -> Figure:
    """Draws the mean error of each time step, on a logarithmic scale unless an error is 0.

    Args:
        errors: (T,) the mean error of each step's targets; NaN where a step has no targets.
        name: The name of the error, which labels the vertical axis.
        best: (T,) the lowest possible error, to compare with; optional.
    """
    errors = vector("errors", errors)
    with styled():
        figure, (axes,) = new_figure()
        if best is not None:
            axes.plot(vector("best", best), ":", color=COLORS["reference"], label="best possible")
        axes.plot(errors, "o-", color=COLORS["error"], markersize=marker_size(len(errors)), label="held-out error")
        axes.set(title="Held-out error by time step", xlabel="time step", ylabel=name)
        known = errors[np.isfinite(errors)]
        if len(known) and known.min() > 0:
            log_scale(axes)
        else:  # an error of 0 can't be shown on a logarithmic axis
            axes.set_ylim(bottom=0)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        if best is not None:
            axes.legend(loc="best")
    return figure
