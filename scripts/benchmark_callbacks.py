"""Measures the cost of the TensorBoard callbacks: times the fit of `mnist_rnn` with all of them on, and all off.

    python scripts/benchmark_callbacks.py --data_dir data

Fits are timed inside `trainer.fit`, as the command line runs it, with everything else on (TensorBoard, progress,
checkpoints, metrics). `--each` also measures the callbacks one by one.
"""

import os
import statistics
from functools import partial

from benchmark_training import ours
from measure import alternate, options_of, publish, table

from rnn_lightning.callbacks import TENSORBOARD_CALLBACKS

ALL, NONE = "all callbacks on", "all off"


def only(*names: str) -> list[str]:
    """Returns the arguments that disable all callbacks except the named ones."""
    return [f"--{name}.enabled={str(name in names).lower()}" for name in TENSORBOARD_CALLBACKS]


if __name__ == "__main__":
    parser = options_of(__doc__)
    parser.add_argument("--data_dir", default="data", help="folder of the four MNIST files")
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--each", action="store_true", help="also measure each callback alone")
    options = parser.parse_args()
    settings = {
        NONE: only(),
        ALL: only(*TENSORBOARD_CALLBACKS),
        **{f"{name} alone": only(name) for name in TENSORBOARD_CALLBACKS if options.each},
    }
    fit = partial(ours, os.path.abspath(options.data_dir))
    fit(1)  # the first fit of a process also includes imports and cache misses
    times = alternate({name: partial(fit, options.epochs, *more) for name, more in settings.items()}, options.rounds)
    ratios = [on / off for on, off in zip(times[ALL], times[NONE], strict=True)]
    publish(options, "callbacks", table(times, NONE), callbacks=times)
    print(f"\nall on / all off, round by round: median {statistics.median(ratios):.3f}")
