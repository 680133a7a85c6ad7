"""A table's column of times: dates in any form, whole numbers, or consecutive steps."""

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from rnn_lightning.data.series.source import SHOWN, Source
from rnn_lightning.errors import ArgumentError

if TYPE_CHECKING:
    import pandas as pd


def read_times(
    table: "pd.DataFrame", name: str | None, codes: np.ndarray, time_format: str | None, source: Source
) -> tuple[np.ndarray, str | None]:
    """The time of each row, (N,) datetime64[us] or int64, and their zone; without a name consecutive steps of each code.

    Raises:
        ArgumentError: A time is missing or cannot be read, or numbers look like dates.
    """
    import pandas as pd

    if name is None:
        return _steps(codes), None
    values = table[name]
    if pd.api.types.is_integer_dtype(values.dtype) and time_format is None and not values.isna().any():
        numbers = values.to_numpy(np.int64)
        if _look_like_dates(numbers):
            raise ArgumentError(
                f"{source}: column {name} holds numbers such as {numbers[0]}, which look like dates: give "
                "--data.time_format %Y%m%d"
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
    """(N,) int64, how many rows of the same series come before each row."""
    order, counts = np.argsort(codes, kind="stable"), np.bincount(codes)
    steps = np.empty(len(codes), np.int64)
    steps[order] = np.arange(len(codes)) - np.repeat(np.cumsum(counts) - counts, counts)
    return steps


def _look_like_dates(numbers: np.ndarray) -> bool:
    """Whether whole numbers are all as 19580329."""
    month, day = numbers // 100 % 100, numbers % 100
    in_range = (numbers > 10_000_000) & (numbers < 100_000_000)
    return bool((in_range & (month >= 1) & (month <= 12) & (day >= 1) & (day <= 31)).all())


def _dates(values: "pd.Series", name: str, time_format: str | None, source: Source) -> "pd.Series":
    """Converts texts or whole numbers to dates; if offsets differ, in UTC."""
    import pandas as pd

    if not pd.api.types.is_string_dtype(values.dtype) or values.dtype == object:
        if pd.api.types.is_float_dtype(values.dtype) and time_format is None:
            raise ArgumentError(f"{source}: column {name} has fractions or empty cells: give whole numbers or dates")
        if pd.api.types.is_float_dtype(values.dtype):
            values = values.astype("Int64")
        values = values.astype("string")
    formats = [None, "ISO8601"] if time_format is None else [time_format]
    # Series often share their times, so each is read once.
    codes, different = pd.factorize(values, use_na_sentinel=False)
    for utc in (False, True):  # UTC is needed only if offsets differ
        for form in formats:
            try:
                with warnings.catch_warnings():
                    warnings.filterwarnings("error", "In a future version of pandas, parsing datetimes with mixed")
                    return pd.Series(pd.to_datetime(different, format=form, utc=utc)).take(codes)
            except (ValueError, FutureWarning):  # pandas before 3 only warns of different offsets
                continue
    tried = [pd.to_datetime(values, format=form, utc=True, errors="coerce") for form in formats]
    found = min(tried, key=lambda times: int(times.isna().sum()))
    wrong = np.flatnonzero(found.isna().to_numpy() & values.notna().to_numpy())
    if len(wrong):
        where = source.rows(wrong, map(repr, values.iloc[wrong[:SHOWN]]))
        mend = "give --data.time_format, such as %d.%m.%Y" if time_format is None else f"change {time_format=}"
        raise ArgumentError(f"{source}: column {name} has no time in {where}: mend these, or {mend}")
    return found


def _last_zone(last: Any, zone: str) -> str:
    """The offset of a table's last time if offsets differ, else the zone of all times."""
    import pandas as pd

    if zone not in ("UTC", "UTC+00:00") or not isinstance(last, str):
        return zone.removeprefix("UTC") or "UTC" if zone.startswith("UTC") else zone
    time = pd.Timestamp(last)
    if time.tzinfo is None or not time.utcoffset():
        return "UTC"
    offset = time.strftime("%z")
    return f"{offset[:3]}:{offset[3:]}"
