"""Compares the recipe `series` with Darts' RNNModel: the same series, split, network, epochs, and origins of forecasts.

    pip install "darts[torch]" statsmodels vega_datasets    # the last two for their data files
    OMP_NUM_THREADS=1 python scripts/benchmark_darts.py --seeds 3 --page docs/time_series.md

All contestants train an LSTM of 64 units for 10 epochs, with Adam (0.003), batches of 32 windows, and clipping at 1:

- the recipe as the command line runs it: with a validation that chooses the epoch, checkpoints, progress bar, TensorBoard
  and the callbacks that draw into it;
- the same without these callbacks, as Darts has nothing like them;
- Darts' RNNModel with a validation that chooses the epoch, checkpoints, progress bar, and TensorBoard. Its inputs are the
  same: differenced and scaled as by the recipe, with the calendar as future covariates. Only missing values differ, as
  Darts cannot read them. For Darts, they are interpolated up to each origin, and count in training. Ours carries the
  last value forward, adds a flag, and does not count them;
- the recipe and Darts once more, bare: they train and do nothing else, and the last weights are kept;
- both bare on plain values, which are only scaled: no differences, no calendar.

All train on the same windows of the training part. With a stride, Darts counts them from the end of a series, so that
they begin at different steps. In validation, Darts scores every window, so that most values count often; ours counts each
value once. Initial weights differ, too: the recipe's are Glorot's, Darts' are those of torch.nn.LSTM.

Times are those within `trainer.fit`. All forecasts begin at the origins of our backtest, and read the same number of
values before them. The script fails if the last value does not have the same errors on both sides.
"""

import argparse
import importlib.util
import json
import logging
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from darts_case import ALONE, BATCH, EPOCHS, Prepared, backtested, rnn_model
from measure import NO_CALLBACKS, fit, in_temporary_folder, median_of, options_of, publish, silent, timed
from own_files import write_series
from pages import markdown, spread
from plan import PLAN

from rnn_lightning.data.series import TimeSeries, compare

SERIES = {
    "series/co2": "weekly CO2, 52 weeks",
    "series/elnino": "monthly sea temperatures, 12 months",
    "series/temps": "hourly temperatures of two cities, 24 hours",
}


class Outcome(NamedTuple):
    """What one fit took and reached; errors are MAEs one step ahead and over the horizon."""

    seconds: float  # within `trainer.fit`
    steps: int  # of the optimizer
    network: tuple[float, float]
    last: tuple[float, float]  # by repeating the last value


def by_command(name: str, others: list[str], seed: int, epochs: int) -> Outcome:
    """The recipe through the command line, with these other arguments.

    The weights are those of the best epoch; without checkpoints, the last ones.
    """
    more = [f"--seed_everything={seed}", f"--trainer.max_epochs={epochs}", "--trainer.accelerator=cpu"]
    with silent():
        seconds, run = fit([*PLAN["own_data"][name], *others, *more])
    scores = compare(run.model.eval().net, run.datamodule).scores[:2]  # the network's, and the last value's
    return Outcome(seconds, run.trainer.global_step, *((score.one_step_mae, score.mae) for score in scores))


def data_of(name: str, **more: Any) -> TimeSeries:
    """The data module that the recipe makes of the same arguments, and more of them."""
    _, *typed = PLAN["own_data"][name]  # after the recipe
    pairs = (argument.removeprefix("--data.").split("=") for argument in typed)
    arguments: dict[str, Any] = {key: int(value) if value.isdecimal() else value for key, value in pairs}
    return TimeSeries(**arguments, **more, batch_size=BATCH)


