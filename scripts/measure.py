"""Shared code of the benchmarks: runs contestants in turn, and makes tables with the machine's description.

`torch.utils.benchmark` finishes one contestant before it starts the next. If the machine's speed changes by the minute,
such a measurement compares minutes, not contestants. Here, all contestants run in turn, round after round.
"""

import argparse
import json
import os
import platform
import statistics
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from tables import fill, markdown
from torch import Tensor, nn
from torch.nn import functional as F

from rnn_lightning.files import write_atomically


def options_of(description: str | None) -> argparse.ArgumentParser:
    """Returns a parser with the options that every benchmark has."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", help="also write the results into this file")
    parser.add_argument(
        "--page", type=Path, help="also put the table into this page, between <!-- table NAME --> and <!-- end -->"
    )
    return parser


def alternate(contestants: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    """Runs every contestant once per round, in turn, so that a machine that slows down affects all of them.

    Args:
        contestants: Functions by name; each returns the seconds it took.
        rounds: How many times each contestant runs.
    """
    times: dict[str, list[float]] = {name: [] for name in contestants}
    for round_ in range(rounds):
        for name, run in contestants.items():
            times[name].append(run())
            print(f"round {round_ + 1}: {name} {times[name][-1]:.3f} s", flush=True)
    return times


def table(times: dict[str, list[float]], base: str, unit: Literal["s", "ms"] = "s") -> str:
    """Returns a Markdown table of medians, ranges, and each median as a multiple of `base`'s."""
    scale, reference = 1e3 if unit == "ms" else 1.0, statistics.median(times[base])
    rows = []
    for name, values in times.items():
        median = statistics.median(values)
        spread = (f"{scale * seconds:.3f}" for seconds in (median, min(values), max(values)))
        rows.append((name, *spread, f"{median / reference:.2f}"))
    return markdown(("contestant", f"median {unit}", "min", "max", "ratio of medians"), rows)


class CellLoop(nn.Module):
    """A loop over torch.nn's cells with dropout on input and state, as you would write it: (T, B, I) -> (T, B, H).

    The loop uses one mask per sequence (`variational`), or torch's `dropout` at every step.
    """

    def __init__(
        self, cell: str, features: int, hidden: int, layers: int = 1, p_input: float = 0, p_state: float = 0,
        variational: bool = True,
    ) -> None:  # fmt: skip
        super().__init__()
        sizes = [features] + [hidden] * (layers - 1)
        self.cells = nn.ModuleList(getattr(nn, f"{cell}Cell")(size, hidden) for size in sizes)
        self.hidden, self.p_input, self.p_state, self.variational = hidden, p_input, p_state, variational

    def forward(self, x: Tensor) -> tuple[Tensor]:
        for cell in self.cells:
            h = c = x.new_zeros(x.shape[1], self.hidden)
            on_input, on_state = self._dropout(x[0], self.p_input), self._dropout(h, self.p_state)
            outputs = []
            for x_t in x.unbind(0):
                if isinstance(cell, nn.LSTMCell):
                    out, c = cell(on_input(x_t), (h, c))
                else:
                    out = cell(on_input(x_t), h)
                outputs.append(out)
                h = on_state(out)
            x = torch.stack(outputs)
        return (x,)

    def _dropout(self, like: Tensor, p: float) -> Callable[[Tensor], Tensor]:
        if not p or not self.variational:
            return lambda values: F.dropout(values, p) if p else values
        mask = F.dropout(torch.ones_like(like), p)
        return lambda values: values * mask


def machine() -> dict[str, Any]:
    """Returns the processor, the numbers of cores and threads, and torch's version."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        names = [line.partition(":")[2].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line]
        model = names[0] if names else model
    return {"cpu": model, "cores": os.cpu_count(), "threads": torch.get_num_threads(), "torch": torch.__version__}


def publish(options: argparse.Namespace, name: str, text: str, **results: Any) -> None:
    """Prints a Markdown table with the machine, and writes the table where the options of `options_of` say.

    `name` is the table's name in a page; `results` are the values that `--json` writes.
    """
    about = ", ".join(f"{key} {value}" for key, value in machine().items())
    print(f"\n{about}\n\n{text}")
    if options.json is not None:
        write_atomically(options.json, json.dumps({"machine": machine(), **results}, indent=1))
    if options.page is not None:
        write_atomically(options.page, fill(options.page.read_text(), {name: lambda: f"{text}\n\n{about}"}))
