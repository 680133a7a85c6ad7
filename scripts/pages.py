"""Tables in Markdown pages: each is between `<!-- table NAME -->` and `<!-- end -->`."""

import re
import statistics
from collections.abc import Iterable
from typing import Any


def markdown(head: Iterable[Any], rows: Iterable[Iterable[Any]]) -> str:
    """Returns a Markdown table, without the columns that have no figure."""
    lines = [[str(cell) for cell in row] for row in rows]
    columns = [column for column in zip(map(str, head), *lines, strict=True) if set(column[1:]) - {"not run", ""}]
    written = [(name, "---", *cells) for name, *cells in columns]
    return "\n".join(f"| {' | '.join(line)} |" for line in zip(*written, strict=True))


def spread(values: list[float], form: str) -> str:
    """Returns the mean, followed by the range if values differ."""
    mean, low, high = (f"{number:{form}}" for number in (statistics.fmean(values), min(values), max(values)))
    return mean if low == high else f"{mean} ({low} to {high})"


def fill(text: str, tables: dict[str, str]) -> str:
    """Returns a Markdown text in which the given tables are replaced and all others are kept."""

    def made(match: re.Match[str]) -> str:
        return f"{match[1]}{tables[match[2]]}\n{match[3]}" if match[2] in tables else match[0]

    return re.sub(r"(<!-- table (\w+) -->\n).*?\n?(<!-- end -->)", made, text, flags=re.S)
