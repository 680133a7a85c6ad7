"""Finds where the parts of a `TimeSeries` begin, and fits differences, scales and naive errors on the training part.

Arguments out of range, and parts that are too short, raise `ArgumentError`.

Legend: S series, T steps of a training part, C predicted columns, K columns known ahead.
"""

import math
from dataclasses import asdict
from typing import Any, Literal, get_args

import numpy as np
import torch
from torch import Tensor

from rnn_lightning.data.series.panel import Panel
from rnn_lightning.data.series.reading import Columns
from rnn_lightning.errors import ArgumentError
from rnn_lightning.forecasts.calendar import circles_of
from rnn_lightning.forecasts.naive import seasonal_error
from rnn_lightning.forecasts.scaling import carry_forward, scaling_of

Difference = Literal["auto", "none", "first", "seasonal"]
Scale = Literal["standard", "none"]
KIND = "series"
"""The kind of fitted values that `TimeSeries` reads."""


def fit(
    panel: Panel,
    columns: Columns,
    val: Any,
    test: Any,
    n_steps: int | None,
    season: int | None,
    difference: Difference,
    scale: Scale,
    calendar: bool | None,
) -> dict[str, Any]:
    """Fits everything on the training part, and returns it as plain values. The arguments are those of `TimeSeries`."""
    distance = panel.grid.distance
    if calendar and distance is None:
        raise ArgumentError(
            "calendar=true needs dates, but the times are whole numbers: give time_format, or leave calendar out"
        )
    circles = [] if distance is None or calendar is False else circles_of(distance)
    season = panel.grid.season if season is None else season
    cuts = parts(panel, val, test)
    train, known = (training_parts(values, panel, cuts) for values in (panel.values, panel.known))
    lags = choose_lags(train, difference, season)
    of_series = fit_series(train, lags, scale, season)
    known_shift, known_scale = _scaling(torch.cat(known), [0] * len(columns.known), 0, scale)
    return {
        "kind": KIND,
        **asdict(columns),
        "calendar": circles,
        "ids": panel.ids,
        "grid": asdict(panel.grid),
        "season": season,
        "n_steps": _window(panel, cuts, n_steps, season, max(1, *lags)),
        "lags": lags,
        "scaled": scale == "standard",
        "flags": bool(torch.cat(train).isnan().any()),
        "parts": (cuts + panel.first[:, None]).tolist(),
        **of_series,
        "known_shift": known_shift + 2 * len(circles) * [0.0],  # the calendar's columns are not scaled
        "known_scale": known_scale + 2 * len(circles) * [1.0],
    }


def _window(panel: Panel, cuts: np.ndarray, n_steps: int | None, season: int, lead: int) -> int:
    """Returns the number of steps in a window. The shortest training part must hold `lead` steps and one window."""
    shortest = int(cuts[:, 0].min())
    if n_steps is None:
        n_steps = max(1, min(max(2 * season, 24), shortest - lead - 1))
    if shortest < lead + n_steps + 1:
        raise ArgumentError(
            f"{panel.name(int(cuts[:, 0].argmin()))} has {max(shortest, 0)} steps in its training part, but a window "
            f"needs {lead + n_steps + 1} (n_steps={n_steps}, the target, and {lead} steps before): lower n_steps, val "
            "or test, or leave the series out"
        )
    return n_steps


def parts(panel: Panel, val: Any, test: Any) -> np.ndarray:
    """Finds where the validation and the test part of each series begin: (S, 2), in steps from its beginning.

    `val` and `test` are shares, numbers of steps, or times at which the part begins in all series.
    """
    begin_test = _cut(panel, "test", test, panel.lengths)
    begin_val = _cut(panel, "val", val, begin_test)
    cuts = np.stack((begin_val, begin_test), axis=1).clip(0, panel.lengths[:, None])
    for name, value, sizes in (("test", test, panel.lengths - cuts[:, 1]), ("val", val, cuts[:, 1] - cuts[:, 0])):
        if not (sizes > 0).any():
            raise ArgumentError(
                f"no {name} part is left with {name}={value} (val={val}, test={test}): change data.{name}"
            )
    return cuts


