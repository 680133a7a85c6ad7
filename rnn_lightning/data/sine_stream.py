"""The series read in order by many readers at once: data whose rows go on from batch to batch."""

import torch
from torch import Tensor
from torch.utils.data import Dataset

from rnn_lightning.data.loading import Batch


class SineStream(Dataset[Batch]):
    """B readers, spread evenly over one long series; each batch holds the next stretch of every reader.

    Reader r begins at stretch r S / B of the S stretches, and after the last goes on with the first. `reset` tells of
    rows that begin anew: there, and in the first batch of an epoch.

    Args:
        series: (N,) the series; it has S = (N - 1) // n_steps stretches.
        n_steps: Steps of a stretch; targets are one step ahead.
        readers: B, on all processes together.
        batches: Batches in an epoch.
    """

    def __init__(self, series: Tensor, n_steps: int, readers: int, batches: int) -> None:
        self.n_steps, self.readers, self.batches = n_steps, readers, batches
        self.stretches = (len(series) - 1) // n_steps
        length = self.stretches * n_steps
        self.x = series[:length].reshape(self.stretches, n_steps, 1)
        self.y = series[1 : length + 1].reshape(self.stretches, n_steps, 1)

    def __len__(self) -> int:
        return self.readers * self.batches

    def __getitem__(self, index: int) -> Batch:
        return {name: rows[0] for name, rows in self.__getitems__([index]).items()}

    def __getitems__(self, indices: list[int]) -> Batch:
        """Index i is reader i % B in batch i // B, counted on from epoch to epoch."""
        numbers = torch.tensor(indices)
        reader, batch = numbers % self.readers, numbers // self.readers
        stretch = (reader * self.stretches // self.readers + batch) % self.stretches
        reset = (stretch == 0) | (batch % self.batches == 0)
        return {"x": self.x[stretch], "y": self.y[stretch], "reset": reset}
