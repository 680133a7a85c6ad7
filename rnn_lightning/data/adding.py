"""`AddingProblem`: long sequences of numbers, two of which must be added."""

from functools import partial
from typing import Any

import torch
from torch import Tensor

from rnn_lightning.batch import Batch
from rnn_lightning.data.generated import GeneratedSequences
from rnn_lightning.errors import check_ints


def adding_sequences(numbers: Tensor, n_steps: int) -> Batch:
    """Makes a batch from random numbers (B, n_steps + 2): the values, then the positions of the two marks."""
    half = n_steps // 2
    values, places = numbers[:, :n_steps], numbers[:, n_steps:]
    first = (places[:, 0] * half).long()
    second = half + (places[:, 1] * (n_steps - half)).long()
    marked = torch.stack([first, second], dim=1)  # (B, 2)
    marks = torch.zeros_like(values).scatter_(1, marked, 1.0)
    x = torch.stack([values, marks], dim=2).to(torch.float32)  # (B, T, 2)
    return {"x": x, "y": values.gather(1, marked).sum(1, keepdim=True).to(torch.float32)}


class AddingProblem(GeneratedSequences):
    """Sequences of T numbers, of which two are marked; the target is their sum. This tests memory over T steps.

    The task is Hochreiter & Schmidhuber's (Neural Computation 9(8), 1997, experiment 4) in the form of Le, Jaitly & Hinton
    (2015, arXiv:1504.00941) and Arjovsky, Shah & Bengio (2016, arXiv:1511.06464): each step has a number, uniform in
    [0, 1), and a mark. The mark is 1 at one step of the first half and at one step of the second half, and 0 elsewhere.
    So the first marked number comes more than T/2 - 1 steps before the answer. A model that always answers 1 has an
    error of 1/6, the variance of the sum.

    Hochreiter & Schmidhuber draw X from [-1, 1], ask for y = 0.5 + (X1 + X2) / 4, and count a sequence as right if the
    error is below 0.04. With x = (X + 1) / 2, uniform in [0, 1], the sum is x1 + x2 = (X1 + X2) / 2 + 1 = 2 y. So an
    error of 0.04 in y is an error of 0.08 in the sum: this is `tolerance`. They call the task learned when 2,000
    sequences in a row are right; here, it is learned when all 2,000 sequences of the validation set are right
    (`LargestError` below `tolerance`).

    A batch has `x` (B, T, 2), numbers and marks, and `y` (B, 1), both float32. Use `Seq2Vec` with `task: regression`.

    Args:
        n_steps: T, the length of a sequence.
        **settings: Arguments of `GeneratedSequences` and `SequenceDataModule`.

    Raises:
        ArgumentError: A number is out of range.
    """

    baseline = 1 / 6
    """The mean squared error of always answering 1: the variance of a sum of two numbers uniform in [0, 1)."""
    tolerance = 0.08
    """An answer counts as right if its error is smaller than this."""

    def __init__(self, n_steps: int = 100, **settings: Any) -> None:
        super().__init__(**settings)
        check_ints(2, n_steps=n_steps)
        self.save_hyperparameters()
        self.input_size, self.output_size = 2, 1
        self.generate, self.n_numbers = partial(adding_sequences, n_steps=n_steps), n_steps + 2
