"""What is run: every system of the tutorial, every recipe, and the tasks of long memory; with the published figures."""

from collections.abc import Iterator
from dataclasses import dataclass

from rnn_lightning.data import CopyMemory
from rnn_lightning.recipes import recipes

CELLS = {
    "rnn": ("tanh RNN", "cell=rnn", "nonlinearity=tanh", "init=glorot"),
    "irnn": ("IRNN", "cell=rnn", "nonlinearity=relu", "init=identity"),
    "gru": ("GRU", "cell=gru", "init=glorot"),
    "lstm": ("LSTM", "cell=lstm", "init=glorot"),
}
"""Short name to the name in the tables and the model's arguments."""

LEARNING_RATES = {
    "adding": {"rnn": 0.001, "irnn": 0.001, "gru": 0.01, "lstm": 0.01},
    "copying": {"rnn": 0.001, "irnn": 0.0005, "gru": 0.01, "lstm": 0.005},
}
"""Of Adam, by long task and cell: the best of a few; plain networks need smaller steps than gated ones."""

CLIPPING = 0.1
"""The bound of the gradient in the recipes of the long tasks, which under tbptt is an argument of the module."""

REACHES = {"full": "whole sequence", "above": "truncated, above the gap", "below": "truncated, below the gap"}


@dataclass(frozen=True)
class Run:
    """One fit by the command line.

    Attributes:
        name: Of the system; with the seed it names the run.
        seed: What `seed_everything` gets.
        arguments: Of `fit`, without the seed and the folder.
        mnist: Whether it reads MNIST.
        predicts: Whether its predictions are drawn.
    """

    name: str
    seed: int
    arguments: tuple[str, ...]
    mnist: bool = False
    predicts: bool = False

    @property
    def key(self) -> str:
        """Under which its result is kept."""
        return f"{self.name}/{self.seed}"


@dataclass(frozen=True)
class Printed:
    """A system of the tutorial with what it printed, and what the same code gave when it was run again.

    Attributes:
        section: Of the tutorial.
        system: In words.
        measure: What was measured, in words.
        name: Of our run.
        metric: Which of our validation metrics stands beside the printed one.
        every: Epochs of ours from one printed figure to the next.
        at: Where the figures stand, as the table's columns.
        printed: The tutorial's figures.
        again: Those of its code under TensorFlow 2.15, seed 42; empty where it cannot run there.
    """

    section: str
    system: str
    measure: str
    name: str
    metric: str
    every: int
    at: tuple[str, ...]
    printed: tuple[float, ...]
    again: tuple[float, ...]


_HUNDREDS = tuple(f"{i}00 steps" for i in range(1, 6))
PRINTED = (
    Printed(
        "1.3",
        "MNIST row by row, 150 tanh units",
        "validation accuracy",
        "mnist_rnn",
        "val/acc",
        1,
        tuple(f"epoch {i}" for i in range(1, 6)),
        (0.9322, 0.9530, 0.9520, 0.9606, 0.9730),
        (0.9266, 0.9474, 0.9480, 0.9570, 0.9596),
    ),
    Printed(
        "1.4.2",
        "the series one step ahead, 100 relu units",
        "MSE",
        "sine_seq2seq",
        "val/loss",
        1,
        _HUNDREDS,
        (0.5057, 0.1974, 0.1012, 0.0685, 0.0629),
        (0.699, 0.241, 0.148, 0.083, 0.072),
    ),
    Printed(
        "1.4.3",
        "the same by an output projection, here the same network",
        "MSE",
        "sine_seq2seq",
        "val/loss",
        1,
        _HUNDREDS,
        (0.5258, 0.1496, 0.0728, 0.0616, 0.0594),
        (),
    ),
    Printed(
        "2.2",
        "three tanh layers of 100, 70 % of input and state dropped in training",
        "MSE",
        "sine_deep_dropout_document",
        "val/loss",
        3,
        tuple(f"{i} steps" for i in (300, 600, 900, 1200)),
        (10.9267, 12.2163, 14.6663, 14.5340),
        (11.6, 9.5, 11.5, 5.5),
    ),
)

DRAWN = ("sine_seq2seq", "sine_deep_dropout_document")
"""The systems whose predictions the tutorial draws."""

SECTIONS = (3, 5)
"""Into how many sections the tutorial cuts a sequence, for instance (1.2)."""


