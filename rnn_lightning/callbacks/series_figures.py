"""`SeriesFigures`: shows a sequence-to-sequence model's predictions of a series, after each validation."""

from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from typing_extensions import override

from rnn_lightning.batch import Batch
from rnn_lightning.callbacks.tensorboard import TensorBoardCallback
from rnn_lightning.data import TimeSeries
from rnn_lightning.models import Seq2Seq
from rnn_lightning.models.batches import begun, first_rows
from rnn_lightning.models.ranks import gather
from rnn_lightning.nn import free_run
from rnn_lightning.nn.dropout import without_dropout
from rnn_lightning.predictions import ShownSequence

_AHEAD = 60  # how many steps to forecast beyond the data's example


class SeriesFigures(TensorBoardCallback):
    """Draws three figures of a `Seq2Seq` model after each validation.

    - `val/window`: the inputs, targets and predictions on one window, for regression only. The window is the data's
      `example()`, which starts at t = 12.2 for `SyntheticSine`. If there is no example, it is the first sequence of the
      validation.
    - `val/forecast`: a forecast from that window on, in which each prediction is the next input. This needs a data
      module whose targets are the inputs one step ahead (`predicts_next_input`).
    - `val/error_by_step`: the held-out error of each time step, over the whole validation. It is the mean squared error
      or the share of wrong classes.

    Args:
        enabled: Whether to draw the figures.
    """

    def __init__(self, enabled: bool = True) -> None:
        super().__init__(enabled)
        self._first: Batch | None = None  # the first sequence of the validation
        self._errors: Tensor | None = None  # (2, T), sum of the errors and number of targets

    @override
    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._first = None

    @override
    def on_validation_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._errors = None
        # The callback `Forecasts` draws a `TimeSeries`, in the file's units and with dates.
        own = isinstance(getattr(trainer, "datamodule", None), TimeSeries)
        if isinstance(pl_module, Seq2Seq) and not own and self.is_active(trainer):
            self._errors = torch.zeros(2, 0, device=pl_module.device)

    @override
    def on_validation_batch_end(
        self, trainer: Trainer, pl_module: Any, outputs: Any, batch: Any, *args: Any, **kwargs: Any
    ) -> None:
        if self._errors is None:
            return
        self._errors = _sum([self._errors, outputs["errors"]])
        if self._first is None:
            self._first = first_rows(pl_module.prepare_batch(batch), 1)

    @override
    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._errors is None or not isinstance(pl_module, Seq2Seq):
            return
        self._errors = _sum(gather(trainer.strategy, self._errors.cpu()))
        if not trainer.is_global_zero or self._first is None:
            return
        from rnn_lightning.figures import error_by_step_figure

        errors, targets = self._errors.double()
        name = "mean squared error" if pl_module.objective.task == "regression" else "share of wrong classes"
        self.show(trainer, "val/error_by_step", error_by_step_figure(errors / targets, name))  # no target: 0 / 0 = NaN
        if pl_module.objective.task == "regression":
            self._draw_example(trainer, pl_module, self._first)

    def _draw_example(self, trainer: Trainer, module: Seq2Seq, first: Batch) -> None:
        data: Any = getattr(trainer, "datamodule", None)
        example = data.example() if hasattr(data, "example") else None
        net: Any = module.net
        # The data's example can be continued. Of any other sequence, the second half is forecast from the first half.
        shown = ShownSequence(example or first, data, is_example=example is not None, ahead=_AHEAD if example else 0)
        state = None if example else begun(first, first.get("state"))
        steps = len(shown.x)
        warm = steps if example else steps // 2
        with torch.no_grad(), without_dropout(net):
            x, weight = shown.x[None], next(module.parameters())
            # Tokens are (1, T) integers; features have the network's type.
            x = x.to(weight) if net.embedding is None else x[..., 0].to(weight.device, torch.int64)
            start = f"window from t = {float(shown.t[0]):g}"
            title = f"Predictions, {start}" if shown.timed else "One held-out sequence"
            predictions = module.objective.predictions(net(x, state)[0][0])["prediction"]
            self.show(trainer, "val/window", shown.window_figure(predictions, title))
            feeds_back = shown.next_input and module.objective.predicts_values
            if not feeds_back or warm < 1 or net.layers.bidirectional:
                return
            y, state = net(x[:, :warm], state)
            ahead = free_run(net, y[:, -1], state, len(shown.t) - 1 - warm)
            forecast = torch.cat((y[:, -1:], ahead), dim=1)[0]
        self.show(
            trainer, "val/forecast", shown.forecast_figure(forecast, "Forecast: each prediction is the next input")
        )


def _sum(errors: list[Tensor]) -> Tensor:
    """Adds (2, T) of different lengths T."""
    return pad_sequence([part.T for part in errors]).sum(1).T
