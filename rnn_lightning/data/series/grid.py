"""`Grid`: numbers the regular times of a table's rows."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from rnn_lightning.errors import ArgumentError

Unit = Literal["us", "month", "int"]

DAY = 86_400_000_000  # microseconds
_NAMES = {
    "us": {1: "microsecond", 10**6: "second", 60 * 10**6: "minute", DAY // 24: "hour", DAY: "day", 7 * DAY: "week"},
    "month": {1: "month", 12: "year"},
}
_SEASONS = {("us", DAY // 24): 24, ("us", DAY): 7, ("us", 7 * DAY): 52, ("month", 1): 12}


@dataclass(frozen=True)
class Grid:
    """Regular times: step number k is at `anchor + k * step`.

    Attributes:
        unit: "us" for microseconds since 1970, "month" for months since 1970, "int" for the file's own whole numbers.
        step: The number of units from one time to the next.
        anchor: For "us" and "int", the time of step 0, in [0, step). For "month", the time within the month, in
            microseconds from the month's beginning, or, if negative, from its end.
        phase: For "month", the remainder of the months' numbers divided by `step`.
        zone: The time zone in which times are written; None for times without a time zone.
        time_format: The format in which times are written; None for ISO 8601.
    """

    unit: Unit
    step: int
    anchor: int
    phase: int = 0
    zone: str | None = None
    time_format: str | None = None

    @classmethod
    def infer(cls, times: np.ndarray, neighbours: np.ndarray, **written: Any) -> "Grid":
        """Finds the grid that fits most of the times: (N,) int64, or datetime64[us].

        `neighbours`, (N - 1,) bool, says whether a row and the next row belong to the same series. `written` are the
        `zone` and the `time_format` of the grid.
        """
        numbers = times.astype(np.int64)
        step = _step(numbers, neighbours)
        if step is None:
            raise ArgumentError(
                "no series has two different times: give a file with more rows, or another data.time or data.id"
            )
        unit: Unit = "int" if times.dtype.kind == "i" else "us"
        if unit == "us" and 28 * DAY <= step <= 366 * DAY:  # from a month of 28 days to a year of 366
            months = cls._of_months(times, neighbours, **written)
            if months is not None:
                return months
        return cls(unit, step, _commonest(numbers % step), **written)

    @classmethod
    def _of_months(cls, times: np.ndarray, neighbours: np.ndarray, **written: Any) -> "Grid | None":
        """Finds the grid of months, or returns None if there is none, for example if times are 28 or 30 days apart."""
        month = times.astype("datetime64[M]")
        begins = [begin.astype("datetime64[us]") for begin in (month, month + 1)]
        grids = [cls("month", 1, _commonest((times - begin).astype(np.int64))) for begin in begins]
        grid = max(grids, key=lambda grid: grid.numbers(times)[1].mean())
        numbers, on_grid = grid.numbers(times)
        step = _step(numbers, neighbours)
        if step is None or on_grid.mean() < 0.5:
            return None
        return cls("month", step, grid.anchor, _commonest(numbers % step), **written)

    def numbers(self, times: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Returns the number of each time, (N,) int64, and whether the time is on the grid, (N,) bool."""
        if self.unit != "month":
            k, rest = np.divmod(times.astype(np.int64) - self.anchor, self.step)
            return k, rest == 0
        months = times.astype("datetime64[M]")
        begin = months if self.anchor >= 0 else months + 1
        k, rest = np.divmod(months.astype(np.int64) - self.phase, self.step)
        return k, ((times - begin.astype("datetime64[us]")).astype(np.int64) == self.anchor) & (rest == 0)

    def times(self, numbers: Any) -> np.ndarray:
        """Returns the times with the given numbers: datetime64[us] (in UTC if there is a time zone), or int64."""
        k = np.asarray(numbers, np.int64)
        if self.unit == "int":
            return k * self.step + self.anchor
        if self.unit == "us":
            return (k * self.step + self.anchor).astype("datetime64[us]")
        months = (k * self.step + self.phase + (self.anchor < 0)).astype("datetime64[M]")
        return months.astype("datetime64[us]") + np.timedelta64(self.anchor, "us")

    def local(self, numbers: Any) -> Any:
        """Returns the times with the given numbers, for pandas: in their time zone, or as whole numbers."""
        return self._in_zone(self.times(numbers))

    def written(self, times: np.ndarray) -> list[str]:
        """Formats any times, even those off the grid, for a message."""
        return [str(time) if self.unit == "int" else time.isoformat() for time in self._in_zone(times)]

    def _in_zone(self, times: np.ndarray) -> Any:
        import pandas as pd

        if self.unit == "int":
            return times
        local = pd.DatetimeIndex(times)
        return local if self.zone is None else local.tz_localize("UTC").tz_convert(self.zone)

    def labels(self, numbers: Any) -> list[str]:
        """Formats the times with the given numbers, in the file's own format if it has one."""
        local = self.local(numbers)
        if self.unit == "int":
            return [str(time) for time in local]
        if self.time_format is not None:
            return list(local.strftime(self.time_format))
        if self.zone is None and (self.unit == "month" or self.step % DAY == 0) and (local == local.normalize()).all():
            return list(local.strftime("%Y-%m-%d"))
        return [time.isoformat(sep=" ") for time in local]

    @property
    def name(self) -> str:
        """The name of one step: "hour", "2 weeks", "month", "step"."""
        if self.unit == "int":
            return "step"
        names = _NAMES[self.unit]
        size = max(size for size in names if self.step % size == 0)
        count = self.step // size
        return names[size] if count == 1 else f"{count} {names[size]}s"

    @property
    def season(self) -> int:
        """The number of steps in a season: 24 hours, 7 days, 52 weeks or 12 months, and 1 for any other step."""
        return _SEASONS.get((self.unit, self.step), 1)

    @property
    def distance(self) -> int | None:
        """The microseconds from one time to the next (approximate for months); None if times are whole numbers."""
        if self.unit == "int":
            return None
        return self.step if self.unit == "us" else self.step * 31 * DAY


def _step(numbers: np.ndarray, neighbours: np.ndarray) -> int | None:
    """Returns the commonest distance from a row to the next in the same series, or None if there is none above 0."""
    distances = np.diff(numbers)[neighbours]
    distances = distances[distances > 0]
    return _commonest(distances) if len(distances) else None


def _commonest(values: np.ndarray) -> int:
    if (values == values[0]).all():  # usually the case, and much faster than sorting
        return int(values[0])
    found, counts = np.unique(values, return_counts=True)
    return int(found[counts.argmax()])
