"""Measures the cost of the callbacks that write to TensorBoard, by fits of `mnist_rnn` with all of them on and all off.

    python scripts/benchmark_callbacks.py --data_dir data

Fits are timed inside `trainer.fit`, as the command line runs it, with everything else on.
"""

import os
import statistics
from functools import partial

import measure
from benchmark_training import ours

from rnn_lightning.callbacks import TENSORBOARD_CALLBACKS

OFF, ON = "all off", "all callbacks on"

if __name__ == "__main__":
    parser = measure.options_of(__doc__)
    parser.add_argument("--data_dir", type=os.path.abspath, default="data", help="folder of the four MNIST files")
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--each", action="store_true", help="also measure each callback alone")
    options = parser.parse_args()
    settings = {OFF: measure.NO_CALLBACKS, ON: []}
    for name in TENSORBOARD_CALLBACKS if options.each else ():
        settings[f"{name} alone"] = [*measure.NO_CALLBACKS, f"--{name}.enabled=true"]
    ours(options.data_dir, 1)  # the first fit of a process also includes imports and cache misses
    fits = {name: partial(ours, options.data_dir, options.epochs, *more) for name, more in settings.items()}
    times = measure.alternate(fits, options.rounds)
    measure.publish(options, "callbacks", measure.table(times, OFF))
    ratios = [on / off for on, off in zip(times[ON], times[OFF], strict=True)]
    print(f"\nall on / all off, round by round: median {statistics.median(ratios):.3f}")
