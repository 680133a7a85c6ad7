"""Made-up sequences by number: nothing is stored, and number i of a stream is the same wherever it is asked for."""

import torch
from torch import Tensor
from torch.utils.data import Dataset

from rnn_lightning.data.counter_hash import derive_key, uniform
from rnn_lightning.data.datamodule import SequenceDataModule, check_int
from rnn_lightning.data.loading import Batch

# One stream of random numbers each. Training's key also has the seed in it; the fixed sets' have not.
_TRAIN, _VAL, _TEST = 1, 2, 3


class CountedSequences(Dataset[Batch]):
    """Sequences made from random numbers that are a function of the sequence's number.

    Args:
        source: makes a batch from its random numbers.
        length: of the dataset; higher indices can be asked for as well, and give more sequences.
        key: names the stream (`derive_key`).
    """

    def __init__(self, source: "MadeUpSequences", length: int, key: int) -> None:
        self.source, self.length, self.key = source, length, key

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> Batch:
        return {name: rows[0] for name, rows in self.__getitems__([index]).items()}

    def __getitems__(self, indices: list[int]) -> Batch:
        draws = self.source.draws
        counter = torch.tensor(indices)[:, None] * draws + torch.arange(draws)  # (B, draws)
        return self.source.make(uniform(counter, self.key))


class MadeUpSequences(SequenceDataModule):
    """Base of tasks whose sequences are made up from a fixed number of random numbers each.

    Training sequences are new in every step, a function of (seed, epoch, step, rank): a resumed run sees what an
    undisturbed one sees. Validation and test are fixed sets, the same for every seed, and so are the sequences of
    `predict`, the first of the test set. A subclass sets `input_size`, `output_size` and `draws`, and gives `make`.

    Args:
        batch_size: sequences in a training batch, of each process.
        steps_per_epoch: training batches in an epoch, for each process. The data have no natural epoch.
        eval_sequences: sequences in the validation set, and in the test set.
        eval_batch_size: sequences in a batch of the other stages; None for `batch_size`.
        num_workers: processes that load data.
        seed: of the training sequences; None for the seed of the run (`seed_everything`), or 0 if it has none.

    Attributes:
        draws: random numbers of a sequence.

    Raises:
        ArgumentError: for a number out of its range.
    """

    fresh = True
    draws: int

    def __init__(
        self,
        batch_size: int,
        steps_per_epoch: int,
        eval_sequences: int,
        eval_batch_size: int | None,
        num_workers: int,
        seed: int | None,
    ) -> None:
        super().__init__(batch_size, eval_batch_size, num_workers, seed)
        check_int("steps_per_epoch", steps_per_epoch, at_least=1)
        check_int("eval_sequences", eval_sequences, at_least=1)
        self.steps_per_epoch, self.eval_sequences = steps_per_epoch, eval_sequences

    @property
    def baseline(self) -> float:
        """The lowest loss of a model that remembers nothing. To be given by a subclass."""
        raise NotImplementedError(f"{type(self).__name__} must define baseline")

    def make(self, numbers: Tensor) -> Batch:
        """Turns random numbers, (B, draws) float64 in [0, 1), into a batch. To be given by a subclass."""
        raise NotImplementedError(f"{type(self).__name__} must define make(numbers)")

    def setup(self, stage: str | None = None) -> None:
        """Makes all datasets, whatever the stage: nothing is stored."""
        per_epoch = self.steps_per_epoch * self.batch_size * self.world_size
        self.datasets = {
            "train": CountedSequences(self, per_epoch, derive_key(_TRAIN, self.resolve_seed())),
            "val": CountedSequences(self, self.eval_sequences, derive_key(_VAL)),
            "test": CountedSequences(self, self.eval_sequences, derive_key(_TEST)),
            "predict": CountedSequences(self, min(self.eval_sequences, 10), derive_key(_TEST)),
        }
