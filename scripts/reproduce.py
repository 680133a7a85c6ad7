"""Runs every recipe, every system of the tutorial and the long-memory tasks, and writes the results into the docs.

    python scripts/reproduce.py --data_dir data           # the recipes and the tutorial's systems, three seeds
    python scripts/reproduce.py --data_dir data --full    # also long memory, pixels and the reach of gradients

`reproduction.yaml` lists the runs. Fits use the package's own command line, with one thread each, `--jobs` at a time.
Each result is saved in `docs/reproduction.json` at once, so you can kill the command at any time and rerun it to
continue. A fit whose settings have changed, in the plan or in its recipe, is run again. Without MNIST's files, the MNIST
systems are left out.
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
import subprocess
import sys
import threading
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from datetime import datetime, timezone
from fnmatch import fnmatch
from multiprocessing import get_context, parent_process
from pathlib import Path
from typing import Any

import measure
import tables
import torch
from plan import PLAN, RESULTS, ROOT, Result, Run, dump, load, plan, result_of
from step_cost import StepCost

from rnn_lightning import __version__
from rnn_lightning.cli import main
from rnn_lightning.data.mnist_files import SHA256, find_file
from rnn_lightning.files import write_atomically


def prepare_process() -> None:
    """Makes a process compute on one thread, as small networks gain nothing from more, and print only warnings.

    The process ends with the one that collects the results, as its own would be lost.
    """
    torch.set_num_threads(1)
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = parent_process()
    assert parent is not None, "a process of the pool has one"
    parent.join()
    os._exit(1)


def fit(run: Run, data_dir: str) -> Result:
    """Fits one system in a temporary folder.

    Times are processor times: other work on the machine hardly changes them, and on one thread they equal the times on
    an idle machine.

    Returns:
        `arguments`, `settings` (a digest of the recipe and the arguments), and `whole`, the seconds of processor time.
        Then either `error`, the message about a loss that became NaN or infinite; or `seconds` of processor time in the
        fit alone, `epochs`, `steps` of the optimizer, `batches`, `parameters`, `validation` by epoch, `test` of the
        best checkpoint, the cost of a batch (`StepCost.result`), and `predictions` if they are drawn.

    Raises:
        RuntimeError: The command line refused the run for another reason.
    """
    begin, errors = time.process_time(), io.StringIO()
    known = {"arguments": list(run.arguments), "settings": run.settings}
    common = [*measure.QUIET, *([f"--data.data_dir={Path(data_dir).absolute()}"] if run.mnist else [])]
    logger = {"save_dir": "runs", "name": run.name, "version": "run"}
    logged = ["--trainer.logger=CSVLogger", *(f"--trainer.logger.{key}={value}" for key, value in logger.items())]
    with (
        measure.in_temporary_folder(),
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(errors),
    ):
        cost = StepCost()
        try:
            arguments = [*run.arguments, *logged, f"--seed_everything={run.seed}", *common]
            seconds, done = measure.fit(arguments, cost, clock=time.process_time)
        except SystemExit as end:
            line = (errors.getvalue().strip().splitlines() or [f"exit {end.code}"])[-1]
            if "loss is" not in line:  # the network did not cause this error
                raise RuntimeError(f"{run.key}: {line}") from end
            return {**known, "error": line, "whole": round(time.process_time() - begin, 2)}
        trainer, own = done.trainer, Path("runs", run.name, "run")
        rows = [row for row in _rows(own / "metrics.csv") if row.get("val/loss")]
        names = [name for name in rows[0] if name.startswith("val/") and all(row[name] for row in rows)]
        result = {
            **known,
            "seconds": round(seconds, 2),
            "epochs": trainer.current_epoch,
            "steps": trainer.global_step,
            "batches": trainer.fit_loop.total_batch_idx + 1,
            **cost.result(),
            "parameters": sum(p.numel() for p in done.model.parameters()),
            "test": {k: _short(v) for k, v in trainer.callback_metrics.items() if k.startswith("test/")},
            "validation": {name: [_short(row[name]) for row in rows] for name in names},
        }
        if run.predicts:
            last = own / "checkpoints" / "last.ckpt"
            main(["predict", f"--config={own / 'config.yaml'}", f"--ckpt_path={last}", *common])
            rows = _rows(own / "predictions.csv")
            result["predictions"] = {k: [_short(row[k]) for row in rows] for k in ("x_0", "y", "prediction")}
    return {**result, "whole": round(time.process_time() - begin, 2)}


def fit_before(end: float, run: Run, data_dir: str) -> Result | None:
    """Fits one system, or returns None if the time `end` is over."""
    return fit(run, data_dir) if time.time() < end else None


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


def _short(number: Any) -> float:
    """Rounds a number to six digits, as more would be meaningless and make the file of results long."""
    return float(f"{float(number):.6g}")


def here() -> dict[str, Any]:
    """Returns the machine and the versions of the software."""
    versions = {"python": platform.python_version(), "lightning": importlib.metadata.version("lightning")}
    about = {key: value for key, value in measure.machine().items() if key != "threads"}
    return {**about, **versions, "rnn_lightning": __version__}


def code() -> str:
    """Returns the last commit that changed more than recipes, with a plus for later changes; "unknown" without git."""
    package = ("--", "rnn_lightning", ":!rnn_lightning/configs")

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(ROOT), *arguments, *package]
        return subprocess.run(command, capture_output=True, text=True).stdout.strip()

    return git("log", "-1", "--format=%h") + "+" * bool(git("status", "--porcelain")) or "unknown"


def chosen(
    full: bool, only: list[str] | None, data_dir: str, state: dict[str, Any], seeds: int | None = None, renew: str = ""
) -> list[Run]:
    """Returns the runs to do now.

    Args:
        full: Whether to include the runs that only run with `--full`.
        only: Names or patterns of systems; None for all.
        data_dir: The folder of MNIST's files.
        state: The results so far.
        seeds: How many seeds; None for all.
        renew: A commit. Runs measured at any other commit are repeated; if empty, none are.
    """
    runs = list(plan(full or only is not None))
    names = sorted({run.name for run in runs})
    for pattern in only or []:
        if not any(fnmatch(name, pattern) for name in names):
            sys.exit(f"error: --only {pattern} is not a system; the systems are {', '.join(names)}")
    runs = [run for run in runs if not only or any(fnmatch(run.name, pattern) for pattern in only)]
    runs = [run for run in runs if run.seed in PLAN["seeds"][:seeds]]
    if any(run.mnist for run in runs) and not all(find_file(Path(data_dir).expanduser(), name) for name in SHA256):
        print(f"No MNIST in {data_dir}: its systems are left out. Give the folder of its files as --data_dir")
        runs = [run for run in runs if not run.mnist]
    done = {run.key: result_of(state, run) for run in runs}
    return [run for run in runs if (result := done[run.key]) is None or (renew and result["code"] != renew)]


def expected(run: Run, state: dict[str, Any]) -> float:
    """Estimates the seconds of a run: the mean over results of its system, else of its group, else of all systems."""
    times = {key: result["whole"] for key, result in state["runs"].items()}
    groups = {other.key: other.group for other in plan()}
    same = [seconds for key, seconds in times.items() if key.startswith(f"{run.name}/")]
    alike = [seconds for key, seconds in times.items() if groups.get(key, "none") == run.group]
    return statistics.fmean(same or alike or times.values() or [60.0])


def carry_out(
    runs: list[Run], state: dict[str, Any], jobs: int, data_dir: str, results: Path, minutes: float = float("inf")
) -> None:
    """Runs the fits, `jobs` at a time, saves each result as it comes, and prints how long the rest will take.

    After `minutes` minutes, no further fit begins.
    """
    about = {"code": code(), "machine": _place(state)} if runs else {}
    left, total, start, spent = list(runs), len(runs), time.time(), 0.0
    pool = ProcessPoolExecutor(jobs, mp_context=get_context("spawn"), initializer=prepare_process)
    try:
        futures = {pool.submit(fit_before, start + 60 * minutes, run, data_dir): run for run in runs}
        for future in as_completed(futures):
            run, result = futures[future], future.result()
            if result is None:
                continue
            when = datetime.now(timezone.utc).strftime("%Y-%m-%d")
            state["runs"][run.key] = {**result, **about, "date": when}
            write_atomically(results, dump(state))
            left.remove(run)
            spent += result["whole"]
            rate = (time.time() - start) / spent  # wall-clock seconds per second of processor time
            rest = rate * sum(expected(other, state) for other in left) / 60
            found = result.get("error") or ", ".join(f"{name} {value:.4g}" for name, value in result["test"].items())
            place = f"{total - len(left)}/{total} {run.key}"
            print(f"{place}: {found} ({result['whole']:.0f} s); about {rest:.0f} min left", flush=True)
    except RuntimeError as error:
        sys.exit(f"error: {error}")
    finally:
        pool.shutdown(cancel_futures=True)
    if left:
        print(f"{len(left)} fits are left: run the same command again")


def _place(state: dict[str, Any]) -> int:
    """Returns this machine's number in the list of machines of the results, and adds the machine if it is new."""
    if here() not in state["machines"]:
        state["machines"].append(here())
    return int(state["machines"].index(here()))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--full", action="store_true", help="also long memory, pixels and the reach of gradients (takes hours)"
    )
    parser.add_argument("--only", action="append", metavar="NAME", help="a system, or a pattern such as 'adding_*'")
    parser.add_argument("--seeds", type=int, help="how many of the plan's seeds (default: all)")
    parser.add_argument("--renew", action="store_true", help="rerun fits that were measured at another commit")
    parser.add_argument("--data_dir", default="data", help="folder of the four MNIST files (default: data)")
    parser.add_argument(
        "--results", type=Path, default=RESULTS, help="file of results; the docs are always filled from the default"
    )
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="fits at a time (default: one per core)")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="begin no fit after so many minutes")
    options = parser.parse_args()
    if options.jobs < 1 or (options.seeds is not None and options.seeds < 1):
        parser.error("--jobs and --seeds must be 1 or more")
    state = load(options.results)
    renew = code() if options.renew else ""
    runs = chosen(options.full, options.only, options.data_dir, state, options.seeds, renew)
    carry_out(runs, state, options.jobs, options.data_dir, options.results, options.minutes)
    if options.results == RESULTS:
        tables.fill_all()
