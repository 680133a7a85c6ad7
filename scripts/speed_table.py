"""The short table of speed in README, from the tables of `docs/performance.md`: what holds on every processor measured."""

import re
from collections.abc import Iterable

LONG_STEPS = 1000
"""A case with at least this many steps counts as a long stream."""
RATIO = "torch.nn / ours"


def measured(page: str) -> Iterable[tuple[str, int, float]]:
    """Cell, steps and ratio of every row of every table of layers alone on the machine."""
    for name, table in re.findall(r"<!-- table (layers\w*) -->\n(.*?)<!-- end -->", page, re.S):
        if "beside" in name:
            continue
        head, _, *rows = (line.strip("| ").split(" | ") for line in table.splitlines() if line.startswith("|"))
        for row in rows:
            cell, steps = re.match(r"(\w+) \((\d+)", row[0]).groups()  # type: ignore[union-attr]
            yield cell, int(steps), float(row[head.index(RATIO)])


def speed_table(page: str) -> tuple[list[str], list[list[str]]]:
    """Head and rows: the smallest and the largest ratio of torch.nn's time to ours, over all shapes and processors."""
    found = list(measured(page))
    cells = sorted({cell for cell, *_ in found}, key=("RNN", "GRU", "LSTM").index)
    rows = []
    for kind, is_long in (("batches of sequences", False), ("long streams in small batches", True)):
        ratios = [
            [ratio for other, steps, ratio in found if other == cell and is_long == (steps >= LONG_STEPS)]
            for cell in cells
        ]
        rows.append([kind, *(f"{min(of_cell):.1f} to {max(of_cell):.1f}" for of_cell in ratios)])
    return ["torch.nn's time / ours, forward and backward", *cells], rows
