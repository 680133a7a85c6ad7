"""`StepCost` measures the cost of a training batch: processor time, and the memory that backward passes need."""

import statistics
import time
import weakref
from collections import Counter
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks


class Packed:
    """A tensor that autograd keeps for a backward pass."""

    def __init__(self, tensor: Tensor) -> None:
        self.tensor = tensor


class Ledger:
    """Counts the bytes of the storages that are kept at one time, each of them once.

    Args:
        free: Addresses of storages that exist anyway, such as those of parameters.
    """

    def __init__(self, free: set[int]) -> None:
        self.free, self.counts = free, Counter[int]()
        self.now = self.peak = 0

    def keep(self, tensor: Tensor) -> Packed:
        """The hook that autograd calls with each tensor that it keeps, until it drops what this returns."""
        packed, storage = Packed(tensor), tensor.untyped_storage()
        address, size = storage.data_ptr(), storage.nbytes()
        if address not in self.free:
            self.now += 0 if self.counts[address] else size
            self.peak = max(self.peak, self.now)
            self.counts[address] += 1
            weakref.finalize(packed, self._drop, address, size)
        return packed

    def _drop(self, address: int, size: int) -> None:
        self.counts[address] -= 1
        self.now -= 0 if self.counts[address] else size


class StepCost(Callback):
    """Measures the time and memory of a fit's training batches.

    Memory is measured on the second batch alone, so that it does not disturb the times of the other batches. It is the
    most that tensors kept for backward passes take at one time, which is the part of memory that grows with k2.
    """

    def __init__(self) -> None:
        self.times: list[float] = []
        self.ledger: Ledger | None = None
        self._hooks: Any = None
        self._begin = 0.0

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        if batch_idx == 1 and self.ledger is None:
            self.ledger = Ledger({p.untyped_storage().data_ptr() for p in pl_module.parameters()})
            self._hooks = saved_tensors_hooks(self.ledger.keep, lambda packed: packed.tensor)
            self._hooks.__enter__()
        self._begin = time.process_time()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        seconds = time.process_time() - self._begin
        if self._hooks is None:
            self.times.append(seconds)
        else:
            self._hooks.__exit__(None, None, None)
            self._hooks = None

    def result(self) -> dict[str, float]:
        """Returns `milliseconds`, the median processor time of a batch, and `kept`, the bytes for backward passes."""
        found = {"milliseconds": round(1e3 * statistics.median(self.times), 3)} if self.times else {}
        return {**found, **({"kept": self.ledger.peak} if self.ledger else {})}
