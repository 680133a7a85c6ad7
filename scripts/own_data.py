"""Measures the recipes for your own files beside methods without a network, on data that come with packages.

    python scripts/own_data.py 'chars*'              # the text that comes with Python; minutes
    python scripts/own_data.py 'words/*' --seeds 3   # the Jargon File: apt install dict-jargon
    python scripts/own_data.py 'arrays*' --seeds 3   # JapaneseVowels: pip install --no-deps aeon
    python scripts/own_data.py 'series/*' --seeds 3  # pip install statsmodels vega_datasets

Results are saved in `docs/own_data.json`, and `python scripts/tables.py` puts them into the pages. Whatever has a
result is not run again, so that you can continue a long measurement. Further arguments go to the fits and are not
recorded, so give only arguments that do not change the results.

- `chars`: the recipe; carried beside reset state, and k1 = k2 = 1, 8, 32, 128, at equal steps; n-grams and xz. Results
  are in bits per character of the test part, the last 5 % of the text, which changes with Python's version.
- `words`: the recipe with dropout of three kinds.
- `arrays`: the official split, 270 sequences to train on and 370 to test. A tenth of the 270 is used for validation, to
  choose the epoch.
- `series`: weekly CO2, monthly sea surface temperatures, and a panel of hourly temperatures of two cities.
"""

import argparse
import itertools
import json
import time
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import naive_methods
from measure import fit, in_temporary_folder
from own_files import write_arrays, write_series
from plan import OWN_RESULTS, PLAN, Result, lines, load_own

from rnn_lightning.files import write_atomically
from rnn_lightning.runs import run_folder

FITS: dict[str, list[str]] = PLAN["own_data"]
"""The arguments of each fit."""
WRITERS = {"--config=arrays": write_arrays, "--config=series": write_series}
PUBLISHED = {
    "test": {"test/acc": 0.949},
    "citation": "Bagnall et al. 2018, The UEA multivariate time series classification archive, arXiv:1811.00075: "
    "1-NN DTW (dependent), JapaneseVowels",
}
NAIVE = {
    "chars/naive": naive_methods.of_text,
    "arrays/dtw": naive_methods.of_arrays,
    "arrays/published": lambda: PUBLISHED,
}
"""Methods without a network, which have no seed."""
METHODS = {"the network": "network", "the last value": "last", "the same season": "season"}


def result_of(arguments: list[str], more: list[str]) -> Result:
    """Runs a fit and its test, and returns its results under the names that `tables.value` reads.

    Args:
        arguments: The arguments of the fit, which are recorded.
        more: Further arguments.
    """
    begin = time.perf_counter()
    with in_temporary_folder():
        if write := WRITERS.get(arguments[0]):
            write()
        _, run = fit([*arguments, *more])
        test = {name: float(value) for name, value in run.trainer.callback_metrics.items() if name[:5] == "test/"}
        test |= {f"test/naive/{name[5:]}": value for name, value in getattr(run.datamodule, "baseline", {}).items()}
        found: dict[str, Any] = {}
        forecasts = Path(run_folder(str(run.trainer.ckpt_path)), "forecasts.json")
        if forecasts.is_file():
            for score in json.loads(forecasts.read_text())["scores"]:
                method = METHODS[score["method"]]
                test |= {f"test/{method}/{name}": score[name] for name in ("one_step_mae", "mae", "mase")}
            found["printed"] = forecasts.with_suffix(".txt").read_text().rstrip()
        if hasattr(run.datamodule, "sha256"):
            found["sha256"] = run.datamodule.sha256
    seconds, epochs = round(time.perf_counter() - begin), run.trainer.current_epoch
    rounded = {name: round(value, 6) for name, value in sorted(test.items())}
    return {"arguments": arguments, "seconds": seconds, "epochs": epochs, "test": rounded, **found}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="+", metavar="NAME", help=f"names or patterns of {', '.join([*NAIVE, *FITS])}")
    parser.add_argument("--seeds", type=int, default=1, help="seeds 0, 1, ... of each fit")
    options, more = parser.parse_known_args()
    names = [name for name in (*NAIVE, *FITS) if any(fnmatch(name, pattern) for pattern in options.names)]
    if not names:
        parser.error(f"{' '.join(options.names)}: give names or patterns of {', '.join([*NAIVE, *FITS])}")
    for seed, name in itertools.product(range(options.seeds), names):
        key = f"{name}/{seed}"
        if key not in load_own() and (name in FITS or not seed):
            result = result_of([*FITS[name], f"--seed_everything={seed}"], more) if name in FITS else NAIVE[name]()
            write_atomically(OWN_RESULTS, f"{{\n{lines({**load_own(), key: result}, ' ')}\n}}\n")
            print(f"{key}: {json.dumps(result)}", flush=True)
