"""Shared code of the benchmarks: contestants in turn, timed fits, child processes, and tables with the machine.

`torch.utils.benchmark` finishes one contestant before it starts the next. If the machine's speed changes by the minute,
such a measurement compares minutes, not contestants. Here, all contestants run in turn, round after round.
"""

import argparse
import json
import logging
import os
import platform
import re
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any, Literal, TypeVar

import torch
from lightning.pytorch import Callback
from pages import fill, markdown
from torch import Tensor, nn
from torch.nn import functional as F

from rnn_lightning.callbacks import TENSORBOARD_CALLBACKS
from rnn_lightning.cli import CLI, main
from rnn_lightning.files import write_atomically

Clock = Callable[[], float]
Measured = TypeVar("Measured")
QUIET = ["--trainer.accelerator=cpu", "--trainer.enable_progress_bar=false", "--trainer.enable_model_summary=false"]
"""Arguments of a fit on the CPU that shows no progress."""
NO_CALLBACKS = [f"--{name}.enabled=false" for name in TENSORBOARD_CALLBACKS]
"""Arguments that disable everything that draws into TensorBoard."""


def options_of(description: str | None) -> argparse.ArgumentParser:
    """Returns a parser with the option that every benchmark has."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--page", type=Path, help="also put the table into this page, between <!-- table NAME --> and <!-- end -->"
    )
    return parser


def timed(run: Callable[..., object], *given: Any, clock: Clock = time.perf_counter, **more: Any) -> float:
    """Returns the seconds of a call."""
    begin = clock()
    run(*given, **more)
    return clock() - begin


def fit(
    arguments: Iterable[str], *callbacks: Callback, test: bool = True, clock: Clock = time.perf_counter
) -> tuple[float, Any]:
    """Runs a fit on the command line.

    Args:
        arguments: What follows `fit`.
        callbacks: Further callbacks.
        test: Whether to test the best checkpoint afterwards, so that the model has its weights.
        clock: The clock that measures the fit.

    Returns:
        The seconds inside `trainer.fit`, and the `CLI` with its trainer, model and datamodule.
    """
    found: list[Any] = []

    class Timed(CLI):
        def fit(self, **given: Any) -> None:
            self.trainer.callbacks.extend(callbacks)  # type: ignore[attr-defined]
            found.extend((timed(self.trainer.fit, clock=clock, **given), self))

        def after_fit(self) -> None:
            if test:
                super().after_fit()

    main(["fit", *arguments], Timed)
    seconds, cli = found
    return seconds, cli


def child(*arguments: str, **environment: str) -> Any:
    """Runs Python with these arguments in a temporary folder, and returns its last line of output, read as JSON."""
    command, variables = [sys.executable, *arguments], {**os.environ, **environment}
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(command, capture_output=True, text=True, cwd=folder, env=variables)
    if done.returncode:
        raise RuntimeError(f"{' '.join(arguments)}: {done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


@contextmanager
def in_temporary_folder() -> Iterator[None]:
    """Makes a temporary folder the current one for the `with` block."""
    before = os.getcwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            yield
        finally:
            os.chdir(before)


@contextmanager
def silent() -> Iterator[None]:
    """Suppresses all output, warnings and log messages of the `with` block."""
    logging.disable()  # Lightning's handlers keep the stream that was there when it was imported
    try:
        with (
            open(os.devnull, "w") as screen,
            redirect_stdout(screen),
            redirect_stderr(screen),
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(logging.NOTSET)


def alternate(contestants: Mapping[str, Callable[[], Measured]], rounds: int) -> dict[str, list[Measured]]:
    """Runs every contestant once per round, in turn, so that a machine that slows down affects all of them.

    The order is reversed after each round, so that none always comes after another one.

    Args:
        contestants: Functions by name; each returns what it measured, such as the seconds it took.
        rounds: How many times each contestant runs.
    """
    found: dict[str, list[Measured]] = {name: [] for name in contestants}
    for round_ in range(rounds):
        for name, run in list(contestants.items())[:: -1 if round_ % 2 else 1]:
            found[name].append(run())
            print(f"round {round_ + 1}: {name}: {found[name][-1]}", flush=True)
    return found


def median_of(values: list[float], form: str) -> str:
    """Returns the median, followed by the range."""
    return f"{statistics.median(values):{form}} ({min(values):{form}} to {max(values):{form}})"


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
    cpuinfo = Path("/proc/cpuinfo")
    named = re.search(r"^model name\s*: (.*)$", cpuinfo.read_text(), re.M) if cpuinfo.is_file() else None
    model = named[1] if named else platform.processor() or platform.machine()
    return {"cpu": model, "cores": os.cpu_count(), "threads": torch.get_num_threads(), "torch": torch.__version__}


def publish(options: argparse.Namespace, name: str, text: str) -> None:
    """Prints a Markdown table with the machine, and puts the table of this name into the page of the options, if any.

    The page must have the lines `<!-- table NAME -->` and `<!-- end -->`.
    """
    about = ", ".join(f"{key} {value}" for key, value in machine().items())
    print(f"\n{about}\n\n{text}")
    if options.page is not None:
        page = options.page.read_text()
        if f"<!-- table {name} -->" not in page:
            sys.exit(f"error: {options.page} has no table {name}: add the lines <!-- table {name} --> and <!-- end -->")
        write_atomically(options.page, fill(page, {name: f"{text}\n\n{about}"}))
