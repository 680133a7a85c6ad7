"""Draws a time series with one training window, predictions on a window, and forecasts."""

from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rnn_lightning.figures.style import CARD, COLORS, marker_size, new_figure, styled, vector


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
        _inputs(right, t_window[:-1], window[:-1])
        _targets(right, t_window[1:], window[1:])
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
        if inputs is not None:
            _inputs(axes, vector("t", t), vector("inputs", inputs))
        t_targets = vector("t_targets", t_targets)
        if targets is not None:
            _targets(axes, t_targets, vector("targets", targets))
        _predictions(axes, t_targets, vector("predictions", predictions))
        axes.set(title=title, xlabel=xlabel, ylabel="value")
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
        _inputs(axes, t, vector("inputs", inputs), label="true inputs", points=len(t) + len(t_forecast))
        if truth is not None:
            axes.plot(t_forecast, vector("truth", truth), color=COLORS["target"], label="true values")
        axes.plot(t_forecast, vector("forecast", forecast), "--", color=COLORS["prediction"], label="forecast")
        axes.set(title=title, xlabel=xlabel, ylabel="value")
        figure.legend(loc="outside upper left", ncols=3, frameon=False)
    return figure


def _inputs(axes: Axes, t: Any, values: Any, label: str = "inputs", points: int | None = None) -> None:
    size = marker_size(points or len(t), largest=9.5)
    axes.plot(t, values, "o-", color=COLORS["input"], markersize=size, linewidth=0.8, label=label)


def _targets(axes: Axes, t: Any, values: Any) -> None:
    # Stars are white inside, as most targets coincide with the next input, and both should be visible.
    style: dict[str, Any] = {
        "markerfacecolor": "white",
        "markersize": marker_size(len(t), largest=9.0),
        "markeredgewidth": 1.1,
    }
    axes.plot(t, values, "*", color=COLORS["target"], label="targets", **style)


def _predictions(axes: Axes, t: Any, values: Any) -> None:
    style: dict[str, Any] = {"markersize": marker_size(len(t), largest=6.5), "markeredgewidth": 1.6}
    axes.plot(t, values, "x", color=COLORS["prediction"], label="predictions", **style)
