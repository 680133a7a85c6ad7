"""The datasets, samplers and loader of all stages. Datasets return whole batches, and training can resume exactly.

Each sample has an index. A sampler yields the indices that its process reads, in order. The dataset turns a list of
indices into a whole batch at once (`__getitems__`), so no time is lost on loading and stacking single samples.
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
    """Returns the batch unchanged: the collate function for datasets that return whole batches.

    It is not a lambda, as worker processes must be able to pickle it.
    """
    return batch


class BatchDataset(Dataset[Batch]):
    """Base class of datasets that return whole batches; a subclass defines `__len__` and `__getitems__`.

    A dataset must not refer to its data module, as the Trainer would then be sent to the worker processes, too.
    """

    def __len__(self) -> int:
        raise NotImplementedError

    def __getitems__(self, indices: list[int]) -> Batch:
        raise NotImplementedError

    def __getitem__(self, index: int) -> Batch:
        return {name: rows[0] for name, rows in self.__getitems__([index]).items()}


class TensorBatches(BatchDataset):
    """A dataset of samples that are held in tensors.

    Args:
        tensors: The tensors, keyed by name. All have the same first dimension N, the number of samples.

    Raises:
        ArgumentError: The first dimensions differ, or there is no tensor.
    """

    def __init__(self, tensors: dict[str, Tensor]) -> None:
        sizes = {name: len(tensor) for name, tensor in tensors.items()}
        if len(set(sizes.values())) != 1:
            raise ArgumentError(
                f"tensors must have the same first dimension, got {sizes}: give one row per sample in each"
            )
        self.tensors = tensors

    def __len__(self) -> int:
        return len(next(iter(self.tensors.values())))

    def __getitems__(self, indices: list[int]) -> Batch:
        rows = torch.tensor(indices)
        # index_select copies whole rows; tensor[rows] takes 1.4 times as long
        return {name: tensor.index_select(0, rows) for name, tensor in self.tensors.items()}


class EpochSampler(DistributedSampler[int]):
    """Yields one process's training samples. Each epoch has its own order, which depends only on (seed, epoch).

    Samples are dealt out to the processes in turn (rank, rank + world_size, ...). Every process must take the same
    number of steps. If the samples do not divide evenly, those from the beginning of the order are repeated. Since this
    is a `DistributedSampler`, Lightning keeps it and calls its `set_epoch`.

    Args:
        dataset: The dataset, which has n samples.
        world_size: The number of processes.
        rank: The number of this process, counted from 0.
        seed: The seed of the order; unused if `new_each_epoch`.
        new_each_epoch: Whether to yield the indices epoch * n + i, in order, instead of 0 ... n - 1, shuffled. This is
            for datasets with new samples at those indices.
        batch_size: Samples in a batch of each process. If the dataset has the samples' `lengths` (N,), the samples of a
            batch have similar lengths, even across processes.
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
        self.new_each_epoch = new_each_epoch
        self.together = batch_size * world_size  # samples that are trained on at the same time
        self.start = 0  # how many of this process's samples the next pass skips, as they have already been seen

    def __iter__(self) -> Iterator[int]:
        n = len(self.dataset)  # type: ignore[arg-type]  # torch's Dataset declares no length
        if self.new_each_epoch:
            order = self.epoch * n + torch.arange(n)
        else:
            # With seed + epoch instead of a hash, epoch 1 of seed 0 would have the same order as epoch 0 of seed 1.
            generator = torch.Generator().manual_seed(derive_key(self.seed, self.epoch))
            order = torch.randperm(n, generator=generator)
            lengths = getattr(self.dataset, "lengths", None)
            if lengths is not None:
                order = _of_like_length(order, lengths, self.together, generator)
        order = order.repeat(-(-self.total_size // n))[: self.total_size]
        return iter(order[self.rank :: self.num_replicas][self.start :].tolist())


_POOL = 50
"""How many batches are sorted by length together: enough to limit padding, and few enough to keep the order random."""


def _of_like_length(order: Tensor, lengths: Tensor, size: int, generator: torch.Generator) -> Tensor:
    """Reorders samples into groups of `size` samples with similar lengths; the groups are in random order."""
    pools = [pool[lengths[pool].argsort(stable=True)] for pool in order.split(_POOL * size)]
    batches = torch.cat(pools).split(size)
    full = len(order) // size  # the remainder stays at the end, where a batch may be short
    shuffled = torch.randperm(full, generator=generator).tolist()
    return torch.cat([*(batches[i] for i in shuffled), *batches[full:]])


class EvaluationSampler(DistributedSampler[int], SequentialSampler):
    """Yields one process's samples, in order. Each sample is read exactly once over all processes.

    No sample is repeated to make the counts even. So the processes' counts can differ by one, and metrics that count
    samples are the same as on one process. Since this is a `DistributedSampler` and a `SequentialSampler`, Lightning
    keeps it, even under `overfit_batches`.

    Args:
        dataset: The dataset.
        world_size: The number of processes.
        rank: The number of this process, counted from 0.

    Raises:
        ArgumentError: There are fewer samples than processes. A process without a batch would make the others wait.
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
    """A `DataLoader` whose position in an epoch Lightning saves in checkpoints and restores.

    After `load_state_dict`, the next pass yields the rest of the epoch without loading the earlier batches. This needs
    an `EpochSampler`. With any other sampler, such as Lightning's for `overfit_batches`, the epoch starts over. In a
    plain loop, each full pass is a new epoch. Under Lightning, `set_epoch` sets the epoch.

    There is no `__init__`, as Lightning recreates such loaders with the argument names of `DataLoader`. Pass
    `batch_size` by name; otherwise `predict` fails.
    """

    _epoch = 0  # of the current pass
    _batches = 0  # batches yielded in the current pass
    _resume: tuple[int, int] | None = None  # (epoch, batches) from which to continue

    # As this is a generator, nothing is drawn and no worker starts before the first next(). Lightning calls iter()
    # before it sets the sampler's epoch.
    def __iter__(self) -> Iterator[Batch]:  # type: ignore[override]
        sampler = self.sampler
        epoch, seen = self._resume or (0, 0)
        self._resume = None
        self._epoch, self._batches = getattr(sampler, "epoch", 0), 0
        if isinstance(sampler, EpochSampler):
            # If `limit_train_batches` cut an epoch short, a checkpoint from its end must not shorten the next epoch.
            self._batches = seen if epoch == sampler.epoch else 0
            sampler.start = self._batches * (self.batch_size or 1)
        for batch in super().__iter__():
            # counted here, not in the sampler, which runs ahead of the workers
            self._batches += 1
            yield batch
        if isinstance(sampler, EpochSampler):
            sampler.set_epoch(self._epoch + 1)

    def state_dict(self) -> dict[str, Any]:
        """Returns the position of the current pass: its `epoch`, and how many `batches` this process has yielded."""
        epoch, batches = self._resume or (self._epoch, self._batches)
        return {"epoch": epoch, "batches": batches}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Makes the next pass continue from the position of `state_dict`."""
        epoch, batches = state_dict["epoch"], state_dict["batches"]
        self._resume = (epoch, batches) if batches < len(self) else (epoch + 1, 0)
        if isinstance(self.sampler, EpochSampler):
            self.sampler.set_epoch(self._resume[0])
