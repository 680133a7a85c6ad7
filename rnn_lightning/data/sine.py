"""`SyntheticSine`: windows of one made-up series, to be predicted one step ahead. Needs no file and no network."""

import math
from typing import Literal, get_args

import torch
from torch import Tensor
from torch.utils.data import Dataset

from rnn_lightning.data.counter_hash import derive_key, uniform
from rnn_lightning.data.datamodule import SequenceDataModule, check_int
from rnn_lightning.data.loading import Batch, TensorBatches
from rnn_lightning.data.sine_stream import SineStream
from rnn_lightning.errors import ArgumentError

SineLayout = Literal["windows", "stream"]

PREDICT_START = 12.2  # where the window begins that `predict` shows

# One stream of random numbers each. Training's key also has the seed in it; the fixed sets' have not.
_TRAIN, _VAL, _TEST = 1, 2, 3


def time_series(t: Tensor) -> Tensor:
    """The series f(t) = t sin(t) / 3 + 2 sin(5 t).

    Args:
        t: times, any shape.

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
        n_steps: points in a window.
        resolution: time from point to point.

    Returns:
        `x` and `y`, both (B, n_steps, 1) float32: y[:, i] is f one step after x[:, i].
    """
    steps = torch.arange(n_steps + 1, dtype=torch.float64) * resolution
    points = time_series(starts.to(torch.float64)[:, None] + steps).to(torch.float32)[..., None]
    # copies, so that no one who writes into x changes y; contiguous() copies nothing where there is one window
    return {"x": points[:, :-1].clone(), "y": points[:, 1:].clone()}


class RandomSineWindows(Dataset[Batch]):
    """Windows with uniformly random starts: number i of a stream is always the same window, nothing is stored.

    Args:
        n_windows: length of the dataset; higher indices can be asked for as well, and give more windows.
        key: names the stream (`derive_key`).
        start_min: the lowest start.
        start_max: all starts are below.
        n_steps: points in a window.
        resolution: time from point to point.
    """

    def __init__(
        self, n_windows: int, key: int, start_min: float, start_max: float, n_steps: int, resolution: float
    ) -> None:
        self.n_windows, self.key = n_windows, key
        self.start_min, self.start_max = start_min, start_max
        self.n_steps, self.resolution = n_steps, resolution

    def __len__(self) -> int:
        return self.n_windows

    def starts(self, indices: Tensor) -> Tensor:
        """The starts of these windows: (B,) int64 to (B,) float64."""
        return self.start_min + uniform(indices, self.key) * (self.start_max - self.start_min)

    def __getitem__(self, index: int) -> Batch:
        return {name: rows[0] for name, rows in self.__getitems__([index]).items()}

    def __getitems__(self, indices: list[int]) -> Batch:
        return sine_windows(self.starts(torch.tensor(indices)), self.n_steps, self.resolution)


