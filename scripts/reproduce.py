"""Runs every system of the tutorial, every recipe and the tasks of long memory, and writes `docs/reproduction.md`.

    python scripts/reproduce.py --data_dir data     # --quick: one seed, T = 50 and 100, a long task stops when solved
    python scripts/reproduce.py --data_dir data --full

What is finished is kept in a JSON file beside the output, so the same command goes on where it was stopped. Fits go through
the package's own command line, one thread each, `--workers` at a time. Without MNIST's files its systems are left out.
"""

import argparse
import importlib.metadata
import json
import os
import platform
import sys
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from fnmatch import fnmatch
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from measure import machine
from reproduction.fit import fit, prepare_process
from reproduction.pictures import draw, has_mnist
from reproduction.report import render, usable
from reproduction.systems import Run, plan
from tqdm import tqdm  # type: ignore[import-untyped, unused-ignore]

from rnn_lightning import __version__

State = dict[str, Any]


def place(path: Path, text: str) -> None:
    """Writes beside `path`, then renames."""
    part = path.with_name(f"{path.name}.part")
    part.write_text(text)
    part.replace(path)


def dump(state: State) -> str:
    """The results as JSON, a fit a line."""
    runs = ",\n".join(f"  {json.dumps(key)}: {json.dumps(state['runs'][key])}" for key in sorted(state["runs"]))
    rest = json.dumps({key: value for key, value in state.items() if key != "runs"}, indent=1)
    return f'{rest[:-2]},\n "runs": {{\n{runs}\n }}\n}}\n'


def load(path: Path) -> State:
    """The results so far, or none."""
    try:
        found = json.loads(path.read_text()) if path.exists() else {}
    except (OSError, ValueError) as error:
        sys.exit(f"error: cannot read the results in {path} ({error}): mend or delete it")
    return {
        "command": "",
        "full": False,
        "workers": 1,
        "seconds": 0.0,
        "machines": [],
        "figures": [],
        "runs": {},
        **found,
    }


def here() -> dict[str, Any]:
    """The machine and the versions."""
    about = machine()
    versions = {"python": platform.python_version(), "lightning": importlib.metadata.version("lightning")}
    return {
        "cpu": about["cpu"],
        "cores": about["cores"],
        "torch": about["torch"],
        **versions,
        "rnn_lightning": __version__,
    }


def chosen(options: argparse.Namespace, state: State) -> list[Run]:
    """The runs that are to be done now."""
    runs = plan(options.full)
    if options.only:
        names = sorted({run.name for run in runs})
        for pattern in options.only:
            if not any(fnmatch(name, pattern) for name in names):
                sys.exit(f"error: --only {pattern} is no system; the systems are {', '.join(names)}")
        runs = [run for run in runs if any(fnmatch(run.name, pattern) for pattern in options.only)]
    if any(run.mnist for run in runs) and not has_mnist(options.data_dir):
        print(f"No MNIST in {options.data_dir}: its systems are left out; give the folder of its files as --data_dir")
        runs = [run for run in runs if not run.mnist]
    return [run for run in runs if usable(state, run) is None]


def carry_out(runs: list[Run], state: State, options: argparse.Namespace, results: Path) -> None:
    """Fits, `workers` at a time, and keeps each result as it comes."""
    before, start = state["seconds"], time.perf_counter()
    pool = ProcessPoolExecutor(options.workers, mp_context=get_context("spawn"), initializer=prepare_process)
    try:
        futures = {pool.submit(fit, run, options.data_dir): run for run in runs}
        with tqdm(total=len(runs), unit="fit") as bar:
            for future in as_completed(futures):
                run = futures[future]
                state["runs"][run.key] = future.result()
                state["seconds"] = round(before + time.perf_counter() - start, 1)
                place(results, dump(state))
                bar.set_postfix_str(run.key)
                bar.update()
    except RuntimeError as error:
        sys.exit(f"error: {error}")
    finally:
        pool.shutdown(cancel_futures=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    scope = parser.add_mutually_exclusive_group()
    scope.add_argument("--quick", action="store_true", help="one seed, T = 50 and 100, stop when solved (the default)")
    scope.add_argument("--full", action="store_true", help="three seeds, T = 200 too, no early stop: hours")
    scope.add_argument("--report", action="store_true", help="run nothing, write the report of the results again")
    parser.add_argument("--only", action="append", metavar="NAME", help="a system, or a pattern such as 'adding_*'")
    parser.add_argument("--data_dir", default="data", help="folder of the four MNIST files (default: data)")
    parser.add_argument(
        "--output", help="the report (default: docs/reproduction.md, --full: docs/reproduction_full.md)"
    )
    parser.add_argument("--workers", type=int, default=os.cpu_count(), help="fits at a time (default: one a core)")
    options = parser.parse_args()
    if options.workers < 1:
        parser.error("--workers must be 1 or more")
    output = Path(options.output or f"docs/reproduction{'_full' if options.full else ''}.md")
    results = output.with_suffix(".json")
    output.parent.mkdir(parents=True, exist_ok=True)
    state = load(results)
    if not options.report:
        if state["runs"] and state["full"] != options.full:
            other = "--full" if state["full"] else "--quick"
            sys.exit(f"error: {results} holds results of {other}, which would be lost: give another --output")
        command = f"python scripts/reproduce.py --{'full' if options.full else 'quick'} --data_dir DIR"
        state |= {"full": options.full, "command": command, "workers": options.workers}
        runs = chosen(options, state)
        if runs and here() not in state["machines"]:
            state["machines"].append(here())
        carry_out(runs, state, options, results)
    state["figures"] = draw(state, output.parent / "figures", options.data_dir)
    place(results, dump(state))
    place(output, render(state))
    print(f"Report: {output}")


if __name__ == "__main__":
    main()
