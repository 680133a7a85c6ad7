"""`Forecasts`: shows how well a network forecasts a `TimeSeries`, and writes the files of `predict`."""

from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.utilities.rank_zero import rank_zero_only
from typing_extensions import override

from rnn_lightning.callbacks.beside_baseline import show_table
from rnn_lightning.callbacks.figure_callback import SHARE, Draw, FigureCallback
from rnn_lightning.callbacks.tensorboard import tensorboard_loggers
from rnn_lightning.data import TimeSeries
from rnn_lightning.data.series.forecasting import Intervals, compare, forecast
from rnn_lightning.data.series.origins import histories, origins_of_predict
from rnn_lightning.files import write_atomically
from rnn_lightning.forecasts.backtest import forecast_from
from rnn_lightning.forecasts.forecaster import check_sizes
from rnn_lightning.forecasts.sampling import check_dropout
from rnn_lightning.models import Seq2Seq
from rnn_lightning.nn.dropout import without_dropout

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_SEASONS_SHOWN = 3
"""How much history a figure shows, in seasons or in horizons, whichever are longer."""


class Forecasts(FigureCallback):
    """Shows how well a network forecasts a `TimeSeries`; does nothing with other data.

    - After each test, including the test at the end of a fit, it compares the network with the naive answers in a
      table. The table is shown in the terminal and in TensorBoard, and written to the run's folder as `forecasts.txt`
      and `forecasts.json`.
    - After validations, it draws `val/forecast` in TensorBoard: a forecast of the first series from where its
      validation part begins.
    - After `predict`, it writes the forecasts of all series, with dates, as `predictions.csv`, and draws the forecast
      of the first series as `predictions.png`.

    Args:
        level: The share of values that intervals should contain.
        samples: 0 to take intervals from the errors on the validation part. Otherwise, the number of paths to draw for
            each forecast with the network's dropout on.
        enabled: Whether to do anything in fits and tests; `predict` writes its files in any case.
        share: The share of the training time that the figures may take before the last validation; 1 to draw them after
            every validation.

    Attributes:
        folder: The folder that `predict` writes to; None to write nothing.
        horizon: The number of steps that `predict` forecasts; None for the data's horizon.
        paths: The paths of the files that `predict` wrote.

    Raises:
        ArgumentError: `level` or `samples` is out of range.
    """

    def __init__(self, level: float = 0.9, samples: int = 0, enabled: bool = True, share: float = SHARE) -> None:
        super().__init__(enabled, share)
        self.intervals = Intervals(level, samples)
        self.folder: str | None = None
        self.horizon: int | None = None
        self.paths: list[Path] = []

    def check(self, module: LightningModule, data: Any, stage: str) -> None:
        """Refuses a network that can't make the forecasts of a stage. Call this method before a run begins."""
        if isinstance(data, TimeSeries) and isinstance(module, Seq2Seq) and (self.enabled or stage == "predict"):
            check_sizes(module.net, data.fitted_values)
            if self.intervals.samples:
                check_dropout(module.net, self.intervals.samples)

    @override
    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        data = _series(trainer, pl_module)
        if data is None or not self.writes(trainer):
            return
        net: Any = pl_module.net
        with without_dropout(net):
            self.show(trainer, {"val/forecast": _of_validation(net, data)})

    @override
    @rank_zero_only
    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        data = _series(trainer, pl_module)
        if stage != "test" or data is None or not self.enabled:
            return
        table = compare(pl_module.net, data, self.intervals)
        show_table(trainer, "forecasts", table.text(), asdict(table))
        for logger in tensorboard_loggers(trainer):
            for score in table.scores:
                for distance, error in enumerate(score.by_distance, start=1):
                    tag = f"test/mae_by_distance/{score.target}/{score.method}"
                    logger.experiment.add_scalar(tag, error, distance)

    @override
    @rank_zero_only
    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        data = _series(trainer, pl_module)
        if data is None or self.folder is None:
            return
        from rnn_lightning.figures import save

        found = forecast(pl_module.net, data, self.horizon, self.intervals)
        self.paths = [write_atomically(Path(self.folder, "predictions.csv"), found.to_csv(index=False))]
        first = found[: len(found) // len(data.panel.ids)]
        kinds = {"forecast": "_forecast", "lower": "_lower", "upper": "_upper", "truth": ""}
        drawn = {kind: first[f"{data.columns.target[0]}{suffix}"] for kind, suffix in kinds.items()}
        figure = _figure(data, int(origins_of_predict(data)[0]), "Forecast", **drawn)
        self.paths.append(save(figure, Path(self.folder, "predictions.png")))


def _series(trainer: Trainer, module: LightningModule) -> Any:
    data = getattr(trainer, "datamodule", None)
    return data if isinstance(data, TimeSeries) and isinstance(module, Seq2Seq) else None


def _of_validation(net: Any, data: TimeSeries) -> Draw:
    """Forecasts the first series from where its validation part begins; returns what draws the forecast."""
    last = int(data.cuts[0, 0]) - 1
    given = next(histories(data, np.array([0]), np.array([last]), data.horizon, data.cuts[:, 1]))
    ahead = forecast_from(given, data.forecaster(net), data.horizon)
    drawn = {"forecast": ahead[0, :, 0], "truth": given.truth[0, :, 0]}
    return partial(_figure, data, last, "Forecast of the validation part", **drawn)


def _figure(data: TimeSeries, last: int, title: str, **drawn: Any) -> "Figure":
    """Draws the first target of the first series: its history up to step `last`, and the vectors of `interval_figure`."""
    from rnn_lightning.figures import interval_figure

    name, panel, steps = data.columns.target[0], data.panel, len(drawn["forecast"])
    begin = max(0, last + 1 - _SEASONS_SHOWN * max(data.season, steps))
    times = panel.grid.local(panel.first[0] + np.arange(begin, last + 1 + steps))
    if not isinstance(times, np.ndarray):  # without their time zone, as matplotlib would turn them back into UTC
        times = times.tz_localize(None).to_numpy()
    history = panel.values[panel.offsets[0] + np.arange(begin, last + 1), 0]
    title = " of ".join(filter(None, (title, panel.ids[0])))
    return interval_figure(times[: len(history)], history, times[len(history) :], **drawn, title=title, name=name)
