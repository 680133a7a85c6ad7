"""`ShownSequence`: one sequence with its times, and figures of a model's predictions for it.

Legend: T time steps, I input features, O outputs.
"""

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from rnn_lightning.batch import Batch
from rnn_lightning.models.batches import by_value, present, valid_steps

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class ShownSequence:
    """The first sequence of a batch, up to its end, with its times and the true values after it.

    The data module says whether targets are the next inputs (`predicts_next_input`), and its `example` has the times.

    Args:
        batch: A batch with `x`, and possibly `y`, `lengths`, `mask` and `reset`.
        data: The data module, or None.
        is_example: Whether the sequence is the data module's `example()`.
        ahead: The number of steps to show beyond the sequence, unless another sequence follows in the same row.

    Attributes:
        ahead: The number of steps to show beyond the sequence.
        x: (T, I) the inputs.
        y: (T, O) the targets, NaN where a target does not count; None if targets are not per step.
        t: (T + ahead + 1,) the times of the inputs and of the values after them; step numbers unless `timed`.
        inputs: (T + ahead + 1, I) the true inputs at the times `t`, NaN where they are not known.
        timed: Whether the times come from the data module.
        next_input: Whether each target is the input one step later.
    """

    def __init__(self, batch: Batch, data: Any = None, is_example: bool = False, ahead: int = 0) -> None:
        given = present(batch, "x", "y", "lengths", "mask", "reset")
        row = {key: value[:1].cpu() for key, value in given.items()}
        steps = int(row["lengths"]) if "lengths" in row else row["x"].shape[1]
        if "reset" in row and row["reset"].dim() > 1 and row["reset"][0, 1:steps].any():
            steps, ahead = 1 + int(row["reset"][0, 1:steps].int().argmax()), 0  # another sequence follows
        self.ahead = ahead
        self.x, self.y = row["x"][0, :steps].float().reshape(steps, -1), None  # also tokens (T,) and images
        if "y" in row and row["y"].shape[:2] == row["x"].shape[:2]:  # a model of your own may have other targets
            y = row["y"].flatten(2) if row["y"].dim() > 2 else row["y"][..., None]  # (1, T, O)
            valid = valid_steps(row)
            self.y = (y if valid is None else y.float().masked_fill(~by_value(valid), float("nan")))[0, :steps].float()
        self.next_input = bool(getattr(data, "predicts_next_input", False))
        self.t = torch.arange(steps + ahead + 1)
        self.inputs = torch.full((steps + ahead + 1, self.x.shape[1]), float("nan"))
        self.inputs[:steps] = self.x
        if self.next_input and self.y is not None:
            self.inputs[steps] = self.y[-1]
        longer: Batch = (data.example(steps + ahead) if is_example else None) or {}
        self.timed = "t" in longer and len(longer["t"]) == steps + ahead + 1
        if self.timed:
            self.t, known = longer["t"], longer["x"][0]
            if self.next_input:
                known = torch.cat((known, longer["y"][0, -1:]))
            self.inputs[: len(known)] = known
        self._label = "time t" if self.timed else "time step"

    def window_figure(self, predictions: Tensor, title: str) -> "Figure":
        """Draws inputs, targets and predictions (T, O), for the first feature and output."""
        from rnn_lightning.figures import window_figure

        steps = len(self.x)
        return window_figure(
            self.t[:steps],
            self.x[:, 0] if self.next_input else None,
            self.t[1 : steps + 1] if self.next_input else self.t[:steps],
            None if self.y is None else self.y[:, 0],
            predictions[:, 0].float().cpu(),
            title=title,
            xlabel=self._label,
        )

    def forecast_figure(self, forecast: Tensor, title: str) -> "Figure":
        """Draws a forecast (N, O) for the last N times, made from its own predictions, beside the true values."""
        from rnn_lightning.figures import forecast_figure

        begin = len(self.t) - len(forecast)
        t, inputs, ahead = self.t, self.inputs[:, 0], forecast[:, 0].float().cpu()
        return forecast_figure(t[:begin], inputs[:begin], t[begin:], ahead, inputs[begin:], title, self._label)
