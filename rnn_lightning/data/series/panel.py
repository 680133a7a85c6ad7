"""`Panel`: all series of a table on one grid, joined end to end in flat arrays. `ArgumentError` names faulty rows.

Legend: S series, N steps of all series together, C predicted columns, K columns known ahead.
"""

from dataclasses import dataclass

import numpy as np

from rnn_lightning.data.series.grid import DAY, Grid
from rnn_lightning.data.series.reading import Rows
from rnn_lightning.data.series.source import SHOWN, Source
from rnn_lightning.errors import ArgumentError

_MOST_STEPS, _STEPS_PER_ROW = 1_000_000, 100
"""How many steps a panel may have: the first number, plus the second number for each row of the file."""


@dataclass(frozen=True)
class Panel:
    """Series of any length on one grid.

    Attributes:
        ids: (S,) names of the series.
        grid: The grid of the times.
        first: (S,) the number on the grid of the first step in each series.
        offsets: (S + 1,) where each series begins in the flat arrays; the last entry is N.
        lengths: (S,) the number of steps up to the last value; later steps only have columns known ahead.
        values: (N, C) float64, the predicted columns; NaN where a value is missing.
        known: (N, K) float64, the columns known ahead; NaN where a value is missing.
    """

    ids: list[str]
    grid: Grid
    first: np.ndarray
    offsets: np.ndarray
    lengths: np.ndarray
    values: np.ndarray
    known: np.ndarray

    @classmethod
    def of(cls, rows: Rows, grid: Grid, columns: int, source: Source) -> "Panel":
        """Puts rows on a grid. Steps without a row count as missing.

        The first C = `columns` columns of the rows' numbers are predicted, and the others are known ahead. `source` is
        where the rows come from, for messages.
        """
        k, on_grid = grid.numbers(rows.times)
        off = np.flatnonzero(~on_grid)
        if len(off):
            raise ArgumentError(_off_grid(rows, grid, off, source))
        there = ~np.isnan(rows.numbers[:, :columns]).all(1)  # (rows,)
        far = np.iinfo(np.int64).max
        first, last, end = (np.full(len(rows.ids), value) for value in (far, -far, -far))
        np.minimum.at(first, rows.codes[there], k[there])  # leading steps without a value are left out
        np.maximum.at(last, rows.codes[there], k[there])
        np.maximum.at(end, rows.codes, k)
        empty = np.flatnonzero(first == far)
        if len(empty):
            of = f"the series {rows.ids[empty[0]]!r}" if rows.ids[empty[0]] else "the file"
            raise ArgumentError(f"{of} has no value at all: leave it out, or change data.target")
        sizes = end - first + 1
        _check_gaps(rows, grid, sizes, source)
        offsets = np.r_[0, np.cumsum(sizes)]
        keep = k >= first[rows.codes]
        table = np.full((offsets[-1], rows.numbers.shape[1]), np.nan)
        table[(offsets[rows.codes] + k - first[rows.codes])[keep]] = rows.numbers[keep]
        return cls(rows.ids, grid, first, offsets, last - first + 1, table[:, :columns], table[:, columns:])

    @property
    def series(self) -> np.ndarray:
        """(N,) int64, the series that each step belongs to."""
        return np.repeat(np.arange(len(self.ids)), np.diff(self.offsets))

    @property
    def numbers(self) -> np.ndarray:
        """(N,) int64, the number on the grid of each step."""
        return np.arange(self.offsets[-1]) + (self.first - self.offsets[:-1])[self.series]

    def filled(self, values: np.ndarray) -> np.ndarray:
        """Replaces each NaN in `values` (N, ...) by the last value before it in the same series, if there is one."""
        import pandas as pd

        found: np.ndarray = pd.DataFrame(values).groupby(self.series).ffill().to_numpy(copy=True)
        return found

    def name(self, series: int) -> str:
        """Names a series in a message."""
        return f"the series {self.ids[series]!r}" if self.ids[series] else "the series"


def _check_gaps(rows: Rows, grid: Grid, sizes: np.ndarray, source: Source) -> None:
    """Raises `ArgumentError` if nearly all steps would be missing, as they might not fit in memory."""
    steps = sum(map(int, sizes))  # Python's integers do not overflow
    if steps > _MOST_STEPS + _STEPS_PER_ROW * len(rows.times):
        of = f" of {rows.ids[int(sizes.argmax())]}" if rows.ids[0] else ""
        raise ArgumentError(
            f"{source}: the times{of} are one {grid.name} apart, but the {len(rows.times)} rows span {steps} such steps, "
            "nearly all of them without a row: correct or leave out the times that are far from the others"
        )


def _off_grid(rows: Rows, grid: Grid, off: np.ndarray, source: Source) -> str:
    are = "are" if len(off) > 1 else "is"
    remedy = "give every row a regular time, or leave these out; steps without a row count as missing"
    if grid.zone is not None and (grid.unit == "month" or grid.step % DAY == 0):
        remedy = "days do not have 24 hours where clocks change: give dates without a time zone"
    return (
        f"{source}: {source.rows(rows.lines[off], grid.written(rows.times[off[:SHOWN]]))} {are} off the grid of one "
        f"{grid.name}: {remedy}"
    )