def by_darts(data: TimeSeries, alone: bool, seed: int, epochs: int) -> Outcome:
    """Darts' RNNModel; the weights are the last ones if `alone`, else those of the best epoch."""
    import pytorch_lightning
    from pytorch_lightning.callbacks import ModelCheckpoint
    from pytorch_lightning.loggers import TensorBoardLogger

    seconds = 0.0

    class Timed(pytorch_lightning.Trainer):
        def fit(self, *given: Any, **more: Any) -> None:
            nonlocal seconds
            seconds = timed(super().fit, *given, **more)

    with tempfile.TemporaryDirectory() as folder, silent():
        settings, validation = ALONE, {}
        prepared, model = Prepared(data), rnn_model(data, seed)
        (values, known), (val_values, val_known) = prepared.part("train"), prepared.part("val")
        if not alone:
            best = ModelCheckpoint(folder, monitor="val_loss", save_last=True)
            more = {"logger": TensorBoardLogger(folder), "callbacks": [best], "log_every_n_steps": 10}
            settings = {"accelerator": "cpu", "gradient_clip_val": ALONE["gradient_clip_val"], **more}
            validation = {"val_series": val_values, "val_future_covariates": val_known, "load_best": True}
        trainer = Timed(max_epochs=epochs, **settings)
        model.fit(values, future_covariates=known, trainer=trainer, stride=data.stride, **validation)
        errors = [torch.cat(parts) for parts in zip(*backtested(model, prepared), strict=True)]  # 2 of (B, N)
    maes = ((float(error[:, 0].nanmean()), float(error.nanmean())) for error in errors)
    return Outcome(seconds, trainer.global_step, *maes)


def contestants(name: str) -> dict[str, Callable[[int, int], Outcome]]:
    """Fits by their names in the table; each takes a seed and a number of epochs."""
    bare = [*NO_CALLBACKS, *(f"--trainer.{name}={json.dumps(value)}" for name, value in ALONE.items())]
    data, plain = data_of(name), data_of(name, difference="none", calendar=False)
    return {
        "recipe `series`": partial(by_command, name, []),
        "recipe `series`, no pictures": partial(by_command, name, NO_CALLBACKS),
        "Darts": partial(by_darts, data, False),
        "recipe `series`, bare": partial(by_command, name, bare),
        "Darts, bare": partial(by_darts, data, True),
        "recipe `series`, bare, plain values": partial(
            by_command, name, [*bare, "--data.difference=none", "--data.calendar=false"]
        ),
        "Darts, bare, plain values": partial(by_darts, plain, True),
    }


def compared(name: str, seeds: int) -> dict[str, list[Outcome]]:
    """Runs all contestants in turn, seed by seed, and checks that they forecast from the same origins."""
    fits = contestants(name)
    for run in fits.values():
        run(0, 1)  # the first fit of a process also includes imports and cache misses
    found: dict[str, list[Outcome]] = {who: [] for who in fits}
    for seed in range(seeds):
        for who, run in fits.items():
            found[who].append(outcome := run(seed, EPOCHS))
            print(f"{name}, seed {seed}: {who}: {outcome}", flush=True)
            expected = next(iter(found.values()))[0].last
            assert np.allclose(outcome.last, expected, rtol=1e-6, atol=0), f"other origins: {outcome.last}, {expected}"
    return found


def rows_of(name: str, found: dict[str, list[Outcome]]) -> Iterator[tuple[str, ...]]:
    """The rows of a series in the table."""
    for at, (who, outcomes) in enumerate(found.items()):
        seconds, steps = [outcome.seconds for outcome in outcomes], outcomes[0].steps
        errors = (spread([outcome.network[which] for outcome in outcomes], ".3f") for which in (0, 1))
        a_step = f"{1e3 * statistics.median(seconds) / steps:.1f}"
        yield ("" if at else SERIES[name], who, *errors, median_of(seconds, ".2f"), a_step, str(steps))


def run(options: argparse.Namespace) -> None:
    logging.disable(logging.INFO)  # what each trainer says at its start
    with in_temporary_folder():
        write_series()
        found = {name: compared(name, options.seeds) for name in options.series}
    head = ("series", "contestant", "MAE one step ahead", "MAE over the horizon", "training s", "ms a step", "steps")
    publish(options, "darts", markdown(head, [row for name in found for row in rows_of(name, found[name])]))


if __name__ == "__main__":
    parser = options_of(__doc__)
    parser.add_argument("--seeds", type=int, default=3, help="seeds 0, 1, ... of each fit")
    parser.add_argument("--series", nargs="+", choices=SERIES, default=list(SERIES), help="which series")
    options = parser.parse_args()
    if missing := [name for name in ("darts", "pytorch_lightning") if importlib.util.find_spec(name) is None]:
        sys.exit(f'error: {" and ".join(missing)} not found, which this compares with: pip install "darts[torch]"')
    run(options)
