"""Draws time series: with one training window, with predictions and their errors by time step, and with forecasts."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from rnn_lightning.figures.style import CARD, COLORS, log_scale, marker_size, new_figure, styled, vector

_KINDS: dict[str, tuple[str, str, dict[str, float | str]]] = {
    "inputs": ("o-", "input", {"markersize": 9.5, "linewidth": 0.8}),
    # Stars are white inside, as most targets coincide with the next input, and both should be visible.
    "targets": ("*", "target", {"markersize": 9.0, "markerfacecolor": "white", "markeredgewidth": 1.1}),
    "predictions": ("x", "prediction", {"markersize": 6.5, "markeredgewidth": 1.6}),
    "truth": ("-", "target", {"label": "true values"}),
    "forecast": ("--", "prediction", {}),
}
"""How each kind of values is drawn: format, colour and matplotlib's arguments. The size is that of a few markers."""


def series_figure(t: Any, values: Any, t_window: Any, window: Any, name: str = "series") -> Figure:
    """Draws two panels: the series with one training window in bold, and the inputs and targets of that window.

    Args:
        t: (N,) the times of the series.
        values: (N,) the values of the series.
        t_window: (T + 1,) the times of the window. The first T points are inputs, and the last T are targets.
        window: (T + 1,) the values of the window.
        name: The name of the series in the legend.
    """
    t, values = vector("t", t), vector("values", values)
    t_window, window = vector("t_window", t_window), vector("window", window)
    with styled():
        figure, (left, right) = new_figure(columns=2, size=(2 * CARD[0], CARD[1] + 0.4))
        left.plot(t, values, color=COLORS["series"], label=name)
        left.plot(t_window[:-1], window[:-1], color=COLORS["input"], linewidth=3.5, label="one training window")
        left.set(title="The series", xlabel="time t", ylabel="value", xlim=(t[0], t[-1]))
        left.legend(loc="lower left")
        _draw(right, "inputs", t_window[:-1], window[:-1])
        _draw(right, "targets", t_window[1:], window[1:])
        right.set(title="One training window", xlabel="time t", ylabel="value")
        right.legend(loc="best")
    return figure


def window_figure(
    t: Any,
    inputs: Any | None,
    t_targets: Any,
    targets: Any | None,
    predictions: Any,
    title: str = "One window",
    xlabel: str = "time t",
) -> Figure:
    """Draws inputs, targets and predictions on one window.

    Args:
        t: (T,) the times of the inputs.
        inputs: (T,) the inputs; None if they are not comparable with the targets.
        t_targets: (T,) the times of the targets and predictions; one step later than `t` if these are the next inputs.
        targets: (T,) the true values, or None if they are not known. NaN is not drawn.
        predictions: (T,) the model's predictions.
        title: The title of the figure.
        xlabel: The label of the time axis.
    """
    with styled():
        figure, (axes,) = new_figure()
        _draw(axes, "inputs", t, inputs)
        _draw(axes, "targets", t_targets, targets)
        _draw(axes, "predictions", t_targets, predictions)
        axes.set(title=title, xlabel=xlabel, ylabel="value")
        axes.legend(loc="best")
    return figure


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


def forecast_figure(
    t: Any,
    inputs: Any,
    t_forecast: Any,
    forecast: Any,
    truth: Any | None = None,
    title: str = "Free-running forecast",
    xlabel: str = "time t",
) -> Figure:
    """Draws a warm-up window, and then a forecast in which each prediction is the next input.

    Args:
        t: (T,) the times of the warm-up window.
        inputs: (T,) the true values in the window, which the model reads.
        t_forecast: (N,) the times of the forecast.
        forecast: (N,) the forecast.
        truth: (N,) the true values at the times of the forecast, or None if they are not known.
        title: The title of the figure.
        xlabel: The label of the time axis.
    """
    t, t_forecast = vector("t", t), vector("t_forecast", t_forecast)
    with styled():
        figure, (axes,) = new_figure(size=(CARD[0], CARD[1] + 0.28))
        axes.axvspan(t[0], t[-1], color=COLORS["input"], alpha=0.07, linewidth=0)
        _draw(axes, "inputs", t, inputs, len(t) + len(t_forecast), label="true inputs")
        _draw(axes, "truth", t_forecast, truth)
        _draw(axes, "forecast", t_forecast, forecast)
        axes.set(title=title, xlabel=xlabel, ylabel="value")
        figure.legend(loc="outside upper left", ncols=3, frameon=False)
    return figure


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
    t, t_forecast = np.asarray(t), np.asarray(t_forecast)
    lower, upper, truth = _known("lower", lower), _known("upper", upper), _known("truth", truth)
    with styled():
        figure, (axes,) = new_figure(size=(CARD[0] + 1.2, CARD[1] + 0.28))
        _draw(axes, "inputs", t, history, len(t) + len(t_forecast), label="history")
        if lower is not None and upper is not None:
            style: dict[str, Any] = {"alpha": 0.2, "linewidth": 0, "label": "interval"}
            axes.fill_between(t_forecast, lower, upper, color=COLORS["prediction"], **style)
        _draw(axes, "truth", t_forecast, truth)
        _draw(axes, "forecast", t_forecast, forecast)
        axes.set(title=title, ylabel=name)
        if np.issubdtype(t.dtype, np.datetime64):
            for label in axes.get_xticklabels():
                label.set(rotation=25, horizontalalignment="right")
        figure.legend(loc="outside upper left", ncols=4, frameon=False)
    return figure


def _draw(axes: Axes, kind: str, t: Any, values: Any, points: int | None = None, label: str | None = None) -> None:
    """Draws values (T,) of a kind at the times t (T,), or nothing if they are None; `points` is T of the whole axes."""
    if values is None:
        return
    t = np.asarray(t)
    t = t if t.dtype.kind == "M" else vector("t", t)
    form, color, more = _KINDS[kind]
    style: dict[str, Any] = {"label": label or kind, "color": COLORS[color], **more}
    if "markersize" in style:
        style["markersize"] = marker_size(points or len(t), style["markersize"])
    axes.plot(t, vector(kind, values), form, **style)


def _known(name: str, values: Any) -> np.ndarray | None:
    """Converts values to a vector; returns None if none of them is known."""
    return None if values is None or np.isnan(vector(name, values)).all() else vector(name, values)
