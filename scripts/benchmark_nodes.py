"""Measures the time of a training step on two nodes on this machine's loopback, and how much of it is communication.

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
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import torch
from measure import NO_CALLBACKS, QUIET, alternate, child, fit, median_of, options_of, publish
from pages import markdown

SETTINGS = [
    *QUIET,
    *NO_CALLBACKS,
    "--trainer.devices=1",
    "--trainer.max_epochs=1",
    "--trainer.limit_val_batches=1",
    "--trainer.num_sanity_val_steps=0",
    "--trainer.profiler=simple",
]
WARM = 10
"""The first batches, which do not count."""


def worker(options: argparse.Namespace) -> None:
    """Runs a fit in this process, and prints its step time and number of parameters."""
    nodes = ["--trainer.num_nodes=2", "--trainer.strategy=ddp"] if "RANK" in os.environ else []
    mnist = options.worker.startswith("mnist")
    data = f"--data.data_dir={options.data_dir}" if mnist else f"--data.steps_per_epoch={options.batches}"
    batches = f"--trainer.limit_train_batches={options.batches}"
    _, run = fit([f"--config={options.worker}", *SETTINGS, batches, data, *nodes], test=False)
    times = run.trainer.profiler.recorded_durations["run_training_batch"]
    seconds = statistics.median(times[WARM:]) * len(times) / run.trainer.global_step
    print(json.dumps({"seconds": seconds, "parameters": sum(p.numel() for p in run.model.parameters())}))


def measure(recipe: str, kind: str, options: argparse.Namespace) -> dict[str, float]:
    """Runs one kind of run, and returns the result of the slower process."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    launcher = ["-m", "torch.distributed.run", "--nnodes=2", "--nproc_per_node=1", "--master_addr=127.0.0.1"]
    script = [__file__, "--worker", recipe, "--batches", str(options.batches), "--data_dir", options.data_dir]

    def process(rank: int) -> dict[str, float]:
        node = [*launcher, f"--master_port={port}", f"--node_rank={rank}"] if kind == "nodes" else []
        found: dict[str, float] = child(*node, *script, OMP_NUM_THREADS="1")
        return found

    with ThreadPoolExecutor() as pool:
        return max(pool.map(process, range(1 if kind == "one" else 2)), key=lambda result: result["seconds"])


def run(options: argparse.Namespace) -> None:
    """Measures all recipes and kinds of runs, in turn, and publishes the table."""
    kinds = ("one", "apart", "nodes")
    cases = {
        f"{recipe}, {kind}": partial(measure, recipe, kind, options) for recipe in options.recipes for kind in kinds
    }
    results = alternate(cases, options.rounds)
    rows = []
    for recipe in options.recipes:
        times = [[1e3 * found["seconds"] for found in results[f"{recipe}, {kind}"]] for kind in kinds]
        one, apart, nodes = map(statistics.median, times)
        parameters = results[f"{recipe}, one"][0]["parameters"]
        shares = (f"{nodes - apart:.2f} ms, {(nodes - apart) / nodes:.0%}", f"{apart / nodes:.0%}")
        rows.append(
            (f"`{recipe}`", f"{parameters:,}", f"{one:.2f}", f"{apart:.2f}", median_of(times[2], ".2f"), *shares)
        )
    head = ("recipe", "parameters", "ms a step: one process", "two apart", "two nodes", "communication", "efficiency")
    publish(options, "nodes", markdown(head, rows))


if __name__ == "__main__":
    parser = options_of(__doc__)
    parser.add_argument("--recipes", nargs="+", default=["sine_tbptt", "mnist_rnn"])
    parser.add_argument("--batches", type=int, default=60, help="batches in each fit")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--data_dir", type=os.path.abspath, default="data", help="the folder of MNIST's files")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    (run if options.worker is None else worker)(options)
