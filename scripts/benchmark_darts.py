"""Compares the recipe `series` with Darts' RNNModel: the same series, split, network, epochs, and origins of forecasts.

    pip install "darts[torch]" statsmodels vega_datasets    # the last two for their data files
    OMP_NUM_THREADS=1 python scripts/benchmark_darts.py --seeds 3 --page docs/time_series.md

All contestants train an LSTM of 64 units for 10 epochs, with Adam (0.003), batches of 32 windows, and clipping at 1:

- the recipe as the command line runs it, with TensorBoard, checkpoints, and a validation that chooses the epoch;
- the same training from Python without any of these, which is how Darts trains here;
- Darts' RNNModel with the same inputs: differenced and scaled as by the recipe, with the calendar as future covariates.
  Only missing values differ, as Darts cannot read them. For Darts, they are interpolated up to each origin, and count in
  training. Ours carries the last value forward, adds a flag, and does not count them;
- Darts' RNNModel on values that are only scaled to the range 0 to 1, as by Darts' Scaler: no differences, no calendar.

All train on the same windows of the training part. With a stride, Darts counts them from the end of a series, so that
they begin at other steps. Initial weights differ, too: the recipe's are Glorot's, Darts' are those of torch.nn.LSTM.
Times are those within `trainer.fit`. All forecasts begin at the origins of our backtest, and read the same number of
values before them. The script fails if the last value does not have the same errors on both sides.
"""

import argparse
import importlib.util
import json
import logging
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from benchmark_training import silent_folder
from darts_case import ALONE, BATCH, EPOCHS, HIDDEN, RATE, Prepared, as_darts, backtested, rnn_model
from lightning.pytorch import Trainer, seed_everything
from measure import options_of, publish
from measure_series import FITS, write
from tables import markdown, spread

from rnn_lightning.cli import CLI, main
from rnn_lightning.data.series import TimeSeries, compare
from rnn_lightning.models import Seq2Seq
from rnn_lightning.runs import run_folder

SERIES = {
    "series/co2": "weekly CO2, 52 weeks",
    "series/elnino": "monthly sea temperatures, 12 months",
    "series/temps": "hourly temperatures of two cities, 24 hours",
}


@dataclass(frozen=True)
class Outcome:
    """What one fit took and reached; errors are MAEs one step ahead and over the horizon.

    Attributes:
        seconds: Within `trainer.fit`.
        steps: Of the optimizer.
        network: The network's two errors.
        last: Those of repeating the last value.
    """

    seconds: float
    steps: int
    network: tuple[float, float]
    last: tuple[float, float]


def timed(fit: Callable[..., Any], *given: Any, **more: Any) -> float:
    """The seconds of a call."""
    begin = time.perf_counter()
    fit(*given, **more)
    return time.perf_counter() - begin


def by_command(name: str, seed: int, epochs: int) -> Outcome:
    """The recipe through the command line, whose table comes from the best checkpoint."""
    found: list[Any] = []

    class Timed(CLI):
        def fit(self, **arguments: Any) -> None:
            found.extend((timed(self.trainer.fit, **arguments), self.trainer.global_step))

        def after_fit(self) -> None:
            super().after_fit()
            path = Path(run_folder(str(self.trainer.ckpt_path)), "forecasts.json")
            for line in json.loads(path.read_text())["scores"][:2]:  # the network, the last value
                found.append((line["one_step_mae"], line["mae"]))

    with silent_folder() as folder:
        more = [f"--seed_everything={seed}", f"--trainer.max_epochs={epochs}", "--trainer.accelerator=cpu"]
        main(["fit", "--config=series", *FITS[name], *more, f"--trainer.logger.save_dir={folder}"], Timed)
    return Outcome(*found)


def data_of(name: str) -> TimeSeries:
    """The data module that the recipe makes of the same arguments."""
    pairs = dict(typed.removeprefix("--data.").split("=") for typed in FITS[name])
    arguments: dict[str, Any] = {key: int(value) if value.isdecimal() else value for key, value in pairs.items()}
    return TimeSeries(**arguments, batch_size=BATCH)


def by_python(data: TimeSeries, seed: int, epochs: int) -> Outcome:
    """The recipe's training alone; the weights are the last ones."""
    with silent_folder():
        seed_everything(seed)
        optimizer = partial(torch.optim.Adam, lr=RATE)
        settings: dict[str, Any] = {"cell": "lstm", "hidden_size": HIDDEN, "init": "glorot", "optimizer": optimizer}
        model = Seq2Seq(data.input_size, data.output_size, **settings)
        trainer = Trainer(max_epochs=epochs, **ALONE)
        seconds = timed(trainer.fit, model, datamodule=data)
        scores = compare(model.eval().net, data).scores[:2]  # the network, the last value
    return Outcome(seconds, trainer.global_step, *((score.one_step_mae, score.mae) for score in scores))


