"""Scores forecasts, and compares a network with the naive answers in a table.

Legend: B origins, S series, C columns, N steps of a forecast.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter

from torch import Tensor

from rnn_lightning.forecasts.backtest import Errors

_HELPS = (
    "What usually helps: difference=auto or first for a series with a trend, calendar=true or columns known ahead for "
    "a series with seasons, a longer n_steps, more epochs, or more series. For a series close to a random walk, no "
    "forecast beats the last value."
)
_NARROWEST = 6
"""The least width of a column of numbers."""


def mase(errors: Tensor, series: Tensor, naive: Tensor) -> float:
    """Computes the mean absolute scaled error (Hyndman & Koehler 2006), averaged over the series.

    Args:
        errors: (B, N), NaN where the true value is not known.
        series: (B,), the series of each origin.
        naive: (S,), the mean absolute error of the seasonal-naive forecast on each series' training part. Series for
            which it is 0 or NaN do not count.

    Returns:
        The score; NaN if no series counts.
    """
    each = [
        float(errors[series == s].abs().nanmean() / naive[s]) for s in series.unique().tolist() if float(naive[s]) > 0
    ]
    each = [value for value in each if not math.isnan(value)]
    return sum(each) / len(each) if each else math.nan


@dataclass(frozen=True)
class Score:
    """One line of the table.

    Attributes:
        target: The name of the column.
        method: The name of the method: the network, or a naive answer.
        one_step_mae: The mean absolute error one step ahead, in the column's units.
        mae: The mean absolute error over the horizon.
        mase: The mean absolute scaled error over the horizon; NaN if no series counts (see the function `mase`).
        by_distance: (N,) the mean absolute error at each distance.
    """

    target: str
    method: str
    one_step_mae: float
    mae: float
    mase: float
    by_distance: list[float]


@dataclass(frozen=True)
class Table:
    """A table that compares the network with the naive answers.

    Attributes:
        title: What was forecast, in one line.
        horizon: N, the number of steps of a forecast.
        scores: The lines of the table, target by target; the network's is the first of its target.
        coverage: For each column, the shares of values within the intervals, one step ahead and over the horizon.
        level: The share that the intervals should contain.
    """

    title: str
    horizon: int
    scores: list[Score]
    coverage: dict[str, tuple[float, float]]
    level: float

    @classmethod
    def of(
        cls, title: str, errors: Errors, targets: list[str], naive: Tensor, inside: Tensor | None, level: float
    ) -> "Table":
        """Scores a backtest.

        Args:
            title: What was forecast, in one line.
            errors: The errors from `backtest`.
            targets: The names of the first columns, which the table shows.
            naive: (S, C), the seasonal-naive errors on the training part.
            inside: (N, C), the result of `coverage`; None if there are no intervals.
            level: The level of the intervals.
        """
        scores, shares, horizon = [], {}, 0
        for c, target in enumerate(targets):
            for method, e in errors.by.items():
                error = e[..., c].abs()  # (B, N)
                horizon = error.shape[1]
                by_distance = error.nanmean(0)
                score = mase(e[..., c], errors.series, naive[:, c])
                scores.append(
                    Score(target, method, float(by_distance[0]), float(error.nanmean()), score, by_distance.tolist())
                )
            if inside is not None and not bool(inside[:, c].isnan().all()):
                shares[target] = (float(inside[0, c]), float(inside[:, c].nanmean()))
        return cls(title, horizon, scores, shares, level)

    def text(self) -> str:
        """Formats the table for a terminal, and adds sentences if the network is no better than a naive answer."""
        columns = ("MAE one step ahead", f"MAE over {self.horizon} steps", "MASE")
        lines = [self.title]
        for target, scores in groupby(self.scores, attrgetter("target")):
            rows = {score.method: (score.one_step_mae, score.mae, score.mase) for score in scores}
            lines += text_table(target, columns, rows)
            if target in self.coverage:
                one, all_ = self.coverage[target]
                lines.append(
                    f"{self.level:.0%} intervals contain {all_:.0%} of the true values, {one:.0%} one step ahead".replace(
                        "%", " %"
                    )
                )
        return "\n".join([*lines, *self.sentences()])

    def sentences(self) -> list[str]:
        """Says where a naive answer is as good as the network; returns an empty list if that is nowhere the case."""
        lost = []
        for target, (network, *others) in groupby(self.scores, attrgetter("target")):
            for name, where in (("one_step_mae", "one step ahead"), ("mae", f"over {self.horizon} steps")):
                best = min(others, key=lambda score: getattr(score, name))
                ours, theirs = getattr(network, name), getattr(best, name)
                if not ours < theirs:
                    lost.append(
                        f"The network does not beat {best.method} for {target} {where}: "
                        f"{_number(ours)} against {_number(theirs)}."
                    )
        return [*lost, _HELPS] if lost else []


def text_table(corner: str, columns: Sequence[str], rows: Mapping[str, Sequence[float]]) -> list[str]:
    """Formats a table as lines: one line of column names, and one line for each row.

    Args:
        corner: The text before the column names.
        columns: The column names.
        rows: The numbers of each row, one for each column, keyed by the row's name.
    """
    first = max(map(len, (corner, *rows)))
    columns = [name.ljust(_NARROWEST) for name in columns]
    lines = ["  ".join([corner.ljust(first), *columns])]
    for name, values in rows.items():
        cells = (_number(value).rjust(len(column)) for value, column in zip(values, columns, strict=True))
        lines.append("  ".join([name.ljust(first), *cells]))
    return [line.rstrip() for line in lines]


def _number(value: float) -> str:
    """Formats a number with four significant digits, and NaN as `-`."""
    return "-" if math.isnan(value) else f"{value:.4g}"
