"""`SineStream`: the series of `SyntheticSine`, read in order, with rows that continue from batch to batch."""

import math
from typing import Any

import torch
from torch import Tensor

from rnn_lightning.batch import Batch
from rnn_lightning.data.datamodule import check_int
from rnn_lightning.data.loading import BatchDataset
from rnn_lightning.data.sine import SineData, time_series
from rnn_lightning.errors import ArgumentError


class StreamDataset(BatchDataset):
    """B readers, spread evenly over one long series. Each batch has the next stretch of every reader.

    Reader r begins at stretch r S / B of the S stretches. After the last stretch, it continues with the first. `reset`
    is true where a row begins anew: after this jump, and in the first batch of an epoch.

    Args:
        series: (N,) the series. It has S = (N - 1) // n_steps stretches.
        n_steps: The number of steps in a stretch; targets are one step ahead.
        readers: B, the number of readers over all processes.
        batches: The number of batches in an epoch.
    """

    def __init__(self, series: Tensor, n_steps: int, readers: int, batches: int) -> None:
        self.readers, self.batches = readers, batches
        self.stretches = (len(series) - 1) // n_steps
        length = self.stretches * n_steps
        self.x = series[:length].reshape(self.stretches, n_steps, 1)
        self.y = series[1 : length + 1].reshape(self.stretches, n_steps, 1)

    def __len__(self) -> int:
        return self.readers * self.batches

    def __getitems__(self, indices: list[int]) -> Batch:
        """Returns rows of a batch. Index i is reader i % B in batch i // B; counting continues from epoch to epoch."""
        numbers = torch.tensor(indices)
        reader, batch = numbers % self.readers, numbers // self.readers
        stretch = (reader * self.stretches // self.readers + batch) % self.stretches
        reset = (stretch == 0) | (batch % self.batches == 0)
        return {"x": self.x[stretch], "y": self.y[stretch], "reset": reset}


class SineStream(SineData):
    """Reads f(t) = t sin(t) / 3 + 2 sin(5 t) in order, for a model with `carry_state`; targets are one step ahead.

    `batch_size` readers, spread evenly over the series, read it `n_steps` at a time. A reader that reaches the end
    continues at the beginning. Validation and test read the same series once, at points shifted by a half and a quarter
    of `resolution`. `predict` gets one window.

    A batch has `x` and `y`, both (B, n_steps, 1) float32, and `reset` (B,) bool, true where a row begins anew.

    Args:
        steps_per_epoch: Training batches per epoch and process.
        **settings: Arguments of `SineData` and `SequenceDataModule`; `batch_size` is the number of readers per process.

    Raises:
        ArgumentError: A number is out of range, or there are more readers than stretches of `n_steps`.
    """

    contiguous = True
    new_each_epoch = True  # the indices continue from epoch to epoch

    def __init__(self, steps_per_epoch: int = 100, **settings: Any) -> None:
        super().__init__(**settings)
        check_int("steps_per_epoch", steps_per_epoch, at_least=1)
        t_min, t_max = self.hparams["t_min"], self.hparams["t_max"]
        self.n_points = math.floor((t_max - t_min) / self.resolution + 1e-9)
        self.stretches = (self.n_points - 1) // self.n_steps
        readers = max(self.batch_size, self.eval_batch_size)
        if self.stretches < readers:
            raise ArgumentError(
                f"the series from t_min={t_min} to t_max={t_max} has {self.stretches} stretches of "
                f"n_steps={self.n_steps}, fewer than the {readers} readers of a batch: raise t_max, or lower batch_size, "
                "n_steps or resolution"
            )
        self.save_hyperparameters()
        self.steps_per_epoch = steps_per_epoch

    def setup(self, stage: str | None = None) -> None:
        """Makes the datasets of all stages."""
        super().setup(stage)
        for part, shift in (("train", 0.0), ("val", 0.5), ("test", 0.25)):
            steps = torch.arange(self.n_points, dtype=torch.float64) + shift
            series = time_series(self.t_min + steps * self.resolution).to(torch.float32)
            readers = self.rows(part)
            once = -(-self.stretches // readers)  # the distance between the starts of neighbouring readers
            batches = self.steps_per_epoch if part == "train" else once
            self.datasets[part] = StreamDataset(series, self.n_steps, readers, batches)
