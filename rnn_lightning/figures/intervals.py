"""Draws a forecast with dates: its history, the forecast with its interval, and the true values."""

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from rnn_lightning.figures.series import _inputs
from rnn_lightning.figures.style import CARD, COLORS, new_figure, styled, vector


def interval_figure(
    t: Any,
    history: Any,
    t_forecast: Any,
    forecast: Any,
    lower: Any | None = None,
    upper: Any | None = None,
    truth: Any | None = None,
    title: str = "Forecast",
    name: str = "value",
) -> Figure:
    """Draws a history, and a forecast with its interval.

    Args:
        t: (T,) the times of the history, as dates or numbers.
        history: (T,) the values of the history; NaN is not drawn.
        t_forecast: (N,) the times of the forecast.
        forecast: (N,) the forecast.
        lower: (N,) the lower bounds, or None; NaN is not drawn.
        upper: (N,) the upper bounds, or None; NaN is not drawn.
        truth: (N,) the true values, or None; NaN is not drawn.
        title: The title of the figure.
        name: The name of the values, which labels the vertical axis.
    """
    t, t_forecast, forecast = np.asarray(t), np.asarray(t_forecast), vector("forecast", forecast)
    with styled():
        figure, (axes,) = new_figure(size=(CARD[0] + 1.2, CARD[1] + 0.28))
        _inputs(axes, t, vector("history", history), label="history", points=len(t) + len(t_forecast))
        if lower is not None and upper is not None and not np.isnan(vector("lower", lower)).all():
            bounds = vector("lower", lower), vector("upper", upper)
            axes.fill_between(t_forecast, *bounds, color=COLORS["prediction"], alpha=0.2, linewidth=0, label="interval")
        if truth is not None and not np.isnan(vector("truth", truth)).all():
            axes.plot(t_forecast, vector("truth", truth), color=COLORS["target"], label="true values")
        axes.plot(t_forecast, forecast, "--", color=COLORS["prediction"], label="forecast")
        axes.set(title=title, ylabel=name)
        if np.issubdtype(t.dtype, np.datetime64):
            for label in axes.get_xticklabels():
                label.set(rotation=25, horizontalalignment="right")
        figure.legend(loc="outside upper left", ncols=4, frameon=False)
    return figure
