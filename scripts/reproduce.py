"""Runs every system of the tutorial, every recipe and the long-memory tasks, and writes the results into the docs.

    python scripts/reproduce.py --data_dir data           # the first seed, T = 50 and 100
    python scripts/reproduce.py --data_dir data --full    # three seeds, T = 200 too

`reproduction.yaml` lists the runs. Fits use the package's own command line, with one thread each, `--workers` at a
time. Each result is saved in `docs/reproduction.json` at once, so you can stop the command at any time and rerun it to
continue. Without MNIST's files, the MNIST systems are left out.
"""

import argparse
import contextlib
import csv
import importlib.metadata
import io
import logging
import os
import platform
import statistics
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from fnmatch import fnmatch
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import tables
import torch
from measure import machine
from plan import RESULTS, Result, Run, dump, load, plan, result_of

from rnn_lightning import __version__
from rnn_lightning.cli import CLI, main
from rnn_lightning.data.mnist_files import SHA256, find_file
from rnn_lightning.files import write_atomically


def prepare_process() -> None:
    """Makes a process compute on one thread, as small networks gain nothing from more, and print only warnings."""
    torch.set_num_threads(1)
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)


def fit(run: Run, data_dir: str) -> Result:
    """Fits one system in a temporary folder.

    Returns:
        `arguments` and `whole`, the seconds of processor time. Then either `error`, the message about a loss that
        became infinite; or `seconds` of processor time in the fit alone, `epochs`, `steps` of the optimizer, `batches`,
        `parameters`, `validation` by epoch, `test` of the best checkpoint, and `predictions` if they are drawn.

    Raises:
        RuntimeError: The command line refused the run for another reason.
    """
    result: Result = {"arguments": list(run.arguments)}
    begin = time.process_time()

    class Timed(CLI):
        """The command line, which also records how long the fit took and how far it got.

        Processor time: other work on the machine hardly changes it, and on one thread it equals the time on an idle
        machine.
        """

        def fit(self, **arguments: Any) -> None:
            start = time.process_time()
            self.trainer.fit(**arguments)
            result["seconds"] = round(time.process_time() - start, 2)
            result["epochs"], result["steps"] = self.trainer.current_epoch, self.trainer.global_step
            result["batches"] = self.trainer.fit_loop.total_batch_idx + 1
            result["parameters"] = sum(p.numel() for p in self.model.parameters())

        def after_fit(self) -> None:
            super().after_fit()
            metrics = self.trainer.callback_metrics
            result["test"] = {k: _short(v) for k, v in metrics.items() if k.startswith("test/")}

    errors = io.StringIO()
    with (
        tempfile.TemporaryDirectory() as folder,
        open(os.devnull, "w") as screen,
        contextlib.redirect_stdout(screen),
        contextlib.redirect_stderr(errors),
    ):
        common = ["--trainer.accelerator=cpu", "--trainer.enable_progress_bar=false"]
        common += ["--trainer.enable_model_summary=false"]
        common += [f"--data.data_dir={Path(data_dir).absolute()}"] if run.mnist else []
        logger = {"save_dir": folder, "name": run.name, "version": "run"}
        logged = ["--trainer.logger=CSVLogger", *(f"--trainer.logger.{key}={value}" for key, value in logger.items())]
        try:
            main(["fit", *run.arguments, *logged, f"--seed_everything={run.seed}", *common], Timed)
        except SystemExit as end:
            line = (errors.getvalue().strip().splitlines() or [f"exit {end.code}"])[-1]
            if "loss is" not in line:  # an error that is not the network's
                raise RuntimeError(f"{run.key}: {line}") from end
            return {"arguments": list(run.arguments), "error": line, "whole": round(time.process_time() - begin, 2)}
        own = Path(folder, run.name, "run")
        rows = [row for row in _rows(own / "metrics.csv") if row.get("val/loss")]
        result["validation"] = {k: [_short(row[k]) for row in rows] for k in ("val/loss", "val/acc") if k in rows[0]}
        if run.predicts:
            last = own / "checkpoints" / "last.ckpt"
            main(["predict", f"--config={own / 'config.yaml'}", f"--ckpt_path={last}", *common])
            rows = _rows(own / "predictions.csv")
            result["predictions"] = {k: [_short(row[k]) for row in rows] for k in ("x_0", "y", "prediction")}
    return {**result, "whole": round(time.process_time() - begin, 2)}


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


