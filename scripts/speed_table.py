"""Makes README's short table of speed from the tables of `docs/performance.md`, over all processors measured."""

import re
from collections.abc import Iterable

LONG_STEPS = 1000
"""A case with at least this many steps counts as a long stream."""
RATIO = "torch.nn / ours"


def measured(page: str) -> Iterable[tuple[str, int, float]]:
    """Yields cell, steps and ratio from every row of the tables that were measured without other busy processes."""
    for name, table in re.findall(r"<!-- table (layers\w*) -->\n(.*?)<!-- end -->", page, re.S):
        if "beside" in name:
            continue
        head, _, *rows = (line.strip("| ").split(" | ") for line in table.splitlines() if line.startswith("|"))
        for row in rows:
            cell, steps = re.match(r"(\w+) \((\d+)", row[0]).groups()  # type: ignore[union-attr]
            yield cell, int(steps), float(row[head.index(RATIO)])


def speed_table(page: str) -> tuple[list[str], list[list[str]]]:
    """Returns head and rows: the smallest and largest ratio of torch.nn's time to ours, over shapes and processors."""
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
