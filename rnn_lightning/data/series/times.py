"""Reads a table's column of times: dates in any form, whole numbers, or consecutive steps.

`ArgumentError` names times that are missing or cannot be read, and dates that can be read in two ways.
"""

import re
import warnings
from typing import TYPE_CHECKING

import numpy as np

from rnn_lightning.data.series.source import SHOWN, Source
from rnn_lightning.errors import ArgumentError

if TYPE_CHECKING:
    import pandas as pd

_TWO_NUMBERS = re.compile(r"\s*(\d{1,2})([./-])(\d{1,2})[./-](\d{4}|\d{2})\b")
"""Matches the beginning of a date in which either the day or the month may come first."""


def read_times(
    table: "pd.DataFrame", name: str | None, codes: np.ndarray, time_format: str | None, source: Source
) -> tuple[np.ndarray, str | None]:
    """Reads the rows' times, (N,) datetime64[us] or int64, and their time zone. Without a `name`, it counts steps."""
    if name is None:
        return table.groupby(codes).cumcount().to_numpy(np.int64), None
    values = table[name]
    source.check(name, np.flatnonzero(values.isna()), ["empty"] * SHOWN, "is empty", "give every row its time")
    if values.dtype.kind == "M":
        zone = None if values.dt.tz is None else str(values.dt.tz).removeprefix("UTC") or "UTC"
    elif values.dtype.kind in "iu" and time_format is None:
        return _whole_numbers(values, name, source), None
    else:
        values, zone = _dates(values, name, time_format, source)
    if values.dt.tz is not None:
        values = values.dt.tz_convert(None)  # to UTC
    return values.to_numpy("datetime64[us]"), zone


def _whole_numbers(values: "pd.Series", name: str, source: Source) -> np.ndarray:
    import pandas as pd

    if int(values.max()) > np.iinfo(np.int64).max:
        raise ArgumentError(f"{source}: column {name} has whole numbers beyond 64 bits: give smaller ones, or dates")
    values = pd.Series(values.to_numpy(np.int64))  # some of Arrow's types cannot be divided
    month, day, form = values // 100 % 100, values % 100, None
    if values.between(10_000_000, 99_999_999).all() and month.between(1, 12).all() and day.between(1, 31).all():
        form = "%Y%m%d"  # such as 19580329
    if values.between(100_000, 299_999).all() and day.between(1, 12).all() and values.max() - values.min() > 12:
        form = "%Y%m"  # such as 195803
    if form is not None:
        raise ArgumentError(
            f"{source}: column {name} holds numbers such as {values.iloc[0]}, which look like dates: give "
            f"--data.time_format {form}"
        )
    return values.to_numpy()


def _dates(values: "pd.Series", name: str, time_format: str | None, source: Source) -> tuple["pd.Series", str | None]:
    """Converts strings or whole numbers to dates in UTC, and returns the last one's UTC offset, if it has one."""
    import pandas as pd

    if values.dtype.kind == "f":
        if time_format is None:
            raise ArgumentError(f"{source}: column {name} has decimal numbers: give whole numbers or dates")
        values = values.astype("Int64")
    values = values.astype("string")
    codes, texts = values.factorize()  # series often share their times, so each is read once
    dayfirst = time_format is None and _is_day_first(pd.Series(texts), name, source)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # pandas guesses each time's format; all times have a year
        try:
            tried = {}
            for form in [None, "ISO8601"] if time_format is None else [time_format]:
                times = pd.to_datetime(texts, format=form, utc=True, errors="coerce", dayfirst=dayfirst)
                tried[form] = pd.Series(times)
                if tried[form].notna().all():
                    break
        except ValueError as error:
            raise ArgumentError(
                f"{time_format=} is not a format for times ({error}): give one such as %d.%m.%Y"
            ) from error
        best = min(tried, key=lambda form: int(tried[form].isna().sum()))
        found = tried[best].take(codes)
        wrong = np.flatnonzero(found.isna())
        mend = "give --data.time_format, such as %d.%m.%Y" if time_format is None else f"change {time_format=}"
        source.check(name, wrong, map(repr, values.iloc[wrong[:SHOWN]]), "has no time", f"correct these, or {mend}")
        last = pd.to_datetime(values.iloc[-1], format=best, dayfirst=dayfirst)
    if last.tzinfo is None:
        return found, "UTC" if pd.Series(texts).str.contains(r"(?:Z|[+-]\d\d:\d\d)$").any() else None
    offset = last.isoformat()[-6:]
    return found, "UTC" if offset == "+00:00" else offset


def _is_day_first(texts: "pd.Series", name: str, source: Source) -> bool:
    """Returns whether the dates begin with the day, such as 31/12/2001."""
    first = texts.iloc[0]
    begins = _TWO_NUMBERS.match(first)
    if begins is None:
        yearless = texts[~texts.str.contains(r"\d{4}")] if not first[:4].isdecimal() else texts[:0]
        if len(yearless):
            raise ArgumentError(
                f"{source}: column {name} has times without a year, such as {yearless.iloc[0]!r}: give dates, or "
                "--data.time_format"
            )
        return False
    numbers = texts.str.extract(_TWO_NUMBERS.pattern)[[0, 2]].dropna().astype(int)
    if numbers.max().max() <= 12 and (numbers[0] != numbers[2]).any():
        year = "%Y" if len(begins[4]) == 4 else "%y"
        either = (begins[2].join(order) for order in (("%d", "%m", year), ("%m", "%d", year)))
        raise ArgumentError(
            f"{source}: column {name} has dates such as {first!r}, in which the day or the month may come first: give "
            f"--data.time_format {' or '.join(either)}"
        )
    return bool(numbers[0].max() > 12)