def _cut(panel: Panel, name: str, value: Any, ends: np.ndarray) -> np.ndarray:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise ArgumentError(f"{name}={value!r}: give a share such as 0.1, a number of steps, or a date")
    if isinstance(value, str) or (isinstance(value, int) and value > panel.lengths.max()):
        return number_of(panel, name, str(value)) - panel.first
    if isinstance(value, int) and value >= 1:
        return ends - value
    if not 0 < value < 1:
        raise ArgumentError(f"{name}={value!r}: give a share in (0, 1), a number of steps (1 or more), or a date")
    return ends - np.maximum(1, np.floor(panel.lengths * value + 1e-9).astype(np.int64))


def number_of(panel: Panel, name: str, value: str, at_or_before: bool = False) -> int:
    """Returns the number of the first step on the grid at or after a time, or of the last step at or before it."""
    import pandas as pd

    grid = panel.grid
    try:
        if grid.unit == "int":
            time: Any = np.array([int(value)])
        else:
            date = pd.to_datetime(value, format=grid.time_format) if grid.time_format else pd.Timestamp(value)
            if grid.zone is not None:
                date = date.tz_localize(grid.zone) if date.tzinfo is None else date
            if date.tzinfo is not None:
                date = date.tz_convert(None)  # to UTC
            time = np.array([date.to_datetime64()], "datetime64[us]")
    except (ValueError, TypeError) as error:
        raise ArgumentError(f"{name}={value!r} can't be read as a time of this file ({error}): give one such as "
                            f"{grid.labels(panel.first[:1])[0]}") from error  # fmt: skip
    k = int(grid.numbers(time)[0][0])
    if at_or_before:
        return k if grid.times(k) <= time[0] else k - 1
    return k if grid.times(k) >= time[0] else k + 1


def training_parts(values: np.ndarray, panel: Panel, cuts: np.ndarray) -> list[Tensor]:
    """Returns the values (T, ...) in the training part of each series, from those of all steps (N, ...)."""
    return [
        torch.from_numpy(values[begin : begin + cut]) for begin, cut in zip(panel.offsets, cuts[:, 0], strict=False)
    ]


def choose_lags(train: list[Tensor], difference: Difference, season: int) -> list[int]:
    """Chooses how far back each column's difference reaches: 0 (none), 1 (first) or `season` (seasonal).

    For each column, "auto" compares three naive forecasts one step ahead on the training part: the training mean, the
    last value and the same season. It takes the one with the smallest mean absolute error.
    """
    if difference not in get_args(Difference):
        raise ArgumentError(f"difference={difference!r}: choose one of {', '.join(get_args(Difference))}")
    columns = train[0].shape[1]
    if difference != "auto":
        return [{"none": 0, "first": 1, "seasonal": season}[difference]] * columns
    lags = [0, 1, *([season] if season > 1 else [])]
    scores = []
    for y in train:
        if len(y) < 2 * max(lags) + 2:
            continue
        filled, start = carry_forward(y[None])[0], max(lags)
        mean = y.nanmean(0)
        errors = torch.stack(
            [(y[start:] - (filled[start - lag : len(y) - lag] if lag else mean)).abs().nanmean(0) for lag in lags]
        )  # (lags, C)
        scores.append(errors / errors[0].clamp(min=torch.finfo(errors.dtype).tiny))
    if not scores:
        return [0] * columns
    return [lags[int(best)] for best in torch.stack(scores).nanmean(0).nan_to_num(math.inf).argmin(0)]


def fit_series(train: list[Tensor], lags: list[int], scale: Scale, season: int) -> dict[str, list[list[Any]]]:
    """Fits the shift, the scale and the seasonal-naive error of each series and column on its training part."""
    if scale not in get_args(Scale):
        raise ArgumentError(f"scale={scale!r}: choose one of {', '.join(get_args(Scale))}")
    found: dict[str, list[list[Any]]] = {"shift": [], "scale": [], "naive": []}
    for y in train:
        shift, size = _scaling(y, lags, max(1, *lags), scale)
        naive = seasonal_error(y, season) if len(y) > season else y.new_full((y.shape[1],), math.nan)
        found["shift"].append(shift)
        found["scale"].append(size)
        found["naive"].append([None if math.isnan(value) else value for value in naive.tolist()])
    return found


def _scaling(y: Tensor, lags: list[int], lead: int, scale: Scale) -> tuple[list[float], list[float]]:
    """Returns the shift and the scale of each column's differences: y (T, C); see `scaling_of`."""
    if scale == "none" or len(y) <= lead or not lags:
        return [0.0] * len(lags), [1.0] * len(lags)
    shift, size = scaling_of(y[None], lags, lead)
    return shift[0, 0].tolist(), size[0, 0].tolist()
