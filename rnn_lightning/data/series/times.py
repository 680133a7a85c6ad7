"""Reads a table's column of times: dates in any form, whole numbers, or consecutive steps."""

import re
import warnings
from typing import TYPE_CHECKING, Any

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
    """Reads the rows' times, (N,) datetime64[us] or int64, and their time zone. Without a `name`, it counts steps.

    Raises:
        ArgumentError: A time is missing or cannot be read, or numbers look like dates.
    """
    import pandas as pd

    if name is None:
        return _steps(codes), None
    values = table[name]
    if pd.api.types.is_integer_dtype(values.dtype) and time_format is None and not values.isna().any():
        if int(values.max()) > np.iinfo(np.int64).max:
            raise ArgumentError(
                f"{source}: column {name} has whole numbers beyond 64 bits: give smaller ones, or dates"
            )
        numbers = values.to_numpy(np.int64)
        form = _format_of(numbers)
        if form is not None:
            raise ArgumentError(
                f"{source}: column {name} holds numbers such as {numbers[0]}, which look like dates: give "
                f"--data.time_format {form}"
            )
        return numbers, None
    if not pd.api.types.is_datetime64_any_dtype(values.dtype):
        values = _dates(values, name, time_format, source)
    source.check_no_gap(name, np.flatnonzero(values.isna().to_numpy()), "time")
    zone = None if values.dt.tz is None else str(values.dt.tz)
    if zone is not None:
        values = values.dt.tz_convert("UTC").dt.tz_localize(None)
        zone = _last_zone(table[name].iloc[-1], zone)
    return values.to_numpy("datetime64[us]"), zone


def _steps(codes: np.ndarray) -> np.ndarray:
    """Counts how many rows of the same series come before each row: (N,) int64."""
    order, counts = np.argsort(codes, kind="stable"), np.bincount(codes)
    steps = np.empty(len(codes), np.int64)
    steps[order] = np.arange(len(codes)) - np.repeat(np.cumsum(counts) - counts, counts)
    return steps


def _format_of(numbers: np.ndarray) -> str | None:
    """Returns the format if all numbers look like 19580329, or like 195803 and span over a year; otherwise None."""
    month, day = numbers // 100 % 100, numbers % 100
    if _within(numbers, 10_000_000, 99_999_999) and _within(month, 1, 12) and _within(day, 1, 31):
        return "%Y%m%d"
    if _within(numbers, 100_000, 299_999) and _within(day, 1, 12) and numbers.max() - numbers.min() > 12:
        return "%Y%m"
    return None


def _within(numbers: np.ndarray, low: int, high: int) -> bool:
    return bool(((numbers >= low) & (numbers <= high)).all())


def _dates(values: "pd.Series", name: str, time_format: str | None, source: Source) -> "pd.Series":
    """Converts texts or whole numbers to dates, which are in UTC if UTC offsets differ."""
    import pandas as pd

    if not pd.api.types.is_string_dtype(values.dtype) or values.dtype == object:
        if pd.api.types.is_float_dtype(values.dtype) and time_format is None:
            raise ArgumentError(f"{source}: column {name} has fractions or empty cells: give whole numbers or dates")
        if pd.api.types.is_float_dtype(values.dtype):
            values = values.astype("Int64")
        values = values.astype("string")
    formats: list[str | None] = [None, "ISO8601"] if time_format is None else [time_format]
    # Series often share their times, so each is read once.
    codes, different = pd.factorize(values, use_na_sentinel=False)
    dayfirst = time_format is None and _is_day_first(pd.Series(different).dropna(), name, source)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # pandas guesses each time's format; all times have a year
        times = _parsed(different, formats, dayfirst)
        if times is not None:
            return times.take(codes)
        try:
            tried = [pd.to_datetime(values, format=form, utc=True, errors="coerce") for form in formats]
        except ValueError as error:
            raise ArgumentError(
                f"{time_format=} is not a format for times ({error}): give one such as %d.%m.%Y"
            ) from error
    found = min(tried, key=lambda times: int(times.isna().sum()))
    wrong = np.flatnonzero(found.isna().to_numpy() & values.notna().to_numpy())
    if len(wrong):
        where = source.rows(wrong, map(repr, values.iloc[wrong[:SHOWN]]))
        mend = "give --data.time_format, such as %d.%m.%Y" if time_format is None else f"change {time_format=}"
        raise ArgumentError(f"{source}: column {name} has no time in {where}: correct these, or {mend}")
    return found


def _parsed(texts: Any, formats: list[str | None], dayfirst: bool) -> "pd.Series | None":
    """Parses the dates in the first format that fits all texts; returns None if no format does."""
    import pandas as pd

    for utc in (False, True):  # UTC is only needed if UTC offsets differ
        for form in formats:
            try:
                with warnings.catch_warnings():
                    warnings.filterwarnings("error", "In a future version of pandas, parsing datetimes with mixed")
                    return pd.Series(pd.to_datetime(texts, format=form, utc=utc, dayfirst=dayfirst and form is None))
            except (ValueError, FutureWarning):  # before version 3, pandas only warns about different UTC offsets
                continue
    return None


def _is_day_first(texts: "pd.Series", name: str, source: Source) -> bool:
    """Returns whether the dates begin with the day, such as 31/12/2001.

    Raises:
        ArgumentError: The day or the month may come first, or times have no year, so pandas would add today's date.
    """
    first = texts.iloc[0] if len(texts) else ""
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


def _last_zone(last: Any, zone: str) -> str:
    """Returns the UTC offset of a table's last time if offsets differ, or else the time zone of all times."""
    import pandas as pd

    if zone not in ("UTC", "UTC+00:00") or not isinstance(last, str):
        return zone.removeprefix("UTC") or "UTC" if zone.startswith("UTC") else zone
    time = pd.Timestamp(last)
    if time.tzinfo is None or not time.utcoffset():
        return "UTC"
    offset = time.strftime("%z")
    return f"{offset[:3]}:{offset[3:]}"
