"""`text_table`: formats a table of numbers for a terminal."""

import math
from collections.abc import Mapping, Sequence

_NARROWEST = 6


def text_table(corner: str, columns: Sequence[str], rows: Mapping[str, Sequence[float]]) -> list[str]:
    """Formats a table as lines: one line of column names, and one line for each row.

    Args:
        corner: The text before the column names.
        columns: The column names.
        rows: The numbers of each row, one for each column, keyed by the row's name.
    """
    first = max(map(len, (corner, *rows)))
    widths = [max(len(name), _NARROWEST) for name in columns]
    lines = ["  ".join([corner.ljust(first), *(name.ljust(n) for name, n in zip(columns, widths, strict=True))])]
    for name, values in rows.items():
        cells = (number(value).rjust(n) for value, n in zip(values, widths, strict=True))
        lines.append("  ".join([name.ljust(first), *cells]))
    return [line.rstrip() for line in lines]


def number(value: float) -> str:
    """Formats a number with four significant digits, and NaN as `-`."""
    return "-" if math.isnan(value) else f"{value:.4g}"
