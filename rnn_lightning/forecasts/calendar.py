"""`calendar_features`: encodes a date's positions in the day, the week and the year as points on circles."""

import math
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import torch
from torch import Tensor

CALENDAR = ("hour", "weekday", "yearday")
"""The names of the circles: the hours of a day, the days of a week, and the days of a year."""

_DAY = 86_400_000_000  # microseconds
_LONGEST = {"hour": _DAY, "weekday": 7 * _DAY, "yearday": 365 * _DAY}


def calendar_features(times: Any, circles: Sequence[str]) -> Tensor:
    """Computes the sine and cosine of each date's position on each circle.

    Args:
        times: (N,) int64, microseconds since 1970. A numpy array of datetime64 or a list of datetime is also allowed.
        circles: Names from `CALENDAR`.

    Returns:
        (N, 2 * circles) float64.
    """
    times = _microseconds(times)
    days = times.div(_DAY, rounding_mode="floor")
    time = (times - days * _DAY).double() / _DAY  # the part of the day, in [0, 1)
    share = {
        "hour": time,
        "weekday": ((days + 3) % 7).double() / 7,  # 1970-01-01 was a Thursday
        "yearday": _yearday(days, time),
    }
    angles = [2 * math.pi * share[name] for name in circles]
    columns = [part(angle) for angle in angles for part in (torch.sin, torch.cos)]
    return torch.stack(columns, dim=-1) if columns else torch.zeros(len(times), 0, dtype=torch.float64)


def circles_of(step: int) -> list[str]:
    """Returns the circles on which dates that are `step` microseconds apart differ in position."""
    return [name for name in CALENDAR if step < _LONGEST[name]]


def _yearday(days: Tensor, time: Tensor) -> Tensor:
    """Returns the share of the year that has passed since March 1, so that a leap day is the last day of the year.

    Hinnant's `civil_from_days` does the same arithmetic, in eras of 400 years of the Gregorian calendar.
    """
    of_era = (days + 719_468) % 146_097
    year = (of_era - of_era // 1460 + of_era // 36_524 - of_era // 146_096) // 365  # within the era, from March on
    day = of_era - (365 * year + year // 4 - year // 100)
    end = year + 1  # the calendar year of the February that ends it
    leap = (end % 4 == 0) & ((end % 100 != 0) | (end % 400 == 0))
    return (day + time) / (365 + leap.double())


def _microseconds(times: Any) -> Tensor:
    if isinstance(times, Tensor):
        return times
    if hasattr(times, "astype"):
        return torch.from_numpy(times.astype("datetime64[us]").astype("int64"))
    begin = datetime(1970, 1, 1)
    return torch.tensor([(time - begin) // timedelta(microseconds=1) for time in times], dtype=torch.int64)
