"""`StepCost` measures the cost of a training batch: processor time, and the memory that backward passes need."""

import statistics
import time
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks


class Packed:
    """A tensor that autograd keeps for a backward pass. The tensor's storage counts in the ledger until then."""

    def __init__(self, tensor: Tensor, ledger: "Ledger") -> None:
        self.tensor, self.ledger, self.storage = tensor, ledger, tensor.untyped_storage()
        ledger.add(self.storage.data_ptr(), self.storage.nbytes())

    def __del__(self) -> None:
        self.ledger.remove(self.storage.data_ptr(), self.storage.nbytes())


class Ledger:
    """Counts the bytes of the storages that are kept at one time, each of them once.

    Args:
        free: Addresses of storages that exist anyway, such as those of parameters.
    """

    def __init__(self, free: set[int]) -> None:
        self.free, self.counts = free, dict[int, int]()
        self.now = self.peak = 0

    def add(self, address: int, size: int) -> None:
        """Notes that a tensor with this storage is now kept."""
        if address in self.free:
            return
        self.counts[address] = self.counts.get(address, 0) + 1
        if self.counts[address] == 1:
            self.now += size
            self.peak = max(self.peak, self.now)

    def remove(self, address: int, size: int) -> None:
        """Notes that a tensor with this storage is no longer kept."""
        if address in self.free:
            return
        self.counts[address] -= 1
        if not self.counts[address]:
            del self.counts[address]
            self.now -= size

    def keep(self, tensor: Tensor) -> Packed:
        """The hook that autograd calls with each tensor that it keeps."""
        return Packed(tensor, self)


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