def _short(number: Any) -> float:
    """A number with six digits; more would be meaningless and make the file of results long."""
    return float(f"{float(number):.6g}")


def here() -> dict[str, Any]:
    """The machine and the versions."""
    versions = {"python": platform.python_version(), "lightning": importlib.metadata.version("lightning")}
    about = {key: value for key, value in machine().items() if key != "threads"}
    return {**about, **versions, "rnn_lightning": __version__}


def chosen(full: bool, only: list[str] | None, data_dir: str, state: dict[str, Any]) -> list[Run]:
    """The runs to do now."""
    runs = plan(full)
    names = sorted({run.name for run in runs})
    for pattern in only or []:
        if not any(fnmatch(name, pattern) for name in names):
            sys.exit(f"error: --only {pattern} is no system; the systems are {', '.join(names)}")
    runs = [run for run in runs if not only or any(fnmatch(run.name, pattern) for pattern in only)]
    if any(run.mnist for run in runs) and not all(find_file(Path(data_dir).expanduser(), name) for name in SHA256):
        print(f"No MNIST in {data_dir}: its systems are left out. Give the folder of its files as --data_dir")
        runs = [run for run in runs if not run.mnist]
    return [run for run in runs if result_of(state, run) is None]


def expected(run: Run, state: dict[str, Any]) -> float:
    """The estimated seconds of a run: the mean of the same system's other seeds, else of all systems."""
    times = {key: result["whole"] for key, result in state["runs"].items()}
    same = [seconds for key, seconds in times.items() if key.startswith(f"{run.name}/")]
    return statistics.fmean(same or times.values() or [60.0])


def carry_out(runs: list[Run], state: dict[str, Any], workers: int, data_dir: str, results: Path) -> None:
    """Fits, `workers` at a time, saves each result at once, and prints how long the rest will take."""
    start, done, left = time.perf_counter(), 0.0, list(runs)
    pool = ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=prepare_process)
    try:
        futures = {pool.submit(fit, run, data_dir): run for run in runs}
        for future in as_completed(futures):
            run = futures[future]
            state["runs"][run.key] = future.result()
            write_atomically(results, dump(state))
            left.remove(run)
            done += state["runs"][run.key]["whole"]
            rate = (time.perf_counter() - start) / done  # seconds of wall-clock time per second of processor time
            minutes = rate * sum(expected(other, state) for other in left) / 60
            print(f"{len(runs) - len(left)}/{len(runs)} {run.key}; about {minutes:.0f} min left", flush=True)
    except RuntimeError as error:
        sys.exit(f"error: {error}")
    finally:
        pool.shutdown(cancel_futures=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full", action="store_true", help="three seeds, T = 200 too: hours")
    parser.add_argument("--only", action="append", metavar="NAME", help="a system, or a pattern such as 'adding_*'")
    parser.add_argument("--data_dir", default="data", help="folder of the four MNIST files (default: data)")
    parser.add_argument("--results", type=Path, default=RESULTS, help="the results; the docs are filled from their own")
    parser.add_argument("--workers", type=int, default=os.cpu_count(), help="fits at a time (default: one per core)")
    options = parser.parse_args()
    if options.workers < 1:
        parser.error("--workers must be 1 or more")
    state = load(options.results)
    runs = chosen(options.full, options.only, options.data_dir, state)
    if runs and here() not in state["machines"]:
        state["machines"].append(here())
    carry_out(runs, state, options.workers, options.data_dir, options.results)
    if options.results == RESULTS:
        tables.fill_all()
