"""From a CSV, a Parquet file or a DataFrame to clean columns: what is wrong is told by its row and column."""

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from rnn_lightning.data.series.files import column_names, is_frame, is_parquet, label, load
from rnn_lightning.errors import ArgumentError

if TYPE_CHECKING:
    import pandas as pd

_DECIMAL_COMMA = re.compile(r"\s*[-+]?[\d. ]*,\d+\s*")
_SHOWN = 3
"""How many faulty rows a message shows."""


@dataclass(frozen=True)
class Columns:
    """Which columns of a table are read, by their names.

    Attributes:
        numbers: Those of numbers.
        time: That of the times, or None where rows are consecutive steps.
        id: That of the series' names, or None where the table is one series.
    """

    numbers: list[str]
    time: str | None
    id: str | None

    @property
    def all(self) -> list[str]:
        """All of them."""
        return [*self.numbers, *(name for name in (self.time, self.id) if name is not None)]


@dataclass(frozen=True)
class Rows:
    """The rows of a table, those of each series together and in the order of time.

    Attributes:
        numbers: (N, columns) float64, NaN where a value is missing.
        times: (N,) datetime64[us] or int64.
        codes: (N,) int64, which of the ids each row is of.
        ids: (S,) the names of the series, in the order of the table.
        lines: (N,) int64, the place of each row in the table, for messages.
        zone: The times' zone, or None.
    """

    numbers: np.ndarray
    times: np.ndarray
    codes: np.ndarray
    ids: list[str]
    lines: np.ndarray
    zone: str | None

    @property
    def neighbours(self) -> np.ndarray:
        """(N - 1,) bool, whether a row and the next one are of one series."""
        return self.codes[1:] == self.codes[:-1]


def read(
    path: Any, columns: Columns, time_format: str | None = None, separator: str = ",", encoding: str = "utf-8"
) -> Rows:
    """Reads a table.

    Args:
        path: A CSV file, a Parquet file, or a DataFrame.
        columns: What is read of it.
        time_format: How times are written, by strftime's codes; guessed if None.
        separator: Between the columns of a CSV file.
        encoding: Of a CSV file.

    Raises:
        ArgumentError: A column is missing, text is where a number should be, a time cannot be read, or rows are not in
            the order of time.
    """
    names = column_names(path, separator, encoding)
    missing = [name for name in columns.all if name not in names]
    if missing:
        raise ArgumentError(
            f"{label(path)} has no column {', '.join(map(repr, missing))}; its columns are {', '.join(names)}"
        )
    twice = [name for name in columns.all if names.count(name) > 1]
    if twice:
        raise ArgumentError(f"{label(path)} has several columns {', '.join(map(repr, twice))}: rename all but one")
    table = load(path, columns.all, columns.id, separator, encoding)
    if not len(table):
        raise ArgumentError(f"{label(path)} has no rows: give a file with values")
    numbers = np.stack([_numbers(table[name], name, path) for name in columns.numbers], axis=1)
    codes, ids = _ids(table, columns, path)
    times, zone = _times(table, columns, codes, time_format, path)
    lines = np.arange(len(table))
    if (np.diff(codes) < 0).any():  # the rows of a series need not be adjacent
        order = np.argsort(codes, kind="stable")
        numbers, times, codes, lines = numbers[order], times[order], codes[order], lines[order]
    rows = Rows(numbers, times, codes, ids, lines, zone)
    _check_order(rows, table, columns, path)
    return rows


def show_rows(lines: np.ndarray, texts: Any, path: Any) -> str:
    """The first few of some rows, as `row 12 (2020-01-03), row 14 (...) and 5 more`, as an editor counts a file's."""
    first = 0 if is_frame(path) else 1 if is_parquet(path) else 2
    shown = [f"row {line + first} ({text})" for line, text in zip(lines[:_SHOWN], texts, strict=False)]
    more = f" and {len(lines) - _SHOWN} more" if len(lines) > _SHOWN else ""
    return ", ".join(shown) + more


def _numbers(values: "pd.Series", name: str, path: Any) -> np.ndarray:
    import pandas as pd

    if pd.api.types.is_numeric_dtype(values.dtype):  # bool, too
        found = values.to_numpy(np.float64, na_value=np.nan)
    else:
        found = pd.to_numeric(values, errors="coerce").to_numpy(np.float64, na_value=np.nan)
        text = np.flatnonzero(np.isnan(found) & values.notna().to_numpy())
        if len(text):
            shown = [str(value) for value in values.iloc[text[:_SHOWN]]]
            commas = all(_DECIMAL_COMMA.fullmatch(value) for value in shown)
            raise ArgumentError(
                f"{label(path)}: column {name} must hold numbers, but has text in "
                f"{show_rows(text, map(repr, shown), path)}: "
                + ("write decimals with a point" if commas else "mend these, or leave them empty")
            )
    infinite = np.flatnonzero(np.isinf(found))
    if len(infinite):
        where = show_rows(infinite, found[infinite], path)
        raise ArgumentError(f"{label(path)}: column {name} is infinite in {where}: mend these, or leave them empty")
    return found


