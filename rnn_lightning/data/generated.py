"""Data modules that generate sequences. Sequence i of a stream is the same wherever it is computed."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from rnn_lightning.batch import Batch
from rnn_lightning.data.counter_hash import derive_key, uniform
from rnn_lightning.data.datamodule import SequenceDataModule
from rnn_lightning.data.loading import BatchDataset
from rnn_lightning.errors import check_ints

# Each set has its own stream of random numbers. The key of the training stream also depends on the seed; the keys of
# the fixed sets do not.
_TRAIN, _VAL, _TEST = 1, 2, 3


class GeneratedDataset(BatchDataset):
    """Generates each sequence from random numbers that depend only on its index; see `GeneratedSequences`.

    Indices beyond `length` are allowed and give further sequences. `key` is the key of the stream of random numbers.
    """

    def __init__(self, generate: Callable[[Tensor], Batch], n_numbers: int, length: int, key: int) -> None:
        self.generate, self.n_numbers, self.length, self.key = generate, n_numbers, length, key

    def __len__(self) -> int:
        return self.length

    def __getitems__(self, indices: list[int]) -> Batch:
        return self.generate(self.numbers(indices))

    def numbers(self, indices: list[int]) -> Tensor:
        """Returns the random numbers of the given sequences: (B, n_numbers) float64 in [0, 1)."""
        return uniform(torch.tensor(indices)[:, None] * self.n_numbers + torch.arange(self.n_numbers), self.key)


class GeneratedSequences(SequenceDataModule):
    """Base class of data modules that generate each sequence from a fixed number of random numbers.

    Every step trains on new sequences, which depend only on (seed, epoch, step, rank). So a resumed run sees the same
    sequences as an uninterrupted one. The validation and test sets are the same for every seed. `predict` gets the first
    ten sequences of the test set. In `__init__`, a subclass sets `input_size`, `output_size`, `generate` and
    `n_numbers`.

    Args:
        steps_per_epoch: Training batches per epoch and process; the data have no natural epoch.
        eval_sequences: The number of sequences in the validation set, and in the test set.
        **settings: Arguments of `SequenceDataModule`.

    Attributes:
        generate: Turns random numbers (B, n_numbers), float64 in [0, 1), into a batch. Worker processes may pickle it,
            so it must not be a method of the data module.
        n_numbers: Random numbers per sequence.

    Raises:
        ArgumentError: A number is out of range.
    """

    new_each_epoch = True
    generate: Callable[[Tensor], Batch]
    n_numbers: int

    def __init__(self, steps_per_epoch: int = 100, eval_sequences: int = 2000, **settings: Any) -> None:
        super().__init__(**settings)
        check_ints(1, steps_per_epoch=steps_per_epoch, eval_sequences=eval_sequences)
        self.hparams.update(steps_per_epoch=steps_per_epoch)
        self.steps_per_epoch, self.eval_sequences = steps_per_epoch, eval_sequences

    def setup(self, stage: str | None = None) -> None:
        """Makes the datasets of all stages."""
        per_epoch = self.steps_per_epoch * self.batch_size * self.world_size
        self.datasets = {
            split: GeneratedDataset(self.generate, self.n_numbers, length, key)
            for split, length, key in (
                ("train", per_epoch, derive_key(_TRAIN, self.resolve_seed())),
                ("val", self.eval_sequences, derive_key(_VAL)),
                ("test", self.eval_sequences, derive_key(_TEST)),
                ("predict", min(self.eval_sequences, 10), derive_key(_TEST)),
            )
        }
