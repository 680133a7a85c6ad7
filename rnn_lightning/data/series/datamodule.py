"""`TimeSeries`: a table of one or many series, to be predicted one step ahead and over a horizon.

Legend: B batch, T time steps, S series, C columns that are predicted, K columns known ahead, N steps of a forecast.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rnn_lightning.data.datamodule import SequenceDataModule, check_int, check_one_direction
from rnn_lightning.data.series.fitting import (
    Difference,
    Scale,
    choose_lags,
    fit_known,
    fit_series,
    number_of,
    parts,
    training_parts,
)
from rnn_lightning.data.series.grid import Grid
from rnn_lightning.data.series.panel import Panel
from rnn_lightning.data.series.reading import Columns, Rows, column_names, read
from rnn_lightning.data.series.windows import Steps, Stream, Stretches, Windows
from rnn_lightning.errors import ArgumentError
from rnn_lightning.fitted import check_kind
from rnn_lightning.forecasts.backtest import Origins
from rnn_lightning.forecasts.calendar import calendar_features, circles_of
from rnn_lightning.forecasts.forecaster import Forecaster
from rnn_lightning.forecasts.scaling import lagged
from rnn_lightning.nn import RecurrentNet, Seq2SeqNet

KIND = "series"
"""The kind of fitted values that `TimeSeries` reads."""


class TimeSeries(SequenceDataModule):
    """Series from a CSV or Parquet file or a DataFrame, scaled and differenced as the training part says.

    Training reads windows of `n_steps`, in a new order each epoch, or with `stream` all series in order, for `carry_state`
    and `tbptt`. At each step the network reads the value, a flag if it is missing, and the columns known ahead of the next
    step, and predicts the next value. Of validation and test each value counts once; earlier values are read before it.

    Everything that is fitted comes from the training part and travels with the network, see `fitted_values`. Forecasts
    in the file's units come from a `Forecaster`.

    Args:
        path: A CSV or Parquet file; from Python also a pandas DataFrame.
        target: The column to predict, or several. Needed if the file has more than one column of numbers.
        time: The column of times: dates, or whole numbers. If not given, rows are consecutive steps.
        time_format: How dates are written, by strftime's codes, such as "%Y%m%d" for 19580329; guessed if not given.
        id: The column that says which series a row is of; one series if not given.
        known: Columns that are known ahead. Those that are constant in a series describe it.
        observed: Columns that are known up to now only. They are predicted, too, so that a forecast can continue.
        calendar: Whether the hour, the weekday and the day of the year, as far as they change from step to step, are known
            ahead; if not given, where times are dates.
        n_steps: Steps of a window, or of each row of a stream; if not given two seasons, 24 at least, as far as the
            shortest training part allows.
        stride: Steps from one window to the next, and from one origin of the backtest to the next.
        horizon: Steps of a forecast; a season if not given, or 10.
        season: Steps of a season; if not given 24 for hours, 7 for days, 52 for weeks, 12 for months, else 1 (none).
        difference: What is predicted: "none", the value; "first", its difference to the last value; "seasonal", to the
            same season's; "auto", what has the smallest error by itself on the training part.
        scale: "standard", each series to mean 0 and deviation 1, or "none".
        val: The validation part: a share or a number of steps of each series, or a time from which it begins in all: a
            date, or a whole number that is larger than any series is long, such as 19990102 or the year 1980.
        test: The test part, which comes last: as `val`.
        stream: Whether training reads the series in order, in `batch_size` rows that continue from batch to batch.
        origin: Where `predict` begins: the last time that it reads; if not given, the last with a value.
        future: A second file with the columns known ahead of the steps that `predict` forecasts.
        separator: Between the columns of a CSV file.
        encoding: Of a CSV file.
        fitted: The fitted values of a checkpoint: nothing is fitted then, and columns that are not named are as they were.
        **settings: Those of `SequenceDataModule`.

    Attributes:
        panel: The series.
        cuts: (S, 2), where the validation and the test part of each begin.

    Raises:
        ArgumentError: The file is faulty, a series is too short, an argument is out of its range, or pandas is missing.
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
        frames = [
            name for name, value in (("path", path), ("future", future)) if not isinstance(value, (str, type(None)))
        ]
        self.save_hyperparameters(ignore=["fitted", *frames])
        for name, value in {"n_steps": n_steps, "stride": stride, "horizon": horizon, "season": season}.items():
            if value is not None:
                check_int(name, value, at_least=1)
        if fitted is not None:
            check_kind(fitted, KIND, "TimeSeries")
            target, time, id = target or fitted["target"], time or fitted["time"], id or fitted["id"]
            known = fitted["known"] if known is None else known
            observed = fitted["observed"] if observed is None else observed
            time_format = time_format or fitted["grid"]["time_format"]
        _need_pandas()
        self.path, self.stride, self.stream, self.origin = path, stride, stream, origin
        self.contiguous = self.new_each_epoch = stream
        columns = self._columns(target, time, id, known or [], observed or [], separator, encoding)
        predicted = len(columns.numbers) - len(self.known)
        rows = read(path, columns, time_format, separator, encoding)
        written = {"zone": rows.zone, "time_format": time_format}
        grid = Grid.infer(rows.times, rows.neighbours, **written) if fitted is None else Grid(**fitted["grid"])
        if (grid.unit == "int") != (rows.times.dtype.kind == "i"):
            raise ArgumentError(f"column {time} of {path} is of another kind than in training: give data.time_format")
        if future is not None:
            rows = _with_future(rows, future, columns, predicted, time_format, separator, encoding)
        self.panel = Panel.of(rows, grid, predicted, path)
        if fitted is None:
            fitted = self._fit(val, test, n_steps, season, difference, scale, calendar)
        else:
            self._check_same(fitted, target, season)
        self._take(fitted, val, test, horizon, n_steps)
        self.origins_of_predict()  # whether the file has them
        steps = int((self.cuts[:, 0] - 1 - self.lead).clip(0).sum())
        if stream and steps < self.batch_size:
            raise ArgumentError(
                f"the training part has {steps} steps, fewer than the {self.batch_size} rows of a batch: lower batch_size"
            )

    @property
    def fitted_values(self) -> dict[str, Any]:
        """What was fitted on the training part, as plain values: columns, grid, differences, scales, parts."""
        return self._fitted

    # From arguments to fitted values.

    def _columns(
        self,
        target: Any,
        time: str | None,
        id: str | None,
        known: list[str],
        observed: list[str],
        separator: str,
        encoding: str,
    ) -> Columns:
        if target is None:
            others = [time, id, *known, *observed]
            left = [name for name in column_names(self.path, separator, encoding) if name not in others]
            if len(left) != 1:
                raise ArgumentError(f"target is not given: give --data.target, one or several of {', '.join(left)}")
            target = left
        self.target: list[str] = [target] if isinstance(target, str) else list(target)
        self.known, self.observed, self.time, self.id = known, observed, time, id
        names = [*self.target, *observed, *known, *(name for name in (time, id) if name)]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise ArgumentError(
                f"column {twice!r} is named twice: give it once among target, observed, known, time and id"
            )
        return Columns([*self.target, *observed, *known], time, id)

    def _fit(
        self,
        val: Any,
        test: Any,
        n_steps: int | None,
        season: int | None,
        difference: Difference,
        scale: Scale,
        calendar: bool | None,
    ) -> dict[str, Any]:
        panel, grid = self.panel, self.panel.grid
        distance = grid.distance
        if calendar and distance is None:
            raise ArgumentError(
                "calendar=true needs dates, the times are whole numbers: give time_format, or leave it out"
            )
        circles = [] if distance is None or calendar is False else circles_of(distance)
        season = grid.season if season is None else season
        cuts = parts(panel, val, test)
        train = training_parts(panel, cuts)
        lags = choose_lags(train, difference, season)
        lead, shortest = max(1, *lags), int(cuts[:, 0].min())
        if n_steps is None:
            n_steps = max(1, min(max(2 * season, 24), shortest - lead - 1))
        if shortest < lead + n_steps + 1:
            raise ArgumentError(
                f"{panel.name(int(cuts[:, 0].argmin()))} has {max(shortest, 0)} steps in its training part, a window needs "
                f"{lead + n_steps + 1} (n_steps={n_steps}, the target, and {lead} before): lower n_steps, val or test, or "
                "leave the series out"
            )
        inside = torch.cat(train)
        return {
            "kind": KIND,
            "target": self.target,
            "time": self.time,
            "id": self.id,
            "observed": self.observed,
            "known": self.known,
            "calendar": circles,
            "ids": panel.ids,
            "grid": grid.plain(),
            "season": season,
            "n_steps": n_steps,
            "lags": lags,
            "flags": bool(inside.isnan().any()),
            "parts": (cuts + panel.first[:, None]).tolist(),
            **fit_series(train, lags, scale, season),
            **fit_known(panel, cuts, scale, 2 * len(circles)),
        }

    def _check_same(self, fitted: dict[str, Any], target: Any, season: int | None) -> None:
        given = {"target": self.target, "observed": self.observed, "known": self.known}
        for name, value in given.items():
            if value != fitted[name]:
                raise ArgumentError(
                    f"{name}={', '.join(value)}, but the network was trained with {', '.join(fitted[name]) or 'none'}: "
                    f"leave data.{name} as it was"
                )
        if season not in (None, fitted["season"]):
            raise ArgumentError(
                f"season={season}, but the network was trained with {fitted['season']}: leave data.season as it was"
            )

    def _take(self, fitted: dict[str, Any], val: Any, test: Any, horizon: int | None, n_steps: int | None) -> None:
        """Sets what follows from the fitted values; series that were not in training are fitted by themselves."""
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
        naive = [[np.nan if value is None else value for value in values] for values in fitted["naive"]]
        values = {"shift": fitted["shift"], "scale": fitted["scale"], "naive": naive}
        self.scaling = {name: torch.tensor(value, dtype=torch.float64)[at] for name, value in values.items()}
        if any(new):
            self.cuts[new] = parts(panel, val, test)[new]
            own = fit_series(training_parts(panel, self.cuts), self.lags, "standard", self.season)
            for name, value in self.scaling.items():
                value[new] = torch.tensor(np.array(own[name], dtype=np.float64))[new]
        self.input_size = len(self.columns) * (1 + fitted["flags"]) + len(fitted["known_shift"])
        self.output_size = len(self.columns)

    @property
    def columns(self) -> list[str]:
        """The names of the C columns that are predicted: targets, then observed ones."""
        return [*self.target, *self.observed]

    # Datasets.

    def setup(self, stage: str | None = None) -> None:
        """Makes the datasets; those of held-out parts that have nothing to count are left out."""
        steps = self._steps()
        offsets, lead, n = self.panel.offsets[:-1], self.lead, self.n_steps
        val, test = self.cuts[:, 0], self.cuts[:, 1]
        if self.stream:
            at, begins = _ranges(offsets + lead, offsets + val - 1)
            rows = self.batch_size * self.world_size
            if len(at) < rows:
                raise ArgumentError(
                    f"the training part has {len(at)} steps, fewer than the {rows} rows of a batch: lower batch_size"
                )
            self.datasets["train"] = Stream(steps, torch.from_numpy(at), torch.from_numpy(begins), rows, n)
        else:
            starts, _ = _ranges(offsets + lead, offsets + val - n, self.stride)
            self.datasets["train"] = Windows(steps, torch.from_numpy(starts), n)
        for name, begin, end in (("val", val, test), ("test", test, self.panel.lengths)):
            stretches = self._stretches(begin, end)
            if len(stretches):
                self.datasets[name] = self._evaluated(steps, stretches)
        last = self.origins_of_predict()
        begin = np.maximum(last - n, 0)
        read = np.stack((offsets + begin, offsets + begin, offsets + np.maximum(last, begin + 1)), axis=1)
        self.datasets["predict"] = self._evaluated(steps, torch.from_numpy(read))

    def _evaluated(self, steps: Steps, stretches: Tensor) -> Stretches:
        if self.stream:  # a carried state needs batches of one size: rows that do not count fill the last one
            rows = self.eval_batch_size * self.world_size
            none = stretches[-1:, [0, 2, 2]].expand(-len(stretches) % rows, 3)
            stretches = torch.cat((stretches, none))
        return Stretches(steps, stretches, self.n_steps, self.stream)

    def _steps(self) -> Steps:
        panel, series, columns = self.panel, torch.from_numpy(self.panel.series), len(self.columns)
        filled, missing = torch.from_numpy(panel.filled(panel.values)), torch.from_numpy(np.isnan(panel.values))
        shift, scale = self.scaling["shift"], self.scaling["scale"]
        lead = torch.full((self.lead, columns), torch.nan, dtype=torch.float64)
        # Across the border of two series differences are wrong; no window reads a series' first `lead` steps.
        base = lagged(torch.cat((lead, filled))[None], self.lags, self.lead)[0] + shift[series]
        z = ((filled - base) / scale[series]).float()
        x = torch.zeros(len(z), self.input_size)
        x[:, :columns] = z.nan_to_num(0.0)
        if self._fitted["flags"]:
            x[:, columns : 2 * columns] = missing
        own, features, at = self._own_known(), *self._calendar()
        offset, size = (np.array(self._fitted[f"known_{name}"])[: own.shape[1]] for name in ("shift", "scale"))
        known = x[:-1, self.input_size - own.shape[1] - features.shape[1] :]  # of the next step
        known[:, : own.shape[1]] = torch.from_numpy((own[1:] - offset) / size)
        known[:, own.shape[1] :] = features.float()[at[1:]]
        y = torch.zeros_like(z)
        counts = torch.zeros_like(missing)
        counts[:-1] = ~(missing[1:] | z[1:].isnan())
        y[:-1] = torch.where(counts[:-1], z[1:], 0.0)
        zero = torch.zeros_like(z)
        zero[:-1] = base[1:]
        return Steps(x, y, counts, scale.float(), zero, series)

    def _known(self) -> Tensor:
        """(N, K) raw columns known ahead, the calendar's last."""
        features, at = self._calendar()
        return torch.cat((torch.from_numpy(self._own_known()), features[at]), dim=1)

    def _own_known(self) -> np.ndarray:
        """(N, columns) of the file's, raw; in the place of a missing one stands the last before it, else the mean."""
        known = self.panel.filled(self.panel.known)
        return np.where(np.isnan(known), self._fitted["known_shift"][: known.shape[1]], known)

    def _calendar(self) -> tuple[Tensor, Tensor]:
        """Features of each time of the grid, (M, 2 * circles), and which of them a step has, (N,)."""
        numbers, circles = self.panel.numbers, self._fitted["calendar"]
        if not circles:
            return torch.zeros(1, 0), torch.zeros(len(numbers), dtype=torch.int64)
        low = numbers.min()
        times = self.panel.grid.times(np.arange(low, numbers.max() + 1))
        return calendar_features(times, circles), torch.from_numpy(numbers - low)

    def _stretches(self, begin: np.ndarray, end: np.ndarray) -> Tensor:
        """The stretches that cover the targets of steps [begin, end) of each series once."""
        found = [np.zeros((0, 3), np.int64)]
        for offset, first, last in zip(self.panel.offsets, begin, end, strict=False):
            scored = np.arange(max(first - 1, self.lead), last - 1, self.n_steps)  # a step's target is the next value
            read = np.maximum(scored - self.n_steps, self.lead)
            stop = np.minimum(scored + self.n_steps, last - 1)
            found.append(offset + np.stack((read, scored, stop), axis=1))
        return torch.from_numpy(np.concatenate(found))

    # Forecasts.

    def check_model(self, model: Any) -> None:
        """Refuses networks of another kind, and those that would read what they are to predict."""
        net = getattr(model, "net", None)
        if not isinstance(net, RecurrentNet):
            return
        if not isinstance(net, Seq2SeqNet) or getattr(model.objective, "task", None) != "regression":
            raise ArgumentError(
                "a TimeSeries has a value to predict at each step: use --model Seq2Seq, task=regression"
            )
        check_one_direction(net)

    def forecaster(self, net: Any) -> Forecaster:
        """A trained network with the fitted values."""
        return Forecaster(net, self._fitted)

    def origins_of_predict(self) -> np.ndarray:
        """(S,) the last step of each series that `predict` reads."""
        if self.origin is None:
            last: np.ndarray = self.panel.lengths - 1
            return last
        at: np.ndarray = number_of(self.panel, "origin", self.origin) - self.panel.first
        wrong = np.flatnonzero((at < 0) | (at >= self.panel.lengths))
        if len(wrong):
            raise ArgumentError(f"origin={self.origin}: {self.panel.name(int(wrong[0]))} has no values then: change it")
        return at

    def origins_of(self, part: str, most: int = 10_000) -> tuple[np.ndarray, np.ndarray]:
        """Where the backtest forecasts from: series and step of each origin, `stride` apart.

        Args:
            part: "val" or "test": what is forecast is in this part.
            most: Origins at most; of more, evenly spread ones are taken.
        """
        begin, end = (self.cuts[:, 0], self.cuts[:, 1]) if part == "val" else (self.cuts[:, 1], self.panel.lengths)
        need = max(self.lead + 1, self.season)
        found = [
            (np.full(len(at), s), at)
            for s, (first, last) in enumerate(zip(begin, end, strict=True))
            for at in (np.arange(max(first - 1, need - 1), last - 1, self.stride),)
        ]
        series, steps = (np.concatenate(parts) for parts in zip(*found, strict=True))
        if len(series) > most:
            chosen = np.linspace(0, len(series) - 1, most).round().astype(np.int64)
            series, steps = series[chosen], steps[chosen]
        return series, steps

    def origins(
        self, series: np.ndarray, steps: np.ndarray, horizon: int, until: np.ndarray | None = None
    ) -> Iterator[Origins]:
        """Histories and what came, batch by batch; those of one batch are of equal length.

        Args:
            series: (B,) which series.
            steps: (B,) the last step that is read.
            horizon: N.
            until: (S,) where what came is no longer looked at; the series' ends if not given.
        """
        panel = self.panel
        until = panel.lengths if until is None else until
        size = np.minimum(steps + 1, self.lead + max(self.n_steps, self.season))
        known = self._known()
        filled = panel.filled(panel.values)
        for length in np.unique(size):
            same = np.flatnonzero(size == length)
            for rows in np.array_split(same, -(-len(same) // 512)):
                s, at = series[rows], panel.offsets[series[rows]] + steps[rows]
                past = at[:, None] + np.arange(1 - length, 1)
                y = panel.values[past]
                y[:, 0] = filled[past[:, 0]]
                ahead = steps[rows][:, None] + np.arange(1, horizon + 1)
                to_come = at[:, None] + np.arange(1, horizon + 1)
                last = panel.offsets[s + 1][:, None] - 1
                truth = np.where(
                    (ahead < until[s][:, None])[..., None], panel.values[np.minimum(to_come, last)], np.nan
                )
                yield Origins(
                    torch.from_numpy(y),
                    self._known_around(known, s, past[:, 1:], to_come, last) if known.shape[1] else None,
                    torch.from_numpy(truth),
                    self.scaling["shift"][s],
                    self.scaling["scale"][s],
                    torch.from_numpy(s),
                )

    def _known_around(
        self, known: Tensor, series: np.ndarray, past: np.ndarray, to_come: np.ndarray, last: np.ndarray
    ) -> Tensor:
        """(B, T + N - 1, K): columns known ahead; the calendar's also where the file has ended."""
        at = np.concatenate((past, to_come), axis=1)
        found = known[torch.from_numpy(np.minimum(at, last))]
        circles = self._fitted["calendar"]
        if circles:
            numbers = self.panel.first[series][:, None] + at - self.panel.offsets[series][:, None]
            dates = self.panel.grid.times(numbers.reshape(-1))
            found[..., self.panel.known.shape[1] :] = calendar_features(dates, circles).view(*at.shape, -1)
        return found

    def check_future(self, horizon: int) -> None:
        """Raises `ArgumentError` if `predict` can't forecast: too short a history, or no columns known ahead."""
        panel, last = self.panel, self.origins_of_predict()
        short = np.flatnonzero(last < self.lead)
        if len(short):
            raise ArgumentError(
                f"{panel.name(int(short[0]))} has {last[short[0]] + 1} steps before the forecast, which needs "
                f"{self.lead + 1}: give a longer history, or a later data.origin"
            )
        if not self.known:
            return
        for s, at in enumerate(last):
            rows = panel.known[panel.offsets[s] + at + 1 : panel.offsets[s + 1]][:horizon]
            wanting = np.flatnonzero(np.isnan(rows).any(1))
            lacks = int(wanting[0]) if len(wanting) else len(rows)
            if lacks < horizon:
                name = self.known[int(np.isnan(rows[lacks]).argmax())] if len(wanting) else ", ".join(self.known)
                when = panel.grid.labels([panel.first[s] + at + 1 + lacks])[0]
                raise ArgumentError(
                    f"{name} of {panel.name(s)} is not known at {when}, which the forecast of {horizon} steps needs: add "
                    "rows with it to the file, give --data.future FILE, or lower --horizon"
                )


def _with_future(
    rows: Rows, future: Any, columns: Columns, predicted: int, time_format: str | None, separator: str, encoding: str
) -> Rows:
    """The rows of a second file, of columns known ahead alone, behind those of the first."""
    names = columns.numbers[predicted:]
    if not names:
        raise ArgumentError(
            "data.future is given, but no columns are known ahead: name them in data.known, or leave it out"
        )
    more = read(future, Columns(names, columns.time, columns.id), time_format, separator, encoding)
    unknown = next((name for name in more.ids if name not in rows.ids), None)
    if unknown is not None:
        raise ArgumentError(f"future={future} has the series {unknown!r}, which {columns.id} of the first file has not")
    codes = np.array([rows.ids.index(name) for name in more.ids])[more.codes]
    times = more.times
    if columns.time is None:  # they follow each series' last row
        times = times + np.bincount(rows.codes)[codes]
    empty = np.full((len(more.numbers), predicted), np.nan)
    parts: Sequence[tuple[np.ndarray, np.ndarray]] = (
        (rows.numbers, np.concatenate((empty, more.numbers), axis=1)),
        (rows.times, times),
        (rows.codes, codes),
        (rows.lines, more.lines),
    )
    numbers, times, codes, lines = (np.concatenate(pair) for pair in parts)
    order = np.lexsort((times, codes))
    joined = Rows(numbers[order], times[order], codes[order], rows.ids, lines[order], rows.zone)
    if (joined.neighbours & (np.diff(joined.times.astype(np.int64)) == 0)).any():
        raise ArgumentError("the file of data.future has times that the first file has, too: leave these out")
    return joined


def _ranges(begins: np.ndarray, ends: np.ndarray, stride: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Every `stride`-th number of all ranges [begin, end) in a row, and where a range begins."""
    counts = np.maximum(-(-(ends - begins) // stride), 0)
    starts = np.r_[0, np.cumsum(counts)[:-1]]
    within = np.arange(counts.sum()) - np.repeat(starts, counts)
    return np.repeat(begins, counts) + within * stride, within == 0


def _need_pandas() -> None:
    try:
        import pandas  # noqa: F401
    except ImportError as error:
        raise ArgumentError(
            'TimeSeries reads tables by pandas, which is not installed: pip install "rnn-lightning[series]"'
        ) from error
