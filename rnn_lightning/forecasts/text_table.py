"""`text_table`: numbers beside each other as lines for a terminal."""

import math
from collections.abc import Mapping, Sequence

_NARROWEST = 6


def text_table(corner: str, columns: Sequence[str], rows: Mapping[str, Sequence[float]]) -> list[str]:
    """A line for the columns' names and one for each row.

    Args:
        corner: What comes before the columns' names.
        columns: The names.
        rows: For each row's name, a number for each column.
    """
    first = max(map(len, (corner, *rows)))
    widths = [max(len(name), _NARROWEST) for name in columns]
    lines = ["  ".join([corner.ljust(first), *(name.ljust(n) for name, n in zip(columns, widths, strict=True))])]
    for name, values in rows.items():
        cells = (number(value).rjust(n) for value, n in zip(values, widths, strict=True))
        lines.append("  ".join([name.ljust(first), *cells]))
    return [line.rstrip() for line in lines]


def number(value: float) -> str:
    """Four digits of a number; `-` for NaN."""
    return "-" if math.isnan(value) else f"{value:.4g}"
