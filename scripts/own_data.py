"""Fits on your own kinds of files, whose results are kept in `docs/own_data.json`, and the tables that pages have of them.

`measure_text.py`, `measure_arrays.py` and `measure_series.py` run the fits; each that is there already is not run again, so
that a long measurement can be continued. `python scripts/tables.py` fills the tables.
"""

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from plan import ROOT, Result

from rnn_lightning.cli import CLI, main
from rnn_lightning.files import write_atomically
from rnn_lightning.runs import run_folder

RESULTS = ROOT / "docs" / "own_data.json"


def options_of(description: str | None) -> argparse.ArgumentParser:
    """A parser with the options that these scripts share."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fits", type=int, default=1000, help="run at most so many fits now")
    parser.add_argument("--seeds", type=int, default=1, help="seeds 0, 1, ... of each fit")
    return parser


def load() -> dict[str, Result]:
    """The results so far, by name and seed."""
    found: dict[str, Result] = json.loads(RESULTS.read_text()) if RESULTS.is_file() else {}
    return found


def keep(name: str, result: Result) -> None:
    """Adds a result to the file."""
    write_atomically(RESULTS, json.dumps(dict(sorted({**load(), name: result}.items())), indent=1) + "\n")


class Kept(CLI):
    """Keeps the metrics of a fit and its test, and the table of its forecasts if there is one."""

    found: Result = {}

    def after_fit(self) -> None:
        """Keeps them."""
        Kept.found = {"epochs": self.trainer.current_epoch}
        super().after_fit()
        metrics = {name: float(value) for name, value in self.trainer.callback_metrics.items()}
        Kept.found |= {"metrics": {name: round(value, 6) for name, value in sorted(metrics.items())}}
        forecasts = Path(run_folder(str(self.trainer.ckpt_path)), "forecasts.json")
        if forecasts.is_file():
            Kept.found["forecasts"] = json.loads(forecasts.read_text())
        baseline = getattr(self.trainer.datamodule, "baseline", None)  # type: ignore[attr-defined]
        if baseline:
            Kept.found["baseline"] = baseline
        if hasattr(self.datamodule, "sha256"):
            Kept.found["sha256"] = self.datamodule.sha256


def fit(typed: list[str]) -> Result:
    """One fit in a temporary folder, unless the present one is one.

    Args:
        typed: What follows `fit` on the command line.

    Returns:
        `typed`, `seconds`, `epochs`, `metrics`, and `baseline`, `forecasts` and `sha256` where the data has them.
    """
    before, begin = os.getcwd(), time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            main(["fit", *typed, f"--trainer.default_root_dir={folder}/runs"], cli=Kept)
        finally:
            os.chdir(before)
    return {"typed": typed, "seconds": round(time.perf_counter() - begin), **Kept.found}


def run(fits: dict[str, list[str]], options: argparse.Namespace) -> None:
    """Runs the fits that have no result yet.

    Args:
        fits: By name, what is typed after `fit`.
        options: Those of `options_of`.
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
            result = fit([*typed, f"--seed_everything={seed}"])
            keep(key, result)
            print(f"{key}: {json.dumps(result['metrics'])}", flush=True)


def of(name: str) -> Iterator[Result]:
    """The results of a fit, seed by seed."""
    found = load()
    yield from (found[key] for key in sorted(found) if key.rpartition("/")[0] == name)


def value(name: str, read: Callable[[Result], float], form: str) -> str:
    """A number of a fit: the mean over the seeds, and their range."""
    from tables import spread

    numbers = [read(result) for result in of(name)]
    return spread(numbers, form) if numbers else "not run"
