"""Reads a table and checks its columns. Faults raise `ArgumentError`, which names the row and the column."""

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from rnn_lightning.data.series.source import SHOWN, UNNAMED, Source
from rnn_lightning.data.series.times import read_times
from rnn_lightning.errors import ArgumentError

if TYPE_CHECKING:
    import pandas as pd

LARGEST = 1e38
"""The largest value allowed, as networks compute in float32."""
_DECIMAL_COMMA = re.compile(r"\s*[-+]?[\d. ]*,\d+\s*")


@dataclass(frozen=True)
class Columns:
    """The names of the columns to read from a table.

    Attributes:
        target: The columns to predict.
        observed: Columns that are only predicted so that a forecast can continue.
        known: The columns that are known ahead.
        time: The column of times; None if rows are consecutive steps.
        id: The column of the series' names; None if the table is one series.
    """

    target: list[str] = field(default_factory=list)
    observed: list[str] = field(default_factory=list)
    known: list[str] = field(default_factory=list)
    time: str | None = None
    id: str | None = None

    @classmethod
    def of(cls, source: Source, before: dict[str, Any] | None, **given: str | list[str] | None) -> "Columns":
        """Makes the columns from the names that you give. By default, the target is the only column left.

        If `before` has the columns of training, these are the defaults, and the columns of numbers must not change.
        """
        names: Any = {name: before[name] if before and value is None else value for name, value in given.items()}
        for name, value in names.items():
            _check_names(name, value)
        target = names.pop("target")
        columns = cls(**{name: value for name, value in names.items() if value is not None})
        if target is None:
            target = [name for name in source.names() if name not in columns.all and not name.startswith(UNNAMED)]
            if len(target) != 1:
                raise ArgumentError(f"target is not given: give --data.target, one or more of {', '.join(target)}")
        columns = replace(columns, target=[target] if isinstance(target, str) else list(target))
        for name in ("target", "observed", "known"):
            now = getattr(columns, name)
            if before and now != before[name]:
                raise ArgumentError(
                    f"{name}={', '.join(now)}, but the network was trained with {', '.join(before[name]) or 'none'}: leave "
                    f"data.{name} as it was"
                )
        if not columns.target:
            raise ArgumentError("target names no column: give one or more with --data.target")
        twice = next((name for name in columns.all if columns.all.count(name) > 1), None)
        if twice is not None:
            raise ArgumentError(
                f"column {twice!r} is named twice: give it once among target, observed, known, time and id"
            )
        return columns

    @property
    def predicted(self) -> list[str]:
        """The predicted columns: the targets, then the observed columns."""
        return [*self.target, *self.observed]

    @property
    def all(self) -> list[str]:
        """All columns, with the columns of numbers first."""
        return [*self.predicted, *self.known, *(name for name in (self.time, self.id) if name is not None)]


def _check_names(argument: str, value: Any) -> None:
    one = isinstance(value, str)
    several = not one and isinstance(value, Iterable) and all(isinstance(name, str) for name in value)
    if argument in ("time", "id"):
        fits, wanted = one, "the name of one column"
    elif argument == "target":
        fits, wanted = one or several, "the name of a column, or a list of names"
    else:
        fits, wanted = several, "a list of names of columns"
    if value is not None and not fits:
        raise ArgumentError(f"{argument}={value!r}: give {wanted}")


@dataclass(frozen=True)
class Rows:
    """The rows of a table, sorted by series and time.

    Attributes:
        numbers: (N, columns) float64, NaN where a value is missing.
        times: (N,) datetime64[us] or int64.
        codes: (N,) int64, for each row, the index of its series in `ids`.
        ids: (S,) the names of the series, in the table's order.
        lines: (N,) int64, the position of each row in the table, for messages.
        zone: The time zone of the times, or None.
    """

    numbers: np.ndarray
    times: np.ndarray
    codes: np.ndarray
    ids: list[str]
    lines: np.ndarray
    zone: str | None

    @property
    def neighbours(self) -> np.ndarray:
        """(N - 1,) bool, whether a row and the next row belong to the same series."""
        return self.codes[1:] == self.codes[:-1]

    def taken(self, order: np.ndarray) -> "Rows":
        """Returns the rows in another order: (N,) int64."""
        arrays = {name: getattr(self, name)[order] for name in ("numbers", "times", "codes", "lines")}
        return replace(self, **arrays)


def read(source: Source, columns: Columns, time_format: str | None = None) -> Rows:
    """Reads the given columns of a table, and sorts its rows by series.

    `time_format` is the format of times in strftime's codes; it is guessed if None.
    """
    names = source.names()
    missing = [name for name in columns.all if name not in names]
    if missing:
        hint = ": call reset_index() first" if source.is_frame and set(missing) & set(source.path.index.names) else ""
        raise ArgumentError(
            f"{source} has no column {', '.join(map(repr, missing))}; its columns are {', '.join(names)}{hint}"
        )
    twice = [name for name in columns.all if names.count(name) > 1]
    if twice:
        raise ArgumentError(f"{source} has several columns {', '.join(map(repr, twice))}: rename all but one")
    table = source.load(columns.all, text=columns.id)
    if not len(table):
        raise ArgumentError(f"{source} has no rows: give a file with values")
    numbers = np.stack([_numbers(table[name], name, source) for name in (*columns.predicted, *columns.known)], axis=1)
    codes, ids = _ids(table, columns.id, source)
    times, zone = read_times(table, columns.time, codes, time_format, source)
    rows = Rows(numbers, times, codes, ids, np.arange(len(table)), zone).taken(np.argsort(codes, kind="stable"))
    if columns.time is not None:
        _check_order(rows, table[columns.time], columns, source)
    return rows


