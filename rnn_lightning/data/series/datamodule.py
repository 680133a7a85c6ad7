"""`TimeSeries`: a table of one or more series, which are predicted one step ahead and over a horizon.

Legend: B batch, T time steps, S series, C predicted columns, N steps of all series.
"""

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rnn_lightning.data.datamodule import SequenceDataModule, check_one_direction
from rnn_lightning.data.series.fitting import KIND, Difference, Scale, fit, fit_series, parts, training_parts
from rnn_lightning.data.series.grid import Grid
from rnn_lightning.data.series.origins import origins_of_predict
from rnn_lightning.data.series.panel import Panel
from rnn_lightning.data.series.reading import Columns, read, with_future
from rnn_lightning.data.series.source import Source
from rnn_lightning.data.series.windows import Features, Steps, Stream, Stretches, Windows, ranges, stretches
from rnn_lightning.data.streams import StreamBatches
from rnn_lightning.errors import ArgumentError, check_ints
from rnn_lightning.fitted import check_kind
from rnn_lightning.forecasts.forecaster import Forecaster
from rnn_lightning.nn import RecurrentNet, Seq2SeqNet


class TimeSeries(SequenceDataModule):
    """Series from a CSV file, a Parquet file or a DataFrame, with scales and differences fitted on the training part.

    Training reads windows of `n_steps`, in a new order each epoch. With `stream`, it reads all series in order instead,
    for `carry_state` and `tbptt`. At each step, the network reads the value, the next step's columns known ahead and,
    if values are missing in training, a flag that is true where the value is missing. It predicts the next value. In
    validation and test, each value counts once, and earlier values are read first.

    Everything is fitted on the training part and saved with the network (see `fitted_values`). A `Forecaster` makes
    forecasts in the file's units.

    Args:
        path: A CSV or Parquet file; from Python, a pandas DataFrame is also allowed.
        target: The column or columns to predict. By default, it is the only column that no other argument names.
        time: The column of times: dates, or whole numbers. By default, rows are consecutive steps.
        time_format: The format of dates in strftime's codes, such as "%Y%m%d" for 19580329; guessed by default.
        id: The column that says which series a row belongs to. By default, there is one series.
        known: Columns that are known ahead. A column may also be constant in each series, to describe the series.
        observed: Columns that are only known up to now. They are predicted, too, so that a forecast can continue.
        calendar: Whether to add the hour, weekday and day of the year as columns known ahead, if they change from step
            to step. By default, it is true if times are dates.
        n_steps: Steps of a window, or of each row of a stream. By default, it is two seasons or 24 steps, whichever is
            more, but no more than the shortest training part allows.
        stride: Steps from one window to the next, and from one origin of the backtest to the next.
        horizon: Steps of a forecast; by default a season, or 10 if there is no season.
        season: Steps of a season; by default 24 for hours, 7 for days, 52 for weeks, 12 for months, else 1 (none).
        difference: What is predicted: the value ("none"), its difference from the last value ("first") or from the
            value one season earlier ("seasonal"), or whichever of these makes the best naive forecast on the training
            part ("auto").
        scale: "standard" to scale each series to mean 0 and standard deviation 1, or "none".
        val: The validation part: a share or a number of steps of each series, or the time at which it begins in all
            series. A time is a date, or a whole number larger than the length of any series, such as 19990102 or the
            year 1980.
        test: The test part, which comes last; given like `val`.
        stream: Whether training reads the series in order, in `batch_size` rows that continue from batch to batch.
        origin: The last time that `predict` reads before it forecasts; by default, the last time with a value.
        future: A second file, with the columns known ahead for the steps that `predict` forecasts.
        separator: The separator of the columns in a CSV file.
        encoding: The encoding of a CSV file.
        fitted: The fitted values from a checkpoint. If given, nothing is fitted, except the scales of series that were
            not in training. Columns that you do not name are the same as in training, and `difference`, `scale` and
            `calendar` are those of training.
        **settings: Arguments of `SequenceDataModule`.

    Attributes:
        columns: The names of the columns that are read.
        panel: The series.
        cuts: (S, 2), the steps at which the validation and the test part of each series begin.

    Raises:
        ArgumentError: The file is faulty, a series is too short, an argument is out of range, or pandas is missing.
    """

    def __init__(
        self,
        path: Any,
        target: str | list[str] | None = None,
        time: str | None = None,
        time_format: str | None = None,
        id: str | None = None,
        known: list[str] | None = None,
        observed: list[str] | None = None,
        calendar: bool | None = None,
        n_steps: int | None = None,
        stride: int = 1,
        horizon: int | None = None,
        season: int | None = None,
        difference: Difference = "auto",
        scale: Scale = "standard",
        val: int | float | str = 0.15,
        test: int | float | str = 0.15,
        stream: bool = False,
        origin: str | None = None,
        future: Any = None,
        separator: str = ",",
        encoding: str = "utf-8",
        fitted: dict[str, Any] | None = None,
        **settings: Any,
    ) -> None:
        super().__init__(**settings)
        frames = [name for name, value in (("path", path), ("future", future)) if not isinstance(value, str | None)]
        self.save_hyperparameters(ignore=["fitted", *frames])
        sizes = {"n_steps": n_steps, "horizon": horizon, "season": season}
        check_ints(1, stride=stride, **{name: size for name, size in sizes.items() if size is not None})
        self.stride, self.stream, self.origin = stride, stream, origin
        self.contiguous = self.new_each_epoch = stream
        if fitted is not None:
            check_kind(fitted, KIND, "TimeSeries")
            if season not in (None, fitted["season"]):
                raise ArgumentError(
                    f"season={season}, but the network was trained with {fitted['season']}: leave data.season as it was"
                )
        source = Source(path, separator, encoding)
        self.columns = Columns.of(source, fitted, target=target, observed=observed, known=known, time=time, id=id)
        self.panel = _panel(source, self.columns, future, time_format, fitted)
        if fitted is None:
            fitted = fit(self.panel, self.columns, val, test, n_steps, season, difference, scale, calendar)
        self._take(fitted, n_steps, horizon, val, test)
        origins_of_predict(self)  # raises an error if a series has no values at `origin`
        if stream:
            self._in_order(self.batch_size)  # raises an error if there are too few steps

    @property
    def fitted_values(self) -> dict[str, Any]:
        """Everything fitted on the training part, as plain values: columns, grid, differences, scales and parts."""
        return self._fitted

    def forecaster(self, net: Any) -> Forecaster:
        """Makes a `Forecaster` from a trained network and the fitted values."""
        return Forecaster(net, self._fitted)

    def check_model(self, model: Any) -> None:
        """Refuses networks that do not predict values at each step, and networks that would read their targets."""
        net = getattr(model, "net", None)
        if not isinstance(net, RecurrentNet):
            return
        if not isinstance(net, Seq2SeqNet) or getattr(model.objective, "task", None) != "regression":
            raise ArgumentError(
                "a TimeSeries has a value to predict at each step: use --model Seq2Seq with task=regression"
            )
        check_one_direction(net)

    def _take(self, fitted: dict[str, Any], n_steps: int | None, horizon: int | None, val: Any, test: Any) -> None:
        """Sets attributes from the fitted values. Series that were not in training are fitted on their own."""
        self._fitted, panel = fitted, self.panel
        self.season: int = fitted["season"]
        self.lags: list[int] = fitted["lags"]
        self.n_steps: int = fitted["n_steps"] if n_steps is None else n_steps
        self.horizon: int = (self.season if self.season > 1 else 10) if horizon is None else horizon
        self.lead = max(1, *self.lags)
        of_fit = {name: at for at, name in enumerate(fitted["ids"])}
        new = [name not in of_fit for name in panel.ids]
        at = np.array([of_fit.get(name, 0) for name in panel.ids])
        self.cuts = (np.array(fitted["parts"])[at] - panel.first[:, None]).clip(0, panel.lengths[:, None])
        self.scaling = {name: _float64(fitted[name])[at] for name in ("shift", "scale", "naive")}
        if any(new):
            self.cuts[new] = parts(panel, val, test)[new]
            scale: Scale = "standard" if fitted["scaled"] else "none"
            own = fit_series(training_parts(panel.values, panel, self.cuts), self.lags, scale, self.season)
            for name, value in self.scaling.items():
                value[new] = _float64(own[name])[new]
        self.features = Features(panel, fitted, self.scaling["shift"], self.scaling["scale"])
        self.input_size, self.output_size = self.features.size, len(self.columns.predicted)

    def setup(self, stage: str | None = None) -> None:
        """Makes the datasets of all stages, except those of held-out parts without a step to score."""
        steps = self.features.steps()
        offsets, lead, n = self.panel.offsets[:-1], self.lead, self.n_steps
        val, test = self.cuts[:, 0], self.cuts[:, 1]
        if self.stream:
            self.datasets["train"] = Stream(steps, self._in_order(self.rows("train")))
        else:
            starts, _ = ranges(offsets + lead, offsets + val - n, self.stride)
            self.datasets["train"] = Windows(steps, torch.from_numpy(starts), n)
        for name, begin, end in (("val", val, test), ("test", test, self.panel.lengths)):
            found = stretches(offsets, begin, end, lead, n)
            if len(found):
                self.datasets[name] = self._evaluated(steps, found)
        last = origins_of_predict(self)
        begin = np.maximum(last - n, 0)
        read = np.stack((offsets + begin, offsets + begin, offsets + np.maximum(last, begin + 1)), axis=1)
        self.datasets["predict"] = self._evaluated(steps, torch.from_numpy(read))

    def _in_order(self, rows: int) -> StreamBatches:
        """Reads the training part's steps in order, with a flag that is true where a series begins."""
        offsets = self.panel.offsets[:-1]
        at, series = ranges(offsets + self.lead, offsets + self.cuts[:, 0] - 1)
        return StreamBatches(at, np.diff(series, prepend=-1) > 0, self.n_steps, rows)

    def _evaluated(self, steps: Steps, found: Tensor) -> Stretches:
        if self.stream:  # a carried state needs batches of equal size, so the last one is padded
            none = found[-1:, [0, 2, 2]].expand(-len(found) % self.rows("val"), 3)
            found = torch.cat((found, none))
        return Stretches(steps, found, self.n_steps, self.stream)


def _float64(values: list[Any]) -> Tensor:
    return torch.from_numpy(np.array(values, dtype=np.float64))  # None becomes NaN


def _panel(
    source: Source, columns: Columns, future: Any, time_format: str | None, fitted: dict[str, Any] | None
) -> Panel:
    """Reads the series of a table, and of any second table with columns known ahead.

    The series are put on the grid from training if there is one.
    """
    before = None if fitted is None else Grid(**fitted["grid"])
    time_format = time_format or (None if before is None else before.time_format)
    rows = read(source, columns, time_format)
    grid = before or Grid.infer(rows.times, rows.neighbours, zone=rows.zone, time_format=time_format)
    if (grid.unit == "int") != (rows.times.dtype.kind == "i"):
        raise ArgumentError(
            f"column {columns.time} of {source} does not have the same type as in training: give data.time_format"
        )
    if future is not None:
        rows = with_future(rows, replace(source, path=future), columns, time_format)
    return Panel.of(rows, grid, len(columns.predicted), source)
