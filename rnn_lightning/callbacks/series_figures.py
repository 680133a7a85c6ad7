"""`SeriesFigures`: shows a sequence-to-sequence model's predictions of a series, after validations."""

from functools import partial
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from typing_extensions import override

from rnn_lightning.batch import Batch
from rnn_lightning.callbacks.figure_callback import SHARE, Draw, FigureCallback
from rnn_lightning.data import TimeSeries
from rnn_lightning.models import Seq2Seq
from rnn_lightning.models.batches import begun, first_rows
from rnn_lightning.models.ranks import gather
from rnn_lightning.nn import free_run
from rnn_lightning.nn.dropout import without_dropout
from rnn_lightning.predictions import ShownSequence

_AHEAD = 60  # how many steps to forecast beyond the data's example


class SeriesFigures(FigureCallback):
    """Draws three figures of a `Seq2Seq` model after validations.

    - `val/window`: the inputs, targets and predictions on one window, for regression only. The window is the data's
      `example()`, which starts at t = 12.2 for `SyntheticSine`. If there is no example, it is the first sequence of the
      validation.
    - `val/forecast`: a forecast from that window on, in which each prediction is the next input. This needs a data
      module whose targets are the inputs one step ahead (`predicts_next_input`).
    - `val/error_by_step`: the held-out error of each time step, over the whole validation. It is the mean squared error
      or the share of wrong classes.

    Args:
        enabled: Whether to draw the figures.
        share: The share of the training time that the figures may take before the last validation; 1 to draw them after
            every validation.
    """

    def __init__(self, enabled: bool = True, share: float = SHARE) -> None:
        super().__init__(enabled, share)
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
        regression = pl_module.objective.task == "regression"
        name = "mean squared error" if regression else "share of wrong classes"
        by_step = partial(error_by_step_figure, errors / targets, name)  # no target: 0 / 0 = NaN
        of_example = (
            self._of_example(pl_module, self._first, getattr(trainer, "datamodule", None)) if regression else {}
        )
        self.show(trainer, {"val/error_by_step": by_step, **of_example})

    def _of_example(self, module: Seq2Seq, first: Batch, data: Any) -> dict[str, Draw]:
        """Predicts the data's example, or else the first sequence; returns what draws the predictions."""
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
            window = partial(shown.window_figure, predictions, title)
            feeds_back = shown.next_input and module.objective.predicts_values
            if not feeds_back or warm < 1 or net.layers.bidirectional:
                return {"val/window": window}
            y, state = net(x[:, :warm], state)
            ahead = free_run(net, y[:, -1], state, len(shown.t) - 1 - warm)
            forecast = torch.cat((y[:, -1:], ahead), dim=1)[0]
        title = "Forecast: each prediction is the next input"
        return {"val/window": window, "val/forecast": partial(shown.forecast_figure, forecast, title)}


def _sum(errors: list[Tensor]) -> Tensor:
    """Adds (2, T) of different lengths T."""
    return pad_sequence([part.T for part in errors]).sum(1).T