class SyntheticSine(SequenceDataModule):
    """Windows of f(t) = t sin(t) / 3 + 2 sin(5 t); the target is the input one step ahead.

    Training windows start uniformly at random in [t_min, t_max - n_steps * resolution) and are new in every step, a
    function of (seed, epoch, step, rank): a resumed run sees what an undisturbed one sees. Validation and test are
    fixed sets, the same for every seed. `predict` is the one window that starts at t = 12.2.

    With `layout="stream"` the rows go on from batch to batch instead, for a model with `carry_state`: `batch_size` readers,
    spread evenly over the series from t_min to t_max, read it in order, `n_steps` at a time, and begin again at its end.
    Validation and test read the same series at points that lie a half and a quarter `resolution` beside, once through.

    A batch has `x` and `y`, both (B, n_steps, 1) float32; in the stream also `reset` (B,) bool, true where a row begins.

    Args:
        t_min: where the series begins.
        t_max: where it ends; no window reaches beyond, its last target included.
        resolution: time from point to point.
        n_steps: points in a window, or in a batch of the stream.
        layout: windows: single windows at random places. stream: readers that go through the series in order.
        batch_size: windows in a training batch, or readers of the stream, of each process.
        steps_per_epoch: training batches in an epoch, for each process. The data have no natural epoch.
        eval_windows: windows in the validation set, and in the test set.
        eval_batch_size: windows in a batch of the other stages; None for `batch_size`.
        num_workers: processes that load data; 0 loads in the training process, the fastest here.
        seed: of the training windows; None for the seed of the run (`seed_everything`), or 0 if it has none.

    Raises:
        ArgumentError: for a number out of its range, or if the window does not fit between t_min and t_max.
    """

    fresh = True  # of the stream's indices too: they count on from epoch to epoch

    def __init__(
        self,
        t_min: float = 0.0,
        t_max: float = 30.0,
        resolution: float = 0.1,
        n_steps: int = 20,
        layout: SineLayout = "windows",
        batch_size: int = 50,
        steps_per_epoch: int = 100,
        eval_windows: int = 10_000,
        eval_batch_size: int | None = None,
        num_workers: int = 0,
        seed: int | None = None,
    ) -> None:
        super().__init__(batch_size, eval_batch_size, num_workers, seed)
        check_int("n_steps", n_steps, at_least=1)
        check_int("steps_per_epoch", steps_per_epoch, at_least=1)
        check_int("eval_windows", eval_windows, at_least=1)
        for name, value in (("t_min", t_min), ("t_max", t_max), ("resolution", resolution)):
            if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
                raise ArgumentError(f"{name} must be a finite number, got {value!r}: change {name}")
        if resolution <= 0:
            raise ArgumentError(f"resolution must be above 0, got {resolution}: it is the time from point to point")
        start_max = t_max - n_steps * resolution
        if start_max <= t_min:
            raise ArgumentError(
                f"n_steps={n_steps} of resolution={resolution} do not fit between t_min={t_min} and t_max={t_max}: "
                f"raise t_max above {t_min + n_steps * resolution:g}, or lower n_steps or resolution"
            )
        if layout not in get_args(SineLayout):
            raise ArgumentError(
                f"layout must be one of {', '.join(get_args(SineLayout))}, got {layout!r}: change layout"
            )
        self.contiguous = layout == "stream"
        self.n_points = math.floor((t_max - t_min) / resolution + 1e-9)
        if self.contiguous and (self.n_points - 1) // n_steps < max(self.batch_size, self.eval_batch_size):
            raise ArgumentError(
                f"the series from t_min={t_min} to t_max={t_max} has {(self.n_points - 1) // n_steps} stretches of "
                f"n_steps={n_steps}, fewer than the {max(self.batch_size, self.eval_batch_size)} readers of a batch: "
                "raise t_max, or lower batch_size, n_steps or resolution"
            )
        self.save_hyperparameters()
        self.input_size = 1
        self.output_size = 1
        self.n_steps, self.resolution = n_steps, float(resolution)
        self.start_min, self.start_max = float(t_min), float(start_max)
        self.steps_per_epoch, self.eval_windows = steps_per_epoch, eval_windows

    def setup(self, stage: str | None = None) -> None:
        """Makes all datasets, whatever the stage: they are quickly made."""
        start = torch.tensor([PREDICT_START], dtype=torch.float64)
        self.datasets = {"predict": TensorBatches(sine_windows(start, self.n_steps, self.resolution))}
        if self.contiguous:
            readers = self.batch_size * self.world_size
            self.datasets["train"] = self._stream(readers, beside=0.0, batches=self.steps_per_epoch)
            for split, beside in (("val", 0.5), ("test", 0.25)):
                self.datasets[split] = self._stream(self.eval_batch_size * self.world_size, beside)
            return
        per_epoch = self.steps_per_epoch * self.batch_size * self.world_size
        self.datasets["train"] = self._random_windows(per_epoch, derive_key(_TRAIN, self.resolve_seed()))
        self.datasets["val"] = self._random_windows(self.eval_windows, derive_key(_VAL))
        self.datasets["test"] = self._random_windows(self.eval_windows, derive_key(_TEST))

    def example(self, steps: int | None = None) -> Batch:
        """The window that starts at t = 12.2, as figures show it.

        Args:
            steps: points in the window, `n_steps` if not given; it may go on beyond `t_max`.

        Returns:
            `x` and `y` (1, steps, 1) as in a batch, and `t` (steps + 1,) float64, the times of the inputs and, one
            later, of the targets.
        """
        steps = self.n_steps if steps is None else steps
        start = torch.tensor([PREDICT_START], dtype=torch.float64)
        t = PREDICT_START + torch.arange(steps + 1, dtype=torch.float64) * self.resolution
        return {**sine_windows(start, steps, self.resolution), "t": t}

    def _stream(self, readers: int, beside: float, batches: int | None = None) -> SineStream:
        t = self.start_min + (torch.arange(self.n_points, dtype=torch.float64) + beside) * self.resolution
        if batches is None:  # once through: the distance from one reader's beginning to the next one's
            batches = -(-((self.n_points - 1) // self.n_steps) // readers)
        return SineStream(time_series(t).to(torch.float32), self.n_steps, readers, batches)

    def _random_windows(self, n_windows: int, key: int) -> RandomSineWindows:
        return RandomSineWindows(n_windows, key, self.start_min, self.start_max, self.n_steps, self.resolution)
