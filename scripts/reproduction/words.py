"""The report's sentences, and the figures of other people's papers."""

WORDS = {
    "head": """
# The tutorial's results, again

Written by `{command}`: change nothing here by hand. Each number comes from a fit through the package's command
line, kept in [reproduction.json](reproduction.json); the same command goes on where it was stopped, and
`--report` only writes this file again.

- {fits} fits, {seeds}.{missing} Where there are several seeds: their mean, and their range.
- Machine: {machines}.
- Each fit ran on one thread, {workers} at a time (one a core is the default). Seconds are processor time of a fit
  with its validations: what it takes where nothing else runs. All together: {minutes} minutes of processor time,
  here {clock} by the clock, beside other work.
""",
    "tutorial": """
## The tutorial's systems

In its exact settings, by the recipes of this package. The tutorial prints the loss of a training batch right
after a step on it; ours is on 10,000 held-out windows, or on the 5,000 validation images. Its last batch is as
long as the others, ours may be shorter. Losses are mean squared errors; predicting zero has 19 on the series,
the best possible is 0.030, as the first value of a window does not tell where in the series it lies.
""",
    "recipes": """
## Our recipes

What `python -m rnn_lightning fit --config NAME` gives: the best checkpoint by validation, on the test set.
""",
    "adding": """
## Long memory: the adding problem

Two of T numbers are marked, one in each half; the answer is their sum (`adding_problem`). Test loss is the mean
squared error of the best checkpoint. A run has solved the task when its validation loss falls below 0.0016,
errors of 0.04 on average; the column has the training sequences until then. Truncated below the gap the
gradient goes back T/4 steps: never as far as the first mark. Above: 3T/4 steps, as far as the first mark in
half of the sequences. The weights are the same at both marks.

{settings}
""",
    "copying": """
## Long memory: the copy task

Ten symbols out of eight, T blank steps, then the ten again (`copy_memory`). Test loss is the cross-entropy of
all T + 20 steps of the best checkpoint. Solved: the validation loss is below a tenth of the baseline. Truncated
below the gap the gradient goes back a quarter of the sequence; above, over chunks of half the sequence, as far
back as its beginning. Each chunk has an optimizer step of its own, so truncated runs take more steps on as many
sequences.

{settings}
""",
    "published": "Published, on these tasks but with other lengths, networks and optimizers:",
    "full": """
## Everything

The above is measured by a plan of its own; `python scripts/reproduce.py --full` runs every system with three
seeds, T = 200 too, and the long tasks to the end of a budget of 10,000 batches each, solved or not. By the
rates measured here (T = 200 taken as twice T = 100) it takes {hours} of processor time; divide by `--workers`.
""",
}
"""Templates. They say what was run, not what came out."""

FIGURES = {
    "reproduction_digit": "Section 1.3: a digit, and the sequence that the network reads: 28 steps of 28 pixels",
    "reproduction_series": "Section 1.4.1: the whole series with one training window, and that window's inputs and targets",
    "reproduction_window": "Section 1.4.2: the window that starts at t = 12.2, predicted by the first seed's network",
    "reproduction_dropout": "Section 2.2: the same window, predicted by the three layers with the tutorial's dropout",
}
"""The tutorial's four figures that show data."""

_BAI = "Bai, Kolter & Koltun 2018 (arXiv:1803.01271), table 1"
_UNITARY = "Arjovsky, Shah & Bengio 2016 (arXiv:1511.06464)"
PUBLISHED = {
    "adding": (
        (
            "Hochreiter & Schmidhuber 1997 (Neural Computation 9(8)), experiment 4",
            "T = 100, 500, 1000; marks in the first half",
            "LSTM of 93 weights solves it after 74,000, 209,000 and 853,000 sequences (2,000 in a row within 0.04)",
        ),
        (
            "Le, Jaitly & Hinton 2015 (arXiv:1504.00941)",
            "T = 150 to 400",
            "IRNN and LSTM beat the baseline, at T = 400 with difficulty; tanh RNN is worse",
        ),
        (_UNITARY, "T = 100 to 750", "LSTM beats the baseline at every T, tanh RNN at none"),
        (_BAI, "T = 600", "LSTM 0.164, GRU 0.000053, tanh RNN 0.177"),
    ),
    "copying": (
        (_UNITARY, "T = 100 to 500", "LSTM beats the baseline at T = 100 only, tanh RNN at none"),
        (_BAI, "T = 1000, where the baseline is 0.0204", "LSTM 0.0204, GRU 0.0197, tanh RNN 0.0202"),
    ),
}
"""(source, task, figure), by long task."""
