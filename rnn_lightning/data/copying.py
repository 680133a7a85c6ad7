"""`CopyMemory`: sequences of a few symbols, which must be repeated after a long delay."""

import math
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from rnn_lightning.batch import Batch
from rnn_lightning.data.generated import GeneratedSequences
from rnn_lightning.errors import check_ints


def copy_sequences(numbers: Tensor, delay: int, n_symbols: int) -> Batch:
    """Makes a batch from random numbers (B, R), one for each symbol."""
    n_recall = numbers.shape[1]
    symbols = (numbers * n_symbols).long()  # (B, R)
    blank = torch.full((len(numbers), delay + n_recall), n_symbols)
    x = torch.cat([symbols, blank], dim=1)  # (B, T + 2 R)
    x[:, n_recall + delay - 1] = n_symbols + 1
    return {"x": F.one_hot(x, n_symbols + 2).to(torch.float32), "y": torch.cat([blank, symbols], dim=1)}


class CopyMemory(GeneratedSequences):
    """Sequences whose first R symbols must be repeated after T blank steps. This tests memory over T + R steps.

    The task is Hochreiter & Schmidhuber's (1997) in the form of Arjovsky, Shah & Bengio (2016, arXiv:1511.06464). The
    input is R symbols out of S, T - 1 blanks, a delimiter, and R blanks. The target is T + R blanks, then the R
    symbols. Every step counts in the loss. So a model that knows when to answer, but not what to answer, has a loss of
    R ln(S) / (T + 2 R), which is 10 ln(8) / (T + 20) by default.

    A batch has one-hot `x` (B, T + 2 R, S + 2) float32, and `y` (B, T + 2 R) int64 with the classes 0 to S. In both, S
    is the blank, and lower classes are symbols. In `x`, S + 1 is the delimiter. Use `Seq2Seq` with
    `task: classification`.

    Args:
        delay: T, the number of steps between the last symbol and the first answer.
        n_symbols: S, the number of different symbols.
        n_recall: R, the number of symbols to remember.
        **settings: Arguments of `GeneratedSequences` and `SequenceDataModule`.

    Raises:
        ArgumentError: A number is out of range.
    """

    def __init__(self, delay: int = 100, n_symbols: int = 8, n_recall: int = 10, **settings: Any) -> None:
        super().__init__(**settings)
        check_ints(1, delay=delay, n_recall=n_recall)
        check_ints(2, n_symbols=n_symbols)
        self.save_hyperparameters()
        self.delay, self.n_symbols, self.n_recall = delay, n_symbols, n_recall
        self.input_size, self.output_size = n_symbols + 2, n_symbols + 1
        self.generate, self.n_numbers = partial(copy_sequences, delay=delay, n_symbols=n_symbols), n_recall

    @property
    def baseline(self) -> float:
        """The cross-entropy of a model that guesses symbols at the right steps: R ln(S) / (T + 2 R)."""
        return self.n_recall * math.log(self.n_symbols) / (self.delay + 2 * self.n_recall)
