"""Measures the time of a training step on two nodes on this machine's loopback, and its share of communication.

    python scripts/benchmark_nodes.py --data_dir data --page docs/scaling_out.md

Whole fits run through the command line, with the recipe's batch in each process and one thread per process. There are
three kinds of runs: one process ("one"); two processes that run at the same time and exchange nothing ("apart"); and
two nodes that torchrun starts, over gloo ("nodes"). All kinds run in turn, in rounds. The time that "apart" takes
beyond "one" is due to the processor (shared memory and caches). The time that "nodes" takes beyond "apart" is
communication. The time of an optimizer step is the median over the slower process's batches, without the first ones.
"""

import argparse
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from measure import options_of, publish
from tables import markdown

from rnn_lightning.cli import CLI, main

QUIET = [
    "--trainer.accelerator=cpu",
    "--trainer.max_epochs=1",
    "--trainer.limit_val_batches=1",
    "--trainer.num_sanity_val_steps=0",
    "--trainer.enable_progress_bar=false",
    "--trainer.enable_model_summary=false",
    *[f"--{name}.enabled=false" for name in ("series_figures", "gradient_reach", "network_graph", "vital_signs")],
]
NODES = ["--trainer.num_nodes=2", "--trainer.devices=1", "--trainer.strategy=ddp"]
WARM = 10


class Clock(Callback):
    """Records when batches end, and the number of optimizer steps until then."""

    def __init__(self) -> None:
        self.ends: list[tuple[float, int]] = []
        self.parameters = 0

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any, **__: Any) -> None:
        """Records the end of a batch."""
        self.ends.append((time.perf_counter(), trainer.global_step))
        self.parameters = sum(p.numel() for p in pl_module.parameters())

    def seconds(self) -> float:
        """The median seconds per optimizer step."""
        pairs = list(zip(self.ends[WARM:], self.ends[WARM + 1 :], strict=False))
        return statistics.median((end - start) / (after - before) for (start, before), (end, after) in pairs)


def worker(options: argparse.Namespace) -> None:
    """Runs a fit in this process, and prints its step time and number of parameters."""
    clock = Clock()

    class Timed(CLI):
        def instantiate_trainer(self, **arguments: Any) -> Trainer:
            trainer = super().instantiate_trainer(**arguments)
            trainer.callbacks.append(clock)  # type: ignore[attr-defined]
            return trainer

        def after_fit(self) -> None:
            pass

    more = NODES if "RANK" in os.environ else ["--trainer.devices=1"]
    batches = [f"--trainer.limit_train_batches={options.batches}"]
    if options.worker.startswith("mnist"):
        batches.append(f"--data.data_dir={options.data_dir}")
    else:
        batches.append(f"--data.steps_per_epoch={options.batches}")
    main(["fit", f"--config={options.worker}", *QUIET, *batches, *more], Timed)
    print(json.dumps({"seconds": clock.seconds(), "parameters": clock.parameters}))


def measure(recipe: str, kind: str, options: argparse.Namespace) -> dict[str, float]:
    """Runs one kind of run, and returns the result of the slower process."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    script = [__file__, "--worker", recipe, "--batches", str(options.batches), "--data_dir", options.data_dir]
    with tempfile.TemporaryDirectory() as folder:
        processes = []
        for rank in range(1 if kind == "one" else 2):
            own = Path(folder, str(rank))
            own.mkdir()
            launcher = ["-m", "torch.distributed.run", "--nnodes=2", "--nproc_per_node=1", f"--node_rank={rank}",
                        "--master_addr=127.0.0.1", f"--master_port={port}"] if kind == "nodes" else []  # fmt: skip
            command = [sys.executable, *launcher, *script]
            processes.append(
                subprocess.Popen(
                    command, cwd=own, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
                )
            )
        found = []
        for process in processes:
            out, err = process.communicate()
            if process.returncode != 0:
                raise RuntimeError(f"{recipe}, {kind}: {err}")
            found.append(json.loads(out.splitlines()[-1]))
    return max(found, key=lambda result: result["seconds"])


def run(options: argparse.Namespace) -> None:
    """Measures all recipes and kinds of runs, in turn, and publishes the table."""
    results: dict[str, dict[str, list[dict[str, float]]]] = {}
    for _ in range(options.rounds):
        for recipe in options.recipes:
            for kind in ("one", "apart", "nodes"):
                found = measure(recipe, kind, options)
                results.setdefault(recipe, {}).setdefault(kind, []).append(found)
                print(f"{recipe}, {kind}: {1e3 * found['seconds']:.2f} ms", file=sys.stderr, flush=True)
    rows = []
    for recipe, kinds in results.items():
        times = {kind: statistics.median(1e3 * run["seconds"] for run in runs) for kind, runs in kinds.items()}
        spread = sorted(1e3 * run["seconds"] for run in kinds["nodes"])
        more = times["nodes"] - times["apart"]
        rows.append((
            f"`{recipe}`",
            f"{kinds['one'][0]['parameters']:,}",
            f"{times['one']:.2f}",
            f"{times['apart']:.2f}",
            f"{times['nodes']:.2f} ({spread[0]:.2f} to {spread[-1]:.2f})",
            f"{more:.2f} ms, {more / times['nodes']:.0%}",
            f"{times['apart'] / times['nodes']:.0%}",
        ))  # fmt: skip
    head = ("recipe", "parameters", "ms a step: one process", "two apart", "two nodes", "communication", "efficiency")
    publish(options, "nodes", markdown(head, rows), nodes=results)


if __name__ == "__main__":
    parser = options_of(__doc__)
    parser.add_argument("--recipes", nargs="+", default=["sine_tbptt", "mnist_rnn"])
    parser.add_argument("--batches", type=int, default=60, help="of each fit")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--data_dir", default="data", help="of MNIST")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    options = parser.parse_args()
    options.data_dir = os.path.abspath(options.data_dir)
    torch.set_num_threads(1)
    (run if options.worker is None else worker)(options)
