"""`CopyMemory`: a few symbols, to be said again after a long time."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from rnn_lightning.data.counted import MadeUpSequences
from rnn_lightning.data.datamodule import check_int
from rnn_lightning.data.loading import Batch


class CopyMemory(MadeUpSequences):
    """The first R symbols of a sequence are to be repeated after T blank steps: a test of memory over T + R steps.

    The task is Hochreiter & Schmidhuber's (1997) in the form of Arjovsky, Shah & Bengio (2016, arXiv:1511.06464). Input:
    R symbols out of S, T - 1 blanks, a delimiter, R blanks. Target: T + R blanks, then the R symbols. Each step counts
    in the loss, so that whoever knows when to answer, but not what, has R ln(S) / (T + 2 R): 10 ln(8) / (T + 20).

    A batch has `x` (B, T + 2 R, S + 2) float32, one-hot: classes 0 to S - 1 are symbols, S is the blank, S + 1 the
    delimiter; and `y` (B, T + 2 R) int64, of classes 0 to S: for `Seq2Seq` with `task: classification`.
    Training sequences are new in every step, a function of (seed, epoch, step, rank), validation and test fixed sets.

    Args:
        delay: T, the steps from the last symbol to the first answer.
        n_symbols: S, different symbols.
        n_recall: R, symbols to be remembered.
        batch_size: sequences in a training batch, of each process.
        steps_per_epoch: training batches in an epoch, for each process. The data have no natural epoch.
        eval_sequences: sequences in the validation set, and in the test set.
        eval_batch_size: sequences in a batch of the other stages; None for `batch_size`.
        num_workers: processes that load data; 0 loads in the training process, the fastest here.
        seed: of the training sequences; None for the seed of the run (`seed_everything`), or 0 if it has none.

    Raises:
        ArgumentError: for a number out of its range.
    """

    def __init__(
        self,
        delay: int = 100,
        n_symbols: int = 8,
        n_recall: int = 10,
        batch_size: int = 50,
        steps_per_epoch: int = 100,
        eval_sequences: int = 2000,
        eval_batch_size: int | None = None,
        num_workers: int = 0,
        seed: int | None = None,
    ) -> None:
        super().__init__(batch_size, steps_per_epoch, eval_sequences, eval_batch_size, num_workers, seed)
        check_int("delay", delay, at_least=1)
        check_int("n_symbols", n_symbols, at_least=2)
        check_int("n_recall", n_recall, at_least=1)
        self.save_hyperparameters()
        self.delay, self.n_symbols, self.n_recall = delay, n_symbols, n_recall
        self.input_size, self.output_size = n_symbols + 2, n_symbols + 1
        self.draws = n_recall

    @property
    def baseline(self) -> float:
        """The cross-entropy of whoever answers at the right steps, with any symbol: R ln(S) / (T + 2 R)."""
        return self.n_recall * math.log(self.n_symbols) / (self.delay + 2 * self.n_recall)

    def make(self, numbers: Tensor) -> Batch:
        """Turns random numbers (B, n_recall) into a batch."""
        symbols = (numbers * self.n_symbols).long()  # (B, R)
        blank = torch.full((len(numbers), self.delay + self.n_recall), self.n_symbols)
        x = torch.cat([symbols, blank], dim=1)  # (B, T + 2 R)
        x[:, self.n_recall + self.delay - 1] = self.n_symbols + 1
        return {"x": F.one_hot(x, self.input_size).to(torch.float32), "y": torch.cat([blank, symbols], dim=1)}
