"""`AddingProblem`: the sum of two numbers far apart in a long sequence of others."""

import torch
from torch import Tensor

from rnn_lightning.data.counted import MadeUpSequences
from rnn_lightning.data.datamodule import check_int
from rnn_lightning.data.loading import Batch


class AddingProblem(MadeUpSequences):
    """Two of T numbers are marked, the target is their sum: a test of memory over T steps.

    The task is Hochreiter & Schmidhuber's (Neural Computation 9(8), 1997, experiment 4) in the form of Le, Jaitly & Hinton
    (2015, arXiv:1504.00941) and Arjovsky, Shah & Bengio (2016, arXiv:1511.06464): each step has a number uniform in
    [0, 1) and a mark, 1 at one step of the first half and at one of the second, else 0. So the first marked number lies
    more than T/2 - 1 steps before the answer. Whoever always answers 1 has the variance of the sum as error, 1/6.

    A batch has `x` (B, T, 2), numbers and marks, and `y` (B, 1), both float32: for `Seq2Vec` with `task: regression`.
    Training sequences are new in every step, a function of (seed, epoch, step, rank), validation and test fixed sets.

    Args:
        n_steps: T.
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
        n_steps: int = 100,
        batch_size: int = 50,
        steps_per_epoch: int = 100,
        eval_sequences: int = 2000,
        eval_batch_size: int | None = None,
        num_workers: int = 0,
        seed: int | None = None,
    ) -> None:
        super().__init__(batch_size, steps_per_epoch, eval_sequences, eval_batch_size, num_workers, seed)
        check_int("n_steps", n_steps, at_least=2)
        self.save_hyperparameters()
        self.n_steps = n_steps
        self.input_size, self.output_size = 2, 1
        self.draws = n_steps + 2  # the numbers, and the places of two marks

    @property
    def baseline(self) -> float:
        """The mean squared error of the answer 1: the variance of a sum of two numbers uniform in [0, 1), 1/6."""
        return 1 / 6

    def make(self, numbers: Tensor) -> Batch:
        """Turns random numbers (B, n_steps + 2) into a batch."""
        half = self.n_steps // 2
        values, places = numbers[:, : self.n_steps], numbers[:, self.n_steps :]
        first = (places[:, 0] * half).long()
        second = half + (places[:, 1] * (self.n_steps - half)).long()
        marked = torch.stack([first, second], dim=1)  # (B, 2)
        marks = torch.zeros_like(values).scatter_(1, marked, 1.0)
        x = torch.stack([values, marks], dim=2).to(torch.float32)  # (B, T, 2)
        return {"x": x, "y": values.gather(1, marked).sum(1, keepdim=True).to(torch.float32)}
