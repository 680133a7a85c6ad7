"""Runs fits of the recipes for your own files, and keeps their results in `docs/own_data.json`.

`measure_text.py`, `measure_arrays.py` and `measure_series.py` use this module. A fit that has a result is not run
again, so that you can continue a long measurement. `python scripts/tables.py` puts the figures into the pages.
"""

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from plan import ROOT, Result

from rnn_lightning.cli import CLI, main
from rnn_lightning.files import write_atomically
from rnn_lightning.runs import run_folder

RESULTS = ROOT / "docs" / "own_data.json"
SHORT = {"the network": "network", "the last value": "last", "the same season": "season"}


def options_of(description: str | None) -> argparse.ArgumentParser:
    """Returns a parser with the options that these scripts share."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fits", type=int, default=1000, help="run at most this many fits now")
    parser.add_argument("--seeds", type=int, default=1, help="seeds 0, 1, ... of each fit")
    return parser


def load() -> dict[str, Result]:
    """Returns the results so far, by name and seed."""
    found: dict[str, Result] = json.loads(RESULTS.read_text()) if RESULTS.is_file() else {}
    return found


def keep(name: str, result: Result) -> None:
    """Adds a result to the file, one fit per line."""
    results = {**load(), name: result}
    lines = ",\n".join(f" {json.dumps(key)}: {json.dumps(results[key])}" for key in sorted(results))
    write_atomically(RESULTS, f"{{\n{lines}\n}}\n")


class Kept(CLI):
    """Keeps the results of a fit and its test, and of the naive answers if there are any."""

    found: Result = {}

    def after_fit(self) -> None:
        """Keeps the results, under the names that `tables.value` reads."""
        epochs = self.trainer.current_epoch
        super().after_fit()
        test = {name: float(value) for name, value in self.trainer.callback_metrics.items() if name[:5] == "test/"}
        data: Any = self.datamodule
        test |= {f"test/naive/{name[5:]}": value for name, value in getattr(data, "baseline", {}).items()}
        forecasts = Path(run_folder(str(self.trainer.ckpt_path)), "forecasts.json")
        scored = forecasts.is_file()
        for score in json.loads(forecasts.read_text())["scores"] if scored else ():
            method = SHORT[score["method"]]
            test |= {f"test/{method}/{name}": score[name] for name in ("one_step_mae", "mae", "mase")}
        Kept.found = {"epochs": epochs, "test": {name: round(value, 6) for name, value in sorted(test.items())}}
        if scored:
            Kept.found["printed"] = forecasts.with_suffix(".txt").read_text().rstrip()
        if hasattr(data, "sha256"):
            Kept.found["sha256"] = data.sha256


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


def fit(typed: list[str], prepare: Callable[[], None]) -> Result:
    """Runs one fit in its own folder, and returns its result.

    Args:
        typed: The arguments after `fit` on the command line.
        prepare: Writes the data files into the fit's folder.
    """
    begin = time.perf_counter()
    with in_temporary_folder():
        prepare()
        main(["fit", *typed], cli=Kept)
    return {"arguments": typed, "seconds": round(time.perf_counter() - begin), **Kept.found}


def run(
    fits: dict[str, list[str]], options: argparse.Namespace, more: list[str], prepare: Callable[[], None] = lambda: None
) -> None:
    """Runs the fits that have no result yet.

    Args:
        fits: For each name, the arguments after `fit`.
        options: The parsed options of `options_of`.
        more: Further arguments, which are not recorded and must not change the results.
        prepare: As for `fit`.
    """
    left = options.fits
    for seed in range(options.seeds):
        for name, typed in fits.items():
            key = f"{name}/{seed}"
            if key in load():
                continue
            if not left:
                print("more fits are left: run this again")
                return
            left -= 1
            typed = [*typed, f"--seed_everything={seed}"]
            result = fit([*typed, *more], prepare)
            keep(key, {**result, "arguments": typed})
            print(f"{key}: {json.dumps(result)}", flush=True)
