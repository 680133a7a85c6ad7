"""`calendar_features`: where a date stands in the day, the week and the year, as points on circles."""

from collections.abc import Sequence
from typing import Any

import numpy as np

CALENDAR = ("hour", "weekday", "yearday")
"""The circles: hours of a day, days of a week, days of a year."""

_DAY = np.timedelta64(1, "D")


def calendar_features(times: Any, circles: Sequence[str]) -> np.ndarray:
    """Sine and cosine of each date on each circle.

    Args:
        times: (N,) numpy.datetime64, or what numpy makes such of.
        circles: Names out of `CALENDAR`.

    Returns:
        (N, 2 * circles) float64.
    """
    times = np.asarray(times, "datetime64[us]")
    days = times.astype("datetime64[D]")
    year = times.astype("datetime64[Y]")
    share = {
        "hour": lambda: (times - days) / _DAY,
        # 1970-01-01 was a Thursday
        "weekday": lambda: ((days.astype(np.int64) + 3) % 7) / 7,
        "yearday": lambda: (times - year.astype("datetime64[us]")) / ((year + 1).astype("datetime64[D]") - year),
    }
    angles = [2 * np.pi * share[name]() for name in circles]
    columns = [part(angle) for angle in angles for part in (np.sin, np.cos)]
    return np.stack(columns, axis=-1) if columns else np.zeros((len(times), 0))


def circles_of(step: np.timedelta64) -> list[str]:
    """The circles that tell more than one thing apart, for dates that are this far from one another."""
    day, year = np.timedelta64(1, "D"), np.timedelta64(365, "D")
    longest = {"hour": day, "weekday": 7 * day, "yearday": year}
    return [name for name in CALENDAR if step < longest[name]]
