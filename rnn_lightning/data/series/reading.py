"""Reads a CSV file, a Parquet file or a DataFrame into clean columns; errors name the row and the column."""

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rnn_lightning.errors import ArgumentError

if TYPE_CHECKING:
    import pandas as pd

_SHOWN = 3
"""How many faulty rows a message shows."""


@dataclass(frozen=True)
class Columns:
    """The names of the columns to read from a table.

    Attributes:
        numbers: The columns of numbers.
        time: The column of times, or None if rows are consecutive steps.
        id: The column of the series' names, or None if the table is one series.
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
    """The rows of a table, sorted by series and time.

    Attributes:
        numbers: (N, columns) float64, NaN where a value is missing.
        times: (N,) datetime64[us] or int64.
        codes: (N,) int64, the index in `ids` of each row's series.
        ids: (S,) the names of the series, in the table's order.
        lines: (N,) int64, the position of each row in the table, for messages.
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
        """(N - 1,) bool, whether a row and the next one belong to one series."""
        return self.codes[1:] == self.codes[:-1]


def column_names(path: Any, separator: str = ",", encoding: str = "utf-8") -> list[str]:
    """The names of a table's columns.

    Raises:
        ArgumentError: The file does not exist, is empty, or is not a table.
    """
    if _is_frame(path):
        return [str(name) for name in path.columns]
    _check_file(path)
    if _is_parquet(path):
        from pyarrow import ArrowException, parquet

        try:
            return [name for name in parquet.read_schema(path).names if name != "__index_level_0__"]
        except (ArrowException, OSError) as error:
            raise ArgumentError(
                f"{path} is not a readable Parquet file ({error}): give a .parquet or .csv file"
            ) from error
    try:
        with open(path, newline="", encoding="utf-8-sig" if encoding == "utf-8" else encoding) as file:
            lines = csv.reader(file, delimiter=separator)
            names, first = next(lines, []), next(lines, [])
    except (UnicodeError, LookupError) as error:
        raise _wrong_encoding(path, encoding, error) from error
    except csv.Error as error:
        raise ArgumentError(f"{path} is not a table of text ({error}): give a .csv or a .parquet file") from error
    if len(first) > len(names):
        raise ArgumentError(
            f"{path} has {len(names)} columns and {len(first)} values in row 2: write decimals with a point, put texts "
            f"with a {separator!r} in quotes, or give --data.separator"
        )
    other = next((s for s in (";", "\t", "|", ",") if len(names) == 1 and s != separator and s in names[0]), None)
    if other is not None:
        raise ArgumentError(
            f"{path} has one column, {names[0]!r}: its separator is not {separator!r}: give --data.separator {other!r}"
        )
    return names


def read(
    path: Any, columns: Columns, time_format: str | None = None, separator: str = ",", encoding: str = "utf-8"
) -> Rows:
    """Reads a table.

    Args:
        path: A CSV file, a Parquet file, or a DataFrame.
        columns: The columns to read.
        time_format: The format of times in strftime's codes; guessed if None.
        separator: The separator of the columns in a CSV file.
        encoding: The encoding of a CSV file.

    Raises:
        ArgumentError: A column is missing, there is text instead of a number, a time cannot be read, or rows are not
            sorted by time.
    """
    names = column_names(path, separator, encoding)
    missing = [name for name in columns.all if name not in names]
    if missing:
        raise ArgumentError(
            f"{_label(path)} has no column {', '.join(map(repr, missing))}; its columns are {', '.join(names)}"
        )
    table = _load(path, columns, separator, encoding)
    if not len(table):
        raise ArgumentError(f"{_label(path)} has no rows: give a file with values")
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
    """Names the first few of some rows, counted as in an editor: `row 12 (2020-01-03), row 14 (...) and 5 more`."""
    first = 0 if _is_frame(path) else 1 if _is_parquet(path) else 2
    shown = [f"row {line + first} ({text})" for line, text in zip(lines[:_SHOWN], texts, strict=False)]
    more = f" and {len(lines) - _SHOWN} more" if len(lines) > _SHOWN else ""
    return ", ".join(shown) + more


def _load(path: Any, columns: Columns, separator: str, encoding: str) -> "pd.DataFrame":
    import pandas as pd

    if _is_frame(path):
        return path[columns.all]
    if _is_parquet(path):
        return pd.read_parquet(path, columns=columns.all)
    options: dict[str, Any] = {} if columns.id is None else {"dtype": {columns.id: str}}
    try:
        return pd.read_csv(path, usecols=columns.all, sep=separator, encoding=encoding, **options)
    except UnicodeError as error:
        raise _wrong_encoding(path, encoding, error) from error
    except (pd.errors.ParserError, pd.errors.EmptyDataError, ValueError) as error:
        raise ArgumentError(
            f"{path} is not a readable CSV file ({error}): mend it, or give --data.separator"
        ) from error


def _numbers(values: "pd.Series", name: str, path: Any) -> np.ndarray:
    import pandas as pd

    if pd.api.types.is_numeric_dtype(values.dtype):  # bool, too
        found = values.to_numpy(np.float64, na_value=np.nan)
    else:
        found = pd.to_numeric(values, errors="coerce").to_numpy(np.float64, na_value=np.nan)
        text = np.flatnonzero(np.isnan(found) & values.notna().to_numpy())
        if len(text):
            raise ArgumentError(
                f"{_label(path)}: column {name} must hold numbers, but has text in "
                f"{show_rows(text, map(repr, values.iloc[text[:_SHOWN]]), path)}: mend these, or leave them empty"
            )
    infinite = np.flatnonzero(np.isinf(found))
    if len(infinite):
        where = show_rows(infinite, found[infinite], path)
        raise ArgumentError(f"{_label(path)}: column {name} is infinite in {where}: mend these, or leave them empty")
    return found