def by_darts(data: TimeSeries, alike: bool, seed: int, epochs: int) -> Outcome:
    """Darts' RNNModel; the weights are the last ones."""
    import pytorch_lightning

    seconds = 0.0

    class Timed(pytorch_lightning.Trainer):
        def fit(self, *given: Any, **more: Any) -> None:
            nonlocal seconds
            seconds = timed(super().fit, *given, **more)

    with silent_folder():
        torch.manual_seed(seed)
        prepared = Prepared(data, alike)
        model, trainer = rnn_model(data, seed), Timed(max_epochs=epochs, **ALONE)
        read, known = prepared.training()
        covariates = None if known is None else as_darts(known)
        model.fit(as_darts(read), future_covariates=covariates, trainer=trainer, stride=data.stride)
        errors = [torch.cat(parts) for parts in zip(*backtested(model, prepared), strict=True)]  # 2 of (B, N)
    maes = ((float(error[:, 0].nanmean()), float(error.nanmean())) for error in errors)
    return Outcome(seconds, trainer.global_step, *maes)


def contestants(data: TimeSeries, name: str) -> dict[str, Callable[[int, int], Outcome]]:
    """Fits by their names in the table; each takes a seed and a number of epochs."""
    return {
        "recipe `series`, command line": partial(by_command, name),
        "recipe `series`, training alone": partial(by_python, data),
        "Darts, same inputs": partial(by_darts, data, True),
        "Darts, values only scaled": partial(by_darts, data, False),
    }


def compared(name: str, seeds: int) -> dict[str, list[Outcome]]:
    """Runs all contestants in turn, seed by seed, and checks that they forecast from the same origins."""
    fits = contestants(data_of(name), name)
    for fit in fits.values():
        fit(0, 1)  # the first fit of a process also includes imports and cache misses
    found: dict[str, list[Outcome]] = {who: [] for who in fits}
    for seed in range(seeds):
        for who, fit in fits.items():
            found[who].append(outcome := fit(seed, EPOCHS))
            print(f"{name}, seed {seed}: {who}: {outcome}", flush=True)
            expected = next(iter(found.values()))[0].last
            assert np.allclose(outcome.last, expected, rtol=1e-6, atol=0), f"other origins: {outcome.last}, {expected}"
    return found


def rows_of(name: str, found: dict[str, list[Outcome]]) -> Iterator[tuple[str, ...]]:
    """The rows of a series in the table."""
    for at, (who, outcomes) in enumerate(found.items()):
        seconds, steps = [outcome.seconds for outcome in outcomes], outcomes[0].steps
        median = statistics.median(seconds)
        errors = (spread([outcome.network[which] for outcome in outcomes], ".3f") for which in (0, 1))
        times = (f"{median:.2f} ({min(seconds):.2f} to {max(seconds):.2f})", f"{1e3 * median / steps:.1f}")
        yield ("" if at else SERIES[name], who, *errors, *times, str(steps))


def run(options: argparse.Namespace) -> None:
    for package in ("lightning.pytorch", "pytorch_lightning"):
        logging.getLogger(package).setLevel(logging.ERROR)
    before = os.getcwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            write()
            found = {name: compared(name, options.seeds) for name in options.series}
        finally:
            os.chdir(before)
    head = ("series", "contestant", "MAE one step ahead", "MAE over the horizon", "training s", "ms a step", "steps")
    text = markdown(head, [row for name in found for row in rows_of(name, found[name])])
    results = {name: {who: [asdict(o) for o in all_] for who, all_ in some.items()} for name, some in found.items()}
    publish(options, "darts", text, darts=results)


if __name__ == "__main__":
    parser = options_of(__doc__)
    parser.add_argument("--seeds", type=int, default=3, help="seeds 0, 1, ... of each fit")
    parser.add_argument("--series", nargs="+", choices=SERIES, default=list(SERIES), help="which series")
    options = parser.parse_args()
    if missing := [name for name in ("darts", "pytorch_lightning") if importlib.util.find_spec(name) is None]:
        sys.exit(f'error: Darts needs {" and ".join(missing)}: pip install "darts[torch]"')
    run(options)
