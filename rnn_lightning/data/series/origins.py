"""Finds where forecasts of a `TimeSeries` begin, with the history before and the true values after each origin.

Legend: B origins, T time steps of a history, S series, K columns known ahead, N steps of a forecast.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import torch

from rnn_lightning.data.series.fitting import number_of
from rnn_lightning.data.series.windows import ranges
from rnn_lightning.errors import ArgumentError
from rnn_lightning.forecasts.backtest import Origins

if TYPE_CHECKING:
    from rnn_lightning.data.series.datamodule import TimeSeries


def origins_of_predict(data: "TimeSeries") -> np.ndarray:
    """Returns the last step that `predict` reads of each series: (S,)."""
    if data.origin is None:
        return data.panel.lengths - 1
    at: np.ndarray = number_of(data.panel, "origin", data.origin, at_or_before=True) - data.panel.first
    wrong = np.flatnonzero((at < 0) | (at >= data.panel.lengths))
    if len(wrong):
        raise ArgumentError(
            f"origin={data.origin}: {data.panel.name(int(wrong[0]))} has no values at that time: change origin"
        )
    return at


def origins_of(data: "TimeSeries", part: str, most: int = 10_000) -> tuple[np.ndarray, np.ndarray]:
    """Returns the series and the step of each origin of a backtest on a part, "val" or "test".

    Origins are `stride` steps apart. If there are more than `most`, evenly spaced origins are chosen.
    """
    begin, end = (data.cuts[:, 0], data.cuts[:, 1]) if part == "val" else (data.cuts[:, 1], data.panel.lengths)
    need = max(data.lead + 1, data.season)
    steps, series = ranges(np.maximum(begin, need) - 1, end - 1, data.stride)
    chosen = np.linspace(0, len(steps) - 1, min(len(steps), most)).round().astype(np.int64)
    return series[chosen], steps[chosen]


def histories(
    data: "TimeSeries", series: np.ndarray, steps: np.ndarray, horizon: int, until: np.ndarray | None = None
) -> Iterator[Origins]:
    """Yields batches of histories and the values that followed. All histories in a batch have the same length.

    Args:
        data: The series.
        series: (B,) the series of each origin.
        steps: (B,) the last step that is read before each forecast.
        horizon: N, the number of steps to forecast.
        until: (S,) where the true values to compare with end; by default, at the end of each series.
    """
    panel = data.panel
    until = panel.lengths if until is None else until
    size = np.minimum(steps + 1, data.lead + max(data.n_steps, data.season))
    known = data.features.known()
    filled = panel.filled(panel.values)
    for length in np.unique(size):
        same = np.flatnonzero(size == length)
        for rows in np.array_split(same, -(-len(same) // 512)):
            s, at = series[rows], panel.offsets[series[rows]] + steps[rows]
            around = at[:, None] + np.arange(1 - length, 1 + horizon)  # (B, T + N)
            past, to_come = around[:, :length], around[:, length:]
            y = panel.values[past]
            y[:, 0] = filled[past[:, 0]]
            end = (panel.offsets[s] + until[s])[:, None]
            truth = np.where((to_come < end)[..., None], panel.values[np.minimum(to_come, end - 1)], np.nan)
            yield Origins(
                torch.from_numpy(y),
                data.features.known_around(known, s, around[:, 1:]) if known.shape[1] else None,
                torch.from_numpy(truth),
                data.scaling["shift"][s],
                data.scaling["scale"][s],
                torch.from_numpy(s),
            )


def check_future(data: "TimeSeries", horizon: int) -> None:
    """Raises `ArgumentError` if the forecasts of `predict` lack history or columns known ahead."""
    panel, last = data.panel, origins_of_predict(data)
    short = np.flatnonzero(last < data.lead)
    if len(short):
        raise ArgumentError(
            f"{panel.name(int(short[0]))} has {last[short[0]] + 1} steps before the forecast, which needs "
            f"{data.lead + 1}: give a longer history, or a later data.origin"
        )
    if not data.columns.known:
        return
    for s, at in enumerate(last):
        known = panel.known[panel.offsets[s] + at + 1 : panel.offsets[s + 1]][:horizon]
        missing = np.isnan(np.pad(known, ((0, horizon - len(known)), (0, 0)), constant_values=np.nan))
        if missing.any():
            step = int(missing.any(1).argmax())
            names = ", ".join(np.array(data.columns.known)[missing[step]])
            when = panel.grid.labels([panel.first[s] + at + 1 + step])[0]
            raise ArgumentError(
                f"{names} of {panel.name(s)} is not known at {when}, which the forecast of {horizon} steps needs: add "
                "rows with it to the file, give --data.future FILE, or lower --horizon"
            )