def _ids(table: "pd.DataFrame", columns: Columns, path: Any) -> tuple[np.ndarray, list[str]]:
    import pandas as pd

    if columns.id is None:
        return np.zeros(len(table), np.int64), [""]
    codes, found = pd.factorize(table[columns.id])
    empty = np.flatnonzero(codes < 0)
    if len(empty):
        where = show_rows(empty, ["empty"] * len(empty), path)
        raise ArgumentError(f"{label(path)}: column {columns.id} is empty in {where}: give every row its series' id")
    return codes.astype(np.int64), [str(name) for name in found]


def _times(
    table: "pd.DataFrame", columns: Columns, codes: np.ndarray, time_format: str | None, path: Any
) -> tuple[np.ndarray, str | None]:
    import pandas as pd

    if columns.time is None:
        first = np.zeros(codes.max() + 1, np.int64)
        order = np.argsort(codes, kind="stable")
        counts = np.bincount(codes)
        first[1:] = np.cumsum(counts)[:-1]
        steps = np.empty(len(codes), np.int64)
        steps[order] = np.arange(len(codes)) - np.repeat(first, counts)
        return steps, None
    values = table[columns.time]
    if pd.api.types.is_integer_dtype(values.dtype) and time_format is None and not values.isna().any():
        numbers = values.to_numpy(np.int64)
        month, day = numbers // 100 % 100, numbers % 100
        if (
            (numbers > 10_000_000) & (numbers < 100_000_000) & (month >= 1) & (month <= 12) & (day >= 1) & (day <= 31)
        ).all():
            raise ArgumentError(
                f"{label(path)}: column {columns.time} holds numbers such as {numbers[0]}, which look like dates: give "
                "--data.time_format %Y%m%d"
            )
        return numbers, None
    if not pd.api.types.is_datetime64_any_dtype(values.dtype):
        values = _dates(values, columns.time, time_format, path)
    empty = np.flatnonzero(values.isna().to_numpy())
    if len(empty):
        where = show_rows(empty, ["empty"] * len(empty), path)
        raise ArgumentError(f"{label(path)}: column {columns.time} is empty in {where}: give every row its time")
    zone = None if values.dt.tz is None else str(values.dt.tz)
    if zone is not None:
        values = values.dt.tz_convert("UTC").dt.tz_localize(None)
        zone = _last_zone(table[columns.time].iloc[-1], zone)
    return values.to_numpy("datetime64[us]"), zone


def _dates(values: "pd.Series", name: str, time_format: str | None, path: Any) -> "pd.Series":
    """Texts or whole numbers as dates; those of several offsets as UTC."""
    import pandas as pd

    if not pd.api.types.is_string_dtype(values.dtype) or values.dtype == object:
        if pd.api.types.is_float_dtype(values.dtype) and time_format is None:
            raise ArgumentError(
                f"{label(path)}: column {name} holds fractions or empty cells, no times: give whole numbers or dates"
            )
        if pd.api.types.is_float_dtype(values.dtype):
            values = values.astype("Int64")
        values = values.astype("string")
    formats = [None, "ISO8601"] if time_format is None else [time_format]
    codes, different = pd.factorize(values, use_na_sentinel=False)  # series share their times: each is read once
    for utc in (False, True):  # only offsets that differ need UTC
        for form in formats:
            try:
                return pd.Series(pd.to_datetime(different, format=form, utc=utc)).take(codes)
            except ValueError:
                continue
    tried = [pd.to_datetime(values, format=form, utc=True, errors="coerce") for form in formats]
    found = min(tried, key=lambda times: int(times.isna().sum()))
    wrong = np.flatnonzero(found.isna().to_numpy() & values.notna().to_numpy())
    if len(wrong):
        raise ArgumentError(
            f"{label(path)}: column {name} has no time in {show_rows(wrong, map(repr, values.iloc[wrong[:3]]), path)}: "
            f"mend these, or {'give --data.time_format' if time_format is None else f'change time_format={time_format}'}"
        )
    return found


def _last_zone(last: Any, zone: str) -> str:
    """The offset of a table's last time, where each has its own; else the one zone that all have."""
    import pandas as pd

    if zone not in ("UTC", "UTC+00:00") or not isinstance(last, str):
        return zone.removeprefix("UTC") or "UTC" if zone.startswith("UTC") else zone
    time = pd.Timestamp(last)
    return (
        "UTC"
        if time.tzinfo is None or not time.utcoffset()
        else time.strftime("%z")[:3] + ":" + time.strftime("%z")[3:]
    )


def _check_order(rows: Rows, table: "pd.DataFrame", columns: Columns, path: Any) -> None:
    if columns.time is None:
        return
    back = np.diff(rows.times.astype(np.int64))
    for wrong, what, remedy in (
        (rows.neighbours & (back == 0), "the same time again", "keep one row of each time"),
        (rows.neighbours & (back < 0), "an earlier time than in the row before", f"sort the file by {columns.time}"),
    ):
        at = np.flatnonzero(wrong) + 1
        if len(at):
            lines = rows.lines[at]
            texts = table[columns.time].iloc[lines[:_SHOWN]]
            of = f"{columns.id} {rows.ids[rows.codes[at[0]]]} has " if columns.id is not None else ""
            raise ArgumentError(
                f"{label(path)}: {of}{what} in {show_rows(lines, texts, path)}: {remedy}"
                + (", or give data.id if the file holds several series" if columns.id is None else "")
            )
