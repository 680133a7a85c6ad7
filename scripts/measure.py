"""What the benchmarks share: contestants in alternation, tables of medians and spread, and the machine they ran on.

`torch.utils.benchmark` runs one contestant after the other; on a machine whose speed changes by the minute that compares
the minutes. Here all run in turn, round after round.
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

from rnn_lightning.files import write_atomically


def options_of(description: str | None) -> argparse.ArgumentParser:
    """A parser with the options that every benchmark has."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", help="also write the results there")
    parser.add_argument(
        "--page", type=Path, help="also put the table into this page, between <!-- table NAME --> and <!-- end -->"
    )
    return parser


def alternate(contestants: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    """Runs every contestant once a round, in turn, so that a machine that slows down slows them all.

    Args:
        contestants: By name, a function that returns the seconds it took.
        rounds: How many times each runs.
    """
    times: dict[str, list[float]] = {name: [] for name in contestants}
    for round_ in range(rounds):
        for name, run in contestants.items():
            times[name].append(run())
            print(f"round {round_ + 1}: {name} {times[name][-1]:.3f} s", flush=True)
    return times


def table(times: dict[str, list[float]], base: str, unit: Literal["s", "ms"] = "s") -> str:
    """Medians, range, and each contestant's time as a multiple of `base`'s, as a Markdown table."""
    scale, reference = 1e3 if unit == "ms" else 1.0, statistics.median(times[base])
    rows = []
    for name, values in times.items():
        median = statistics.median(values)
        spread = (f"{scale * seconds:.3f}" for seconds in (median, min(values), max(values)))
        rows.append((name, *spread, f"{median / reference:.2f}"))
    return markdown(("contestant", f"median {unit}", "min", "max", "ratio of medians"), rows)


def machine() -> dict[str, Any]:
    """Where a measurement was taken."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        names = [line.partition(":")[2].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line]
        model = names[0] if names else model
    return {"cpu": model, "cores": os.cpu_count(), "threads": torch.get_num_threads(), "torch": torch.__version__}


def save(path: str | None, **results: Any) -> None:
    """Writes results with the machine they were taken on as JSON."""
    if path is not None:
        write_atomically(path, json.dumps({"machine": machine(), **results}, indent=1))


def publish(options: argparse.Namespace, name: str, text: str, **results: Any) -> None:
    """Prints a table with the machine, and puts it where the options of `options_of` say.

    Args:
        options: Parsed.
        name: Of the table in a page.
        text: The table, Markdown.
        **results: What `--json` keeps.
    """
    about = ", ".join(f"{key} {value}" for key, value in machine().items())
    print(f"\n{about}\n\n{text}")
    save(options.json, **results)
    if options.page is not None:
        write_atomically(options.page, fill(options.page.read_text(), {name: lambda: f"{text}\n\n{about}"}))
