"""What the benchmarks share: contestants in alternation, medians and spread, and the machine they ran on."""

import json
import os
import platform
import statistics
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

import torch


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
    lines = [f"| | median {unit} | min | max | ratio of medians |", "|---|---|---|---|---|"]
    scale = 1e3 if unit == "ms" else 1.0
    reference = statistics.median(times[base])
    for name, values in times.items():
        median = statistics.median(values)
        spread = " | ".join(f"{scale * seconds:.3f}" for seconds in (median, min(values), max(values)))
        lines.append(f"| {name} | {spread} | {median / reference:.2f} |")
    return "\n".join(lines)


def machine() -> dict[str, Any]:
    """Where a measurement was taken."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        names = [line.partition(":")[2].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line]
        model = names[0] if names else model
    return {"cpu": model, "cores": os.cpu_count(), "threads": torch.get_num_threads(), "torch": torch.__version__}


def save(path: str | None, **results: Any) -> None:
    """Writes results with the machine they were taken on as JSON, beside and then renamed."""
    if path is not None:
        part = Path(f"{path}.part")
        part.write_text(json.dumps({"machine": machine(), **results}, indent=1))
        part.replace(path)
