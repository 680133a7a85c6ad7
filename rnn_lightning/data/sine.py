"""`SyntheticSine` and `SineStream`: a generated series, in windows or in order. No files are needed."""

import math
from functools import partial
from typing import Any

import torch
from torch import Tensor

from rnn_lightning.batch import Batch
from rnn_lightning.data.datamodule import SequenceDataModule
from rnn_lightning.data.generated import GeneratedSequences
from rnn_lightning.data.loading import BatchDataset, TensorBatches
from rnn_lightning.errors import ArgumentError, check_ints

PREDICT_START = 12.2
"""Where the tutorial's window begins, which `predict` and the figures show."""


def time_series(t: Tensor) -> Tensor:
    """Computes f(t) = t sin(t) / 3 + 2 sin(5 t) in float64; returns it in t's floating type, or else in float32."""
    time = t.to(torch.float64)
    series = time * torch.sin(time) / 3 + 2 * torch.sin(5 * time)
    return series.to(t.dtype if t.is_floating_point() else torch.float32)


def sine_windows(starts: Tensor, n_steps: int, resolution: float) -> Batch:
    """Returns windows (B, n_steps, 1) float32 of the series that start at times (B,), with targets one step ahead."""
    steps = torch.arange(n_steps + 1, dtype=torch.float64) * resolution
    points = time_series(starts.to(torch.float64)[:, None] + steps).to(torch.float32)[..., None]
    # These are copies, so that writing into x does not change y. contiguous() would not copy a single window.
    return {"x": points[:, :-1].clone(), "y": points[:, 1:].clone()}


def random_windows(numbers: Tensor, t_min: float, start_max: float, n_steps: int, resolution: float) -> Batch:
    """Makes windows that start uniformly in [t_min, start_max), from random numbers (B, 1) in [0, 1)."""
    return sine_windows(t_min + numbers[:, 0] * (start_max - t_min), n_steps, resolution)


class SineData(SequenceDataModule):
    """Base class of `SyntheticSine` and `SineStream`: a range of f(t) = t sin(t) / 3 + 2 sin(5 t).

    Args:
        t_min: Where the series begins.
        t_max: Where the series ends. No window reaches beyond it, not even with its last target.
        resolution: The time between neighbouring points.
        n_steps: Points in a window, or in each row of a batch.
        predict_start: Where the window that `predict` and the figures show begins. By default, it is 12.2, or `t_min`
            if 12.2 is outside [t_min, t_max).
        **settings: Arguments of the next base class.

    Raises:
        ArgumentError: A number is out of range, or no window fits between t_min and t_max.
    """

    predicts_next_input = True

    def __init__(
        self,
        t_min: float = 0.0,
        t_max: float = 30.0,
        resolution: float = 0.1,
        n_steps: int = 20,
        predict_start: float | None = None,
        **settings: Any,
    ) -> None:
        super().__init__(**settings)
        check_ints(1, n_steps=n_steps)
        times = {"t_min": t_min, "t_max": t_max, "resolution": resolution, "predict_start": predict_start}
        self.hparams.update(times, n_steps=n_steps)
        for name, value in times.items():
            number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
            if not number and not (name == "predict_start" and value is None):
                raise ArgumentError(f"{name} must be a finite number, got {value!r}: change {name}")
        if resolution <= 0:
            raise ArgumentError(f"resolution must be above 0, got {resolution}: it is the time between points")
        self.t_min, self.start_max = float(t_min), float(t_max - n_steps * resolution)
        if self.start_max <= t_min:
            raise ArgumentError(
                f"n_steps={n_steps} of resolution={resolution} do not fit between t_min={t_min} and t_max={t_max}: "
                f"raise t_max above {t_min + n_steps * resolution:g}, or lower n_steps or resolution"
            )
        if predict_start is None:
            predict_start = PREDICT_START if t_min <= PREDICT_START < t_max else t_min
        if not t_min <= predict_start < t_max:
            raise ArgumentError(f"predict_start={predict_start} is outside [t_min={t_min}, t_max={t_max}): change it")
        self.n_steps, self.resolution, self.predict_start = n_steps, float(resolution), float(predict_start)
        self.input_size, self.output_size = 1, 1

    def example(self, steps: int | None = None) -> Batch:
        """Returns the window that starts at `predict_start`, with `n_steps` or `steps` points, even beyond `t_max`.

        Returns:
            `x` and `y` (1, steps, 1), and `t` (steps + 1,) float64, the times of the inputs and of the last target.
        """
        steps = self.n_steps if steps is None else steps
        start = torch.tensor([self.predict_start], dtype=torch.float64)
        t = start + torch.arange(steps + 1, dtype=torch.float64) * self.resolution
        return {**sine_windows(start, steps, self.resolution), "t": t}

    def setup(self, stage: str | None = None) -> None:
        """Makes the datasets of all stages."""
        super().setup(stage)
        example = self.example()
        self.datasets["predict"] = TensorBatches({"x": example["x"], "y": example["y"]})


class SyntheticSine(SineData, GeneratedSequences):
    """Windows of f(t) = t sin(t) / 3 + 2 sin(5 t); the target of each step is the next input.

    Training windows start uniformly at random in [t_min, t_max - n_steps * resolution). `predict` gets one window. To
    read the series in order, with a state that is carried from batch to batch, use `SineStream`.

    A batch has `x` and `y`, both (B, n_steps, 1) float32.

    Args:
        eval_windows: The number of windows in the validation set, and in the test set.
        **settings: Arguments of `SineData`, `GeneratedSequences` and `SequenceDataModule`.

    Raises:
        ArgumentError: A number is out of range, or no window fits between t_min and t_max.
    """

    def __init__(self, eval_windows: int = 10_000, **settings: Any) -> None:
        check_ints(1, eval_windows=eval_windows)
        super().__init__(eval_sequences=eval_windows, **settings)
        self.save_hyperparameters()
        self.generate = partial(
            random_windows, t_min=self.t_min, start_max=self.start_max, n_steps=self.n_steps, resolution=self.resolution
        )
        self.n_numbers = 1


class StreamDataset(BatchDataset):
    """B readers, spread evenly over one long series (N,). Each batch has the next stretch of every reader.

    The series has S = (N - 1) // n_steps stretches of `n_steps` steps; targets are one step ahead. Reader r begins at
    stretch r S / B. After the last stretch, it continues with the first. `reset` is true where a row begins anew: after
    this jump, and in the first of the `batches` batches of an epoch. B is the number of `readers` over all processes.
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
        check_ints(1, steps_per_epoch=steps_per_epoch)
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
