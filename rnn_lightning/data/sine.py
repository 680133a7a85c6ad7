"""`SyntheticSine`: windows of one generated series, to be predicted one step ahead. Needs no file and no network."""

import math
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor

from rnn_lightning.batch import Batch
from rnn_lightning.data.datamodule import check_int
from rnn_lightning.data.generated import GeneratedSequences
from rnn_lightning.data.loading import TensorBatches
from rnn_lightning.errors import ArgumentError

PREDICT_START = 12.2
"""Where the tutorial's window begins, which `predict` and the figures show."""


def time_series(t: Tensor) -> Tensor:
    """The series f(t) = t sin(t) / 3 + 2 sin(5 t).

    Args:
        t: Times, any shape.

    Returns:
        f(t) of the same shape, computed in float64; in t's type if that is a floating one, else float32.
    """
    time = t.to(torch.float64)
    series = time * torch.sin(time) / 3 + 2 * torch.sin(5 * time)
    return series.to(t.dtype if t.is_floating_point() else torch.float32)


def sine_windows(starts: Tensor, n_steps: int, resolution: float) -> Batch:
    """Windows of the series and the same windows one step later.

    Args:
        starts: (B,) float64, the time of each window's first point.
        n_steps: Points in a window.
        resolution: Time from point to point.

    Returns:
        `x` and `y`, both (B, n_steps, 1) float32: y[:, i] is f one step after x[:, i].
    """
    steps = torch.arange(n_steps + 1, dtype=torch.float64) * resolution
    points = time_series(starts.to(torch.float64)[:, None] + steps).to(torch.float32)[..., None]
    # copies, so that no one who writes into x changes y; contiguous() copies nothing where there is one window
    return {"x": points[:, :-1].clone(), "y": points[:, 1:].clone()}


@dataclass(frozen=True)
class SineSeries:
    """A stretch of the series, and how windows are cut from it.

    Args:
        t_min: Where it begins.
        t_max: Where it ends; no window reaches beyond, its last target included.
        resolution: Time from point to point.
        n_steps: Points in a window.
        predict_start: Where the example begins; None for 12.2, or for `t_min` if 12.2 is outside [t_min, t_max).

    Raises:
        ArgumentError: A number is out of its range, or no window fits between t_min and t_max.
    """

    t_min: float
    t_max: float
    resolution: float
    n_steps: int
    predict_start: float | None = None

    def __post_init__(self) -> None:
        check_int("n_steps", self.n_steps, at_least=1)
        for name in (field.name for field in fields(self) if field.name != "n_steps"):
            value = getattr(self, name)
            if name == "predict_start" and value is None:
                continue
            if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
                raise ArgumentError(f"{name} must be a finite number, got {value!r}: change {name}")
        if self.resolution <= 0:
            raise ArgumentError(
                f"resolution must be above 0, got {self.resolution}: it is the time from point to point"
            )
        span = self.n_steps * self.resolution
        if self.t_max - span <= self.t_min:
            raise ArgumentError(
                f"n_steps={self.n_steps} of resolution={self.resolution} do not fit between t_min={self.t_min} and "
                f"t_max={self.t_max}: raise t_max above {self.t_min + span:g}, or lower n_steps or resolution"
            )
        if not self.t_min <= self.start < self.t_max:
            raise ArgumentError(
                f"predict_start={self.predict_start} is outside [t_min={self.t_min}, t_max={self.t_max}): change it"
            )

    @property
    def start(self) -> float:
        """Where the example begins."""
        if self.predict_start is not None:
            return self.predict_start
        return PREDICT_START if self.t_min <= PREDICT_START < self.t_max else self.t_min

    def windows(self, numbers: Tensor) -> Batch:
        """Windows whose starts are uniform in [t_min, t_max - n_steps * resolution), from (B, 1) numbers in [0, 1)."""
        starts = self.t_min + numbers[:, 0] * (self.t_max - self.n_steps * self.resolution - self.t_min)
        return sine_windows(starts, self.n_steps, self.resolution)

    def example(self, steps: int | None = None) -> Batch:
        """The window that starts at `predict_start`, of `n_steps` or `steps` points, which may reach beyond `t_max`.

        Returns:
            `x` and `y` (1, steps, 1), and `t` (steps + 1,) float64, the times of the inputs and of the last target.
        """
        steps = self.n_steps if steps is None else steps
        start = torch.tensor([self.start], dtype=torch.float64)
        t = start + torch.arange(steps + 1, dtype=torch.float64) * self.resolution
        return {**sine_windows(start, steps, self.resolution), "t": t}

    def example_dataset(self) -> TensorBatches:
        """The example alone."""
        example = self.example()
        return TensorBatches({"x": example["x"], "y": example["y"]})


class SyntheticSine(GeneratedSequences):
    """Windows of f(t) = t sin(t) / 3 + 2 sin(5 t); the target is the input one step ahead.

    Training windows start uniformly at random in [t_min, t_max - n_steps * resolution). `predict` is one window. To read
    the series in order, with a state that is carried from batch to batch, use `SineStream`.

    A batch has `x` and `y`, both (B, n_steps, 1) float32.

    Args:
        t_min: Where the series begins.
        t_max: Where it ends; no window reaches beyond, its last target included.
        resolution: Time from point to point.
        n_steps: Points in a window.
        predict_start: Where the window of `predict` and of the figures begins; None for 12.2, or for `t_min` if 12.2 is
            outside [t_min, t_max).
        eval_windows: Windows in the validation set, and in the test set.
        **settings: Those of `GeneratedSequences` and `SequenceDataModule`.

    Raises:
        ArgumentError: A number is out of its range, or no window fits between t_min and t_max.
    """

    predicts_next_input = True

    def __init__(
        self,
        t_min: float = 0.0,
        t_max: float = 30.0,
        resolution: float = 0.1,
        n_steps: int = 20,
        predict_start: float | None = None,
        eval_windows: int = 10_000,
        **settings: Any,
    ) -> None:
        check_int("eval_windows", eval_windows, at_least=1)
        super().__init__(eval_sequences=eval_windows, **settings)
        self.series = SineSeries(t_min, t_max, resolution, n_steps, predict_start)
        self.save_hyperparameters()
        self.input_size, self.output_size = 1, 1
        self.generate, self.n_numbers = self.series.windows, 1

    def setup(self, stage: str | None = None) -> None:
        """Makes all datasets, whatever the stage."""
        super().setup(stage)
        self.datasets["predict"] = self.series.example_dataset()

    def example(self, steps: int | None = None) -> Batch:
        """The window that starts at `predict_start`, as figures and `predict` show it."""
        return self.series.example(steps)
