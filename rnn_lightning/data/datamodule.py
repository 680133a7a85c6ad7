"""`SequenceDataModule`: the base class of all data modules."""

import os
from typing import Any

import torch
from lightning.pytorch import LightningDataModule
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, IterableDataset, Sampler

from rnn_lightning.batch import Batch
from rnn_lightning.data.loading import BatchDataset, EpochSampler, EvaluationSampler, ResumableLoader, identity
from rnn_lightning.data.samples import SampleBatches, pad_samples
from rnn_lightning.errors import ArgumentError, check_ints

PARTS = ("train", "val", "test")


class SequenceDataModule(LightningDataModule):
    """Base class of the data modules, with the loaders of all stages. It can be used without a Trainer.

    For your own datasets of single sequences, of any length, use `from_datasets`.

    A subclass sets `input_size` and `output_size` in `__init__`, and calls `save_hyperparameters()` there if its
    arguments are plain values. Its `setup` fills `self.datasets` under "train", "val", "test" and "predict". The
    `__getitems__` of a dataset maps a list of indices to a whole batch (see `BatchDataset`). A batch is a dict with `x`
    (B, T, input_size) and `y`. No argument may have the same name as an argument of a model, as Lightning logs both in
    one table.

    Args:
        batch_size: Sequences per training batch and process.
        eval_batch_size: Sequences per batch in the other stages; None for `batch_size`.
        num_workers: The number of processes that load data. With 0, the training process loads them, which is usually
            fastest here.
        seed: The seed of the training order, or of the training set's random numbers. By default, it is the run's seed
            (`seed_everything`), or 0 if the run has none.

    Attributes:
        input_size: The number of features of a time step.
        output_size: The number of outputs that a model needs for `y`: of classes, or of values.
        contiguous: Whether row i of a batch continues in row i of the next batch, as `carry_state` needs.
        new_each_epoch: Whether the training dataset has new samples in each epoch, at higher indices than before.
        predicts_next_input: Whether each target is the input one step later, so that a prediction can be the next input.
        datasets: The dataset of each stage, once `setup` has run.

    Raises:
        ArgumentError: A number is out of range.
    """

    input_size: int
    output_size: int
    contiguous: bool = False
    new_each_epoch: bool = False
    predicts_next_input: bool = False

    def __init__(
        self, batch_size: int = 50, eval_batch_size: int | None = None, num_workers: int = 0, seed: int | None = None
    ) -> None:
        super().__init__()
        # A subclass may pass these arguments on as **settings, which its own save_hyperparameters() does not see.
        self.hparams.update(batch_size=batch_size, eval_batch_size=eval_batch_size, num_workers=num_workers, seed=seed)
        self.batch_size = batch_size
        self.eval_batch_size = batch_size if eval_batch_size is None else eval_batch_size
        self.num_workers = num_workers
        self.seed = seed
        check_ints(1, batch_size=batch_size, eval_batch_size=self.eval_batch_size)
        check_ints(0, num_workers=num_workers, seed=0 if seed is None else seed)
        self.datasets: dict[str, Dataset[Batch]] = {}

    @classmethod
    def from_datasets(  # Lightning's own method accepts several datasets per stage, and its batch size is 1
        cls,
        train_dataset: Any = None,
        val_dataset: Any = None,
        test_dataset: Any = None,
        predict_dataset: Any = None,
        batch_size: int = 50,
        num_workers: int = 0,
        **settings: Any,
    ) -> "SequenceDataModule":
        """Makes a data module from your own datasets, whose samples are single sequences of any length.

        A sample is a dict, or a pair (x, y), of tensors, arrays or numbers. Its x is (T, I), or (T,) for tokens. T may
        differ between samples. Batches are padded and have `lengths` (see `rnn_lightning.data.samples.pad_samples`).
        Training batches have sequences of similar length if the dataset is a list, or if its attribute `lengths` gives
        the length of each sample.

        A dataset is a list, a `Dataset` with a length, or an `IterableDataset`. An `IterableDataset` is read in its own
        order. It must itself give each process its own samples, and a resumed run reads it from the start.

        Args:
            train_dataset: The dataset to train on.
            val_dataset: The dataset to validate on.
            test_dataset: The dataset to test on.
            predict_dataset: The dataset to predict.
            batch_size: Sequences per training batch and process.
            num_workers: The number of processes that load data.
            **settings: The other arguments of `SequenceDataModule`.
        """
        data = cls(batch_size=batch_size, num_workers=num_workers, **settings)
        given = {"train": train_dataset, "val": val_dataset, "test": test_dataset, "predict": predict_dataset}
        for split, dataset in given.items():
            if dataset is not None:
                ready = isinstance(dataset, (BatchDataset, IterableDataset))
                data.datasets[split] = dataset if ready else SampleBatches(dataset)
        return data

    @property
    def world_size(self) -> int:
        """The number of processes that share the data; 1 without a Trainer."""
        return 1 if self.trainer is None else self.trainer.world_size

    @property
    def rank(self) -> int:
        """The number of this process, counted from 0; it is 0 without a Trainer."""
        return 0 if self.trainer is None else self.trainer.global_rank

    def rows(self, part: str) -> int:
        """Returns the number of rows in a batch of a part ("train", "val" or "test"), over all processes."""
        return self.world_size * (self.batch_size if part == "train" else self.eval_batch_size)

    def resolve_seed(self) -> int:
        """Returns the seed in use. It is read late, as `seed_everything` may be called after making the data module."""
        return int(os.environ.get("PL_GLOBAL_SEED", 0)) if self.seed is None else self.seed

    @property
    def fitted_values(self) -> dict[str, Any]:
        """Everything fitted on the training part, as plain values (see `rnn_lightning.fitted`); empty by default."""
        return {}

    def setup(self, stage: str | None = None) -> None:
        """Fills `datasets`. A subclass must override this method."""

    def check_model(self, model: Any) -> None:
        """Raises `ArgumentError` if a model does not suit the data; called before a run begins.

        By default, every model is accepted.
        """

    def train_dataloader(self) -> DataLoader[Batch]:
        """Loads training batches, of which the last may be short. Without a Trainer, each pass is a new epoch."""
        return self._loader("train")

    def val_dataloader(self) -> DataLoader[Batch] | list[DataLoader[Batch]]:
        """Loads the validation batches, in order, each sample once. A fit may have none, and is then not validated."""
        has_none = bool(self.datasets) and "val" not in self.datasets
        if has_none and self.trainer is not None and self.trainer.state.fn == TrainerFn.FITTING:
            return []
        return self._loader("val")

    def test_dataloader(self) -> DataLoader[Batch]:
        """Loads the test batches, in order, each sample once."""
        return self._loader("test")

    def predict_dataloader(self) -> DataLoader[Batch]:
        """Loads the batches to predict, in order, each sample once. They have the true `y` as well."""
        return self._loader("predict")

    def example(self, steps: int | None = None) -> Batch | None:
        """Returns the sequence that figures show; None, the default, for the first sequence of the validation set.

        An example must also be the first sequence of the `predict` set. The figure of its prediction then has its times
        on the axis.

        Args:
            steps: The length of the example, if it can be chosen. A longer example continues the shorter one.

        Returns:
            `x` (1, T, input_size) and `y`, as in a batch. There may also be `t` (T + 1,), the times of the inputs and
            of the last target.
        """
        return None

    def images(self, x: Tensor) -> Tensor | None:
        """Turns sequences (N, T, input_size) into images (N, rows, columns); returns None if they are not images."""
        return None

    def _loader(self, part: str) -> DataLoader[Batch]:
        dataset = self.datasets.get(part)
        if dataset is None or (not isinstance(dataset, IterableDataset) and len(dataset) == 0):  # type: ignore[arg-type]
            raise ArgumentError(
                f"{type(self).__name__} has no {part} data: give enough for this part, or use shorter windows; without a "
                "Trainer, call setup() first"
            )
        settings: dict[str, Any] = {
            "batch_size": self.batch_size if part == "train" else self.eval_batch_size,
            "num_workers": self.num_workers,
            "persistent_workers": self.num_workers > 0,
            "pin_memory": torch.cuda.is_available(),
            # Making an iterator draws a random number, which must not change the random numbers of dropout.
            "generator": torch.Generator(),
        }
        if isinstance(dataset, IterableDataset):  # it has an order of its own
            return DataLoader(dataset, collate_fn=pad_samples, **settings)
        sampler: Sampler[int]
        if part == "train":
            seed = self.resolve_seed()
            sampler = EpochSampler(dataset, self.world_size, self.rank, seed, self.new_each_epoch, self.batch_size)
        else:
            sampler = EvaluationSampler(dataset, self.world_size, self.rank)
        return ResumableLoader(dataset, sampler=sampler, collate_fn=identity, **settings)


def check_one_direction(net: Any) -> None:
    """Raises `ArgumentError` if a network is bidirectional although the targets are the next inputs."""
    if net.layers.bidirectional:
        raise ArgumentError(
            "bidirectional=true: each target is the next input, which the backward direction has already read: set it to "
            "false"
        )