def with_future(rows: Rows, source: Source, columns: Columns, time_format: str | None) -> Rows:
    """Adds the rows of a second table, which only has columns known ahead, to those of the first table."""
    if not columns.known:
        raise ArgumentError(
            "data.future is given, but no columns are known ahead: name them in data.known, or leave data.future out"
        )
    more = read(source, Columns(known=columns.known, time=columns.time, id=columns.id), time_format)
    unknown = next((name for name in more.ids if name not in rows.ids), None)
    if unknown is not None:
        raise ArgumentError(
            f"future={source.path} has the series {unknown!r}, which is not in column {columns.id} of the first file"
        )
    codes = np.array([rows.ids.index(name) for name in more.ids])[more.codes]
    if columns.time is not None and more.times.dtype != rows.times.dtype:
        raise ArgumentError(
            f"column {columns.time} holds dates in one of the files, but not in data.future={source.path}: write both alike"
        )
    # Without times, each series' new rows follow its last row.
    times = more.times if columns.time is not None else more.times + np.bincount(rows.codes)[codes]
    numbers = np.pad(more.numbers, ((0, 0), (len(columns.predicted), 0)), constant_values=np.nan)
    added = {"numbers": numbers, "times": times, "codes": codes, "lines": more.lines}
    both: Any = {name: np.concatenate((getattr(rows, name), values)) for name, values in added.items()}
    joined = replace(rows, **both).taken(np.lexsort((both["times"], both["codes"])))
    if (joined.neighbours & (np.diff(joined.times.astype(np.int64)) == 0)).any():
        raise ArgumentError("the file of data.future has times that are also in the first file: leave these out")
    return joined


def _numbers(values: "pd.Series", name: str, source: Source) -> np.ndarray:
    import pandas as pd

    if values.dtype.kind in "mMc":
        raise ArgumentError(
            f"{source}: column {name} has type {values.dtype}: give numbers, such as seconds, or change data.target"
        )
    if values.dtype.kind in "biuf":
        found = values.to_numpy(np.float64, na_value=np.nan)
    else:
        found = pd.to_numeric(values, errors="coerce").to_numpy(np.float64, na_value=np.nan)
        text = np.flatnonzero(np.isnan(found) & values.notna().to_numpy())
        shown = [str(value) for value in values.iloc[text[:SHOWN]]]
        commas = all(_DECIMAL_COMMA.fullmatch(value) for value in shown)
        remedy = "write decimals with a point" if commas else "correct these, or leave them empty"
        source.check(name, text, map(repr, shown), "must hold numbers, but has text", remedy)
    if np.isnan(found).all():
        raise ArgumentError(f"{source}: column {name} has no value at all: give one with values, or leave it out")
    large = np.flatnonzero(np.abs(found) > LARGEST)  # false for NaN
    fault = "is infinite" if np.isinf(found[large[:SHOWN]]).all() else f"has values beyond {LARGEST:g}"
    source.check(name, large, found[large], fault, "correct these, or leave them empty")
    return found


def _ids(table: "pd.DataFrame", name: str | None, source: Source) -> tuple[np.ndarray, list[str]]:
    if name is None:
        return np.zeros(len(table), np.int64), [""]
    codes, found = table[name].factorize()
    source.check(name, np.flatnonzero(codes < 0), ["empty"] * SHOWN, "is empty", "give every row its series' id")
    ids = [str(value) for value in found]
    (common, count), *_ = Counter(ids).most_common(1)
    if count > 1:
        raise ArgumentError(f"{source}: column {name} has {common!r} as text and as a number: use one of them")
    return codes.astype(np.int64), ids


def _check_order(rows: Rows, times: "pd.Series", columns: Columns, source: Source) -> None:
    back = np.diff(rows.times.astype(np.int64))
    for wrong, what, remedy in (
        (rows.neighbours & (back == 0), "the same time again", "keep one row for each time"),
        (rows.neighbours & (back < 0), "an earlier time than in the previous row", f"sort the file by {columns.time}"),
    ):
        at = np.flatnonzero(wrong) + 1
        if len(at):
            lines = rows.lines[at]
            where = source.rows(lines, times.iloc[lines[:SHOWN]])
            of = f"{columns.id} {rows.ids[rows.codes[at[0]]]} has " if columns.id is not None else ""
            hint = ", or give data.id if the file holds several series" if columns.id is None else ""
            raise ArgumentError(f"{source}: {of}{what} in {where}: {remedy}{hint}")