def _tutorial() -> Iterator[tuple[str, tuple[str, ...]]]:
    """The systems of the tutorial that are no recipe of ours: truncated BPTT in sections, gradients summed over them."""
    for sections in SECTIONS:
        k1 = -(-20 // sections)
        yield f"sine_sections_{sections}", ("--config=sine_seq2seq", f"--model.tbptt={{k1: {k1}, step_every: batch}}")


def long_name(task: str, cell: str, reach: str, steps: int) -> str:
    """The name of a system of the long tasks."""
    return f"{task}_{cell}_{reach}_T{steps}"


def solved_below(task: str, steps: int) -> float:
    """The loss at which a long task counts as solved.

    Adding: errors of 0.04 on average, what Hochreiter & Schmidhuber ask for. Copying: a tenth of the baseline.
    """
    return 0.0016 if task == "adding" else CopyMemory(delay=steps).baseline / 10


def _long(task: str, cell: str, reach: str, steps: int, full: bool) -> tuple[str, ...]:
    """The arguments of one fit of a long task."""
    length, total = ("n_steps", steps) if task == "adding" else ("delay", steps + 20)
    chosen = [f"--model.{argument}" for argument in CELLS[cell][1:]]
    chosen.append(f"--model.optimizer.lr={LEARNING_RATES[task][cell]}")
    if reach != "full":
        # Adding: the first mark lies T/2 to T steps before the answer. Copying: T + 10 steps, whatever the symbol.
        above = (total // 4, 3 * total // 4) if task == "adding" else (total // 2, total)
        k1, k2 = (total // 4, total // 4) if reach == "below" else above
        tbptt = f"{{k1: {k1}, k2: {k2}, gradient_clip_val: {CLIPPING}}}"
        chosen += ["--trainer.gradient_clip_val=null", f"--model.tbptt={tbptt}"]
    if full:
        chosen.append("--trainer.callbacks=null")  # to the end of the budget
    else:
        chosen.append(f"--trainer.callbacks.stopping_threshold={solved_below(task, steps):.4g}")
    epochs = EPOCHS_FULL if full else EPOCHS[task][steps]
    return (f"--config={LONG[task]}", f"--data.{length}={steps}", f"--trainer.max_epochs={epochs}", *chosen)


LONG = {"adding": "adding_problem", "copying": "copy_memory"}
"""The long tasks and their recipes."""

EPOCHS = {"adding": {50: 50, 100: 50}, "copying": {50: 30, 100: 15}}
"""Of a hundred batches each, by task and T, unless everything is run: within the half hour that there is."""

EPOCHS_FULL = 100
"""The same, if everything is run."""

RECIPES = tuple(name for name in recipes() if name not in LONG.values())
"""The recipes but those of the long tasks, which have tables of their own."""

ANSWERS = {
    "mnist_rnn": "1.3, its own",
    "mnist_lstm": "1.3 and 3, ours",
    "mnist_gru": "1.3 and 3, ours",
    "mnist_tbptt": "1.2 and 1.3, ours",
    "sine_seq2seq": "1.4.2 and 1.4.3, its own",
    "sine_long": "1.4.2 and 1.4.3, ours",
    "sine_tbptt": "1.2 and 1.4.2, ours",
    "sine_stream": "1.2 and 1.4.2, ours",
    "sine_deep": "2.1, ours",
    "sine_deep_dropout_document": "2.2, its own",
    "sine_deep_dropout": "2.2, ours",
}
"""Recipe to the tutorial's section whose system it is."""


def lengths(full: bool) -> tuple[int, ...]:
    """The T of the long tasks."""
    return (50, 100, 200) if full else (50, 100)


def seeds(full: bool) -> tuple[int, ...]:
    """The seeds of every system."""
    return (0, 1, 2) if full else (0,)


def plan(full: bool) -> list[Run]:
    """All runs, the tutorial's and the recipes first.

    Args:
        full: Whether everything is run: three seeds, T = 200 too, and the long tasks to the end of a long budget.
    """
    systems: list[tuple[str, tuple[str, ...]]] = [(name, (f"--config={name}",)) for name in RECIPES]
    systems += _tutorial()
    for task in LONG:
        for steps in lengths(full):
            for reach in REACHES:
                systems += [
                    (long_name(task, cell, reach, steps), _long(task, cell, reach, steps, full)) for cell in CELLS
                ]
    return [
        Run(name, seed, arguments, name.startswith("mnist"), name in DRAWN)
        for name, arguments in systems
        for seed in seeds(full)
    ]