def _ids(table: "pd.DataFrame", columns: Columns, path: Any) -> tuple[np.ndarray, list[str]]:
    import pandas as pd

    if columns.id is None:
        return np.zeros(len(table), np.int64), [""]
    codes, found = pd.factorize(table[columns.id])
    empty = np.flatnonzero(codes < 0)
    if len(empty):
        where = show_rows(empty, ["empty"] * len(empty), path)
        raise ArgumentError(f"{_label(path)}: column {columns.id} is empty in {where}: give every row its series' id")
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
                f"{_label(path)}: column {columns.time} holds numbers such as {numbers[0]}, which look like dates: give "
                "--data.time_format %Y%m%d"
            )
        return numbers, None
    if not pd.api.types.is_datetime64_any_dtype(values.dtype):
        values = _dates(values, columns.time, time_format, path)
    empty = np.flatnonzero(values.isna().to_numpy())
    if len(empty):
        where = show_rows(empty, ["empty"] * len(empty), path)
        raise ArgumentError(f"{_label(path)}: column {columns.time} is empty in {where}: give every row its time")
    zone = None if values.dt.tz is None else str(values.dt.tz)
    if zone is not None:
        values = values.dt.tz_convert("UTC").dt.tz_localize(None)
        zone = _last_zone(table[columns.time].iloc[-1], zone)
    return values.to_numpy("datetime64[us]"), zone


def _dates(values: "pd.Series", name: str, time_format: str | None, path: Any) -> "pd.Series":
    """Converts texts or whole numbers to dates; if offsets differ, in UTC."""
    import pandas as pd

    if not pd.api.types.is_string_dtype(values.dtype) or values.dtype == object:
        if pd.api.types.is_float_dtype(values.dtype) and time_format is None:
            raise ArgumentError(
                f"{_label(path)}: column {name} has fractions or empty cells: give whole numbers or dates"
            )
        if pd.api.types.is_float_dtype(values.dtype):
            values = values.astype("Int64")
        values = values.astype("string")
    formats = [None, "ISO8601"] if time_format is None else [time_format]
    codes, different = pd.factorize(
        values, use_na_sentinel=False
    )  # series often share their times, so each is read once
    for utc in (False, True):  # UTC is needed only if offsets differ
        for form in formats:
            try:
                return pd.Series(pd.to_datetime(different, format=form, utc=utc)).take(codes)
            except ValueError:
                continue
    tried = [pd.to_datetime(values, format=form, utc=True, errors="coerce") for form in formats]
    found = min(tried, key=lambda times: int(times.isna().sum()))
    wrong = np.flatnonzero(found.isna().to_numpy() & values.notna().to_numpy())
    if len(wrong):
        remedy = "give --data.time_format, such as %d.%m.%Y" if time_format is None else f"change {time_format=}"
        raise ArgumentError(
            f"{_label(path)}: column {name} has no time in {show_rows(wrong, map(repr, values.iloc[wrong[:3]]), path)}: "
            f"mend these, or {remedy}"
        )
    return found


def _last_zone(last: Any, zone: str) -> str:
    """The offset of a table's last time if offsets differ, else the zone of all times."""
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
        (rows.neighbours & (back == 0), "the same time again", "keep one row for each time"),
        (rows.neighbours & (back < 0), "an earlier time than in the previous row", f"sort the file by {columns.time}"),
    ):
        at = np.flatnonzero(wrong) + 1
        if len(at):
            lines = rows.lines[at]
            texts = table[columns.time].iloc[lines[:_SHOWN]]
            of = f"{columns.id} {rows.ids[rows.codes[at[0]]]} has " if columns.id is not None else ""
            raise ArgumentError(
                f"{_label(path)}: {of}{what} in {show_rows(lines, texts, path)}: {remedy}"
                + (", or give data.id if the file holds several series" if columns.id is None else "")
            )


def _check_file(path: Any) -> None:
    if not isinstance(path, (str, Path)):
        raise ArgumentError(f"path is a {type(path).__name__}: give a .csv or .parquet file, or a pandas DataFrame")
    if "://" in str(path):
        return
    if not Path(path).is_file():
        raise ArgumentError(f"there is no file {path}: change data.path")
    if Path(path).stat().st_size == 0:
        raise ArgumentError(f"{path} is empty: give a file with a header and rows")


def _wrong_encoding(path: Any, encoding: str, error: Exception) -> ArgumentError:
    return ArgumentError(
        f"{path} is not text in {encoding} ({error}): save it in UTF-8, or give --data.encoding, such as latin-1"
    )


def _is_frame(path: Any) -> bool:
    return hasattr(path, "columns") and hasattr(path, "iloc")


def _is_parquet(path: Any) -> bool:
    return not _is_frame(path) and Path(path).suffix.lower() in (".parquet", ".pq")


def _label(path: Any) -> str:
    return "the DataFrame" if _is_frame(path) else str(path)
