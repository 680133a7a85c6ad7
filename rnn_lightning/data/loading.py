"""Datasets, samplers and the loader behind every stage: whole batches by index, and exact resuming.

A sample is an integer. A sampler says which integers this process sees, in which order; the dataset turns a list of
them into a whole batch at once (`__getitems__`), so that no time goes into single samples and into stacking them.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, DistributedSampler, SequentialSampler

from rnn_lightning.batch import Batch
from rnn_lightning.data.counter_hash import derive_key
from rnn_lightning.errors import ArgumentError


def identity(batch: Any) -> Any:
    """The collate function for datasets that give whole batches. Not a lambda: worker processes must pickle it."""
    return batch


class BatchDataset(Dataset[Batch]):
    """Base of datasets that give whole batches: a subclass defines `__len__` and `__getitems__`.

    It holds what it needs and never its data module, which would take the Trainer along into worker processes.
    """

    def __len__(self) -> int:
        raise NotImplementedError

    def __getitems__(self, indices: list[int]) -> Batch:
        raise NotImplementedError

    def __getitem__(self, index: int) -> Batch:
        return {name: rows[0] for name, rows in self.__getitems__([index]).items()}


class TensorBatches(BatchDataset):
    """Samples held in tensors.

    Args:
        tensors: name to tensor; all have the same first dimension N, the number of samples.

    Raises:
        ArgumentError: if the first dimensions differ, or there is no tensor.
    """

    def __init__(self, tensors: dict[str, Tensor]) -> None:
        sizes = {name: len(tensor) for name, tensor in tensors.items()}
        if len(set(sizes.values())) != 1:
            raise ArgumentError(f"tensors must have one first dimension, got {sizes}: give one row a sample in each")
        self.tensors = tensors

    def __len__(self) -> int:
        return len(next(iter(self.tensors.values())))

    def __getitems__(self, indices: list[int]) -> Batch:
        rows = torch.tensor(indices)
        # index_select copies whole rows; tensor[rows] takes 1.4 times as long
        return {name: tensor.index_select(0, rows) for name, tensor in self.tensors.items()}


class EpochSampler(DistributedSampler[int]):
    """Training samples of one process: another order in each epoch, as a function of (seed, epoch) alone.

    The processes take turns (rank, rank + world_size, ...). As every process must make the same number of steps, the
    order is filled up from its own beginning where the samples cannot be shared out evenly. Being a
    `DistributedSampler`, Lightning leaves it in place and calls its `set_epoch`.

    Args:
        dataset: gives the number of samples n.
        world_size: number of processes.
        rank: this process, from 0.
        seed: of the order; unused if `new_each_epoch`.
        new_each_epoch: gives the indices epoch * n + i, in order, instead of a shuffle of 0 ... n - 1: for datasets that
            have other samples there.
        batch_size: samples in a batch of each process. If the dataset knows its samples' `lengths` (N,), batches are
            then of like length, and so are those that the processes have at the same time.
    """

    def __init__(
        self,
        dataset: Dataset[Batch],
        world_size: int = 1,
        rank: int = 0,
        seed: int = 0,
        new_each_epoch: bool = False,
        batch_size: int = 1,
    ) -> None:
        super().__init__(dataset, num_replicas=world_size, rank=rank, shuffle=not new_each_epoch, seed=seed)
        self.together = batch_size * world_size  # samples that are trained on at the same time
        self.start = 0  # how many of this process's samples the next pass leaves out, because they were seen already

    def __iter__(self) -> Iterator[int]:
        n = len(self.dataset)  # type: ignore[arg-type]  # torch's Dataset declares no length
        if self.shuffle:
            # a hash, not seed + epoch: else epoch 1 of seed 0 would have the order of epoch 0 of seed 1
            generator = torch.Generator().manual_seed(derive_key(self.seed, self.epoch))
            order = torch.randperm(n, generator=generator)
            lengths = getattr(self.dataset, "lengths", None)
            if lengths is not None:
                order = _of_like_length(order, lengths, self.together, generator)
        else:
            order = self.epoch * n + torch.arange(n)
        order = order.repeat(-(-self.total_size // n))[: self.total_size]
        return iter(order[self.rank :: self.num_replicas][self.start :].tolist())


_POOL = 50
"""How many batches are sorted by length together: enough for little padding, few enough to stay a shuffle."""


def _of_like_length(order: Tensor, lengths: Tensor, size: int, generator: torch.Generator) -> Tensor:
    """The same samples, so that each `size` in a row have similar lengths; the batches come in a random order."""
    pools = [pool[lengths[pool].argsort(stable=True)] for pool in order.split(_POOL * size)]
    batches = torch.cat(pools).split(size)
    full = len(order) // size  # what is left over stays last, where a batch may be short
    shuffled = torch.randperm(full, generator=generator).tolist()
    return torch.cat([*(batches[i] for i in shuffled), *batches[full:]])


class EvaluationSampler(DistributedSampler[int], SequentialSampler):
    """All samples in order, each exactly once over all processes, none repeated to make the counts even.

    Processes can so differ by one sample. Metrics that count samples come out as on one process. Being a
    `DistributedSampler` and a `SequentialSampler`, Lightning leaves it in place, also under `overfit_batches`.

    Args:
        dataset: gives the number of samples.
        world_size: number of processes.
        rank: this process, from 0.

    Raises:
        ArgumentError: if there are fewer samples than processes: one without a batch would make the others wait.
    """

    def __init__(self, dataset: Dataset[Batch], world_size: int = 1, rank: int = 0) -> None:
        n = len(dataset)  # type: ignore[arg-type]
        if n < world_size:
            raise ArgumentError(f"{world_size} processes cannot share {n} sample(s): set trainer.devices to 1")
        super().__init__(dataset, num_replicas=world_size, rank=rank, shuffle=False)
        self.total_size = n
        self.num_samples = len(range(rank, n, world_size))

    def __iter__(self) -> Iterator[int]:
        return iter(range(self.rank, self.total_size, self.num_replicas))


class ResumableLoader(DataLoader[Batch]):
    """A `DataLoader` that knows how far it is: Lightning saves its state in checkpoints and gives it back.

    After `load_state_dict` the next pass hands out what was left of the epoch, without drawing what was seen. This
    needs an `EpochSampler`. With any other (Lightning puts one in for `overfit_batches`) the epoch starts over.
    In a plain loop each full pass is a new epoch; under Lightning, `set_epoch` says which.

    There is no `__init__`: Lightning makes such loaders anew by `DataLoader`'s argument names. Give `batch_size` by
    name, else that fails in `predict`.
    """

    _epoch = 0  # of the pass that runs
    _batches = 0  # handed out in the pass that runs
    _resume: tuple[int, int] | None = None  # (epoch, batches) from which to continue

    # A generator: nothing is drawn and no worker starts before the first next(). Lightning calls iter() before it
    # sets the sampler's epoch.
    def __iter__(self) -> Iterator[Batch]:  # type: ignore[override]
        sampler = self.sampler
        epoch, seen = self._resume or (0, 0)
        self._resume = None
        self._epoch, self._batches = getattr(sampler, "epoch", 0), 0
        if isinstance(sampler, EpochSampler):
            # A checkpoint from the end of an epoch that `limit_train_batches` cut short must not shorten the next.
            self._batches = seen if epoch == sampler.epoch else 0
            sampler.start = self._batches * (self.batch_size or 1)
        for batch in super().__iter__():
            # counted here, not in the sampler, which runs ahead of the workers
            self._batches += 1
            yield batch
        if isinstance(sampler, EpochSampler):
            sampler.set_epoch(self._epoch + 1)

    def state_dict(self) -> dict[str, Any]:
        """Where the pass that runs is: its `epoch` and the `batches` handed out, of this process."""
        epoch, batches = self._resume or (self._epoch, self._batches)
        return {"epoch": epoch, "batches": batches}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Makes the next pass continue where `state_dict` was taken."""
        epoch, batches = state_dict["epoch"], state_dict["batches"]
        self._resume = (epoch, batches) if batches < len(self) else (epoch + 1, 0)
        if isinstance(self.sampler, EpochSampler):
            self.sampler.set_epoch(self._resume[0])
