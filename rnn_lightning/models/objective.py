"""What a model is trained for: the loss of a task, its metric, and the form of its targets.

Legend: B batch, T time steps, O outputs.
"""

from typing import Literal, get_args

import torch
from torch import Tensor
from torch.nn import functional as F

from rnn_lightning.errors import ArgumentError

Task = Literal["classification", "regression"]


class Objective:
    """Loss and metric of a task.

    - `"classification"`: cross-entropy over O classes; metric `acc`, the share of targets that were hit.
    - `"regression"`: mean squared error; metric `mae`, the mean absolute error. A target of O values counts once.

    Args:
        task: One of the above.
        output_size: O.
    """

    def __init__(self, task: str, output_size: int) -> None:
        if task not in get_args(Task):
            raise ArgumentError(f"task={task!r} is unknown: choose one of {', '.join(get_args(Task))}")
        self.classifies, self.output_size = task == "classification", output_size
        self.metric = "acc" if self.classifies else "mae"

    def prepare(self, y_hat: Tensor, y: Tensor, valid: Tensor | None) -> Tensor:
        """Brings targets to the form of the outputs and checks them.

        Args:
            y_hat: (..., O), where ... is (B,) or (B, T).
            y: (...) class indices, or (..., O) values; with O = 1 the last dimension may be left out.
            valid: (...) bool, true where the target counts, or (..., O) where its values do; None where all do.

        Returns:
            Targets, 0 where they do not count: (...) int64 for classification, else (..., O) of the outputs' dtype.

        Raises:
            ArgumentError: Shape or dtype of the targets does not fit.
        """
        if self.classifies:
            if y.shape == (*y_hat.shape[:-1], 1):
                y = y.squeeze(-1)
            if y.shape != y_hat.shape[:-1] or y.is_floating_point():
                raise ArgumentError(
                    f"y is {y.dtype} of shape {tuple(y.shape)}: classification takes class indices (int64) of shape "
                    f"{tuple(y_hat.shape[:-1])}"
                )
            y = y.to(torch.int64)
        else:
            if self.output_size == 1 and y.shape == y_hat.shape[:-1]:
                y = y.unsqueeze(-1)
            if y.shape != y_hat.shape:
                raise ArgumentError(
                    f"y has shape {tuple(y.shape)}: regression takes {tuple(y_hat.shape)} (output_size last)"
                )
            y = y.to(y_hat.dtype)
        if valid is not None:
            y = y.masked_fill(~_like(valid, y), 0)
        if self.classifies and y.device.type == "cpu":  # an accelerator would have to be waited for
            low, high = int(y.min()), int(y.max())
            if low < 0 or high >= self.output_size:
                raise ArgumentError(
                    f"y has classes from {low} to {high}, the model's output_size is {self.output_size}: "
                    f"classes are 0 to {self.output_size - 1}"
                )
        return y

    def loss_sum(self, y_hat: Tensor, y: Tensor, valid: Tensor | None) -> Tensor:
        """Sum of the losses of the targets that count; `y` from `prepare`, other shapes as there."""
        reduction = "sum" if valid is None else "none"
        if self.classifies:
            losses = F.cross_entropy(y_hat.flatten(0, -2), y.flatten(), reduction=reduction)  # () or (B * T,)
        else:
            losses = F.mse_loss(y_hat, y, reduction=reduction)  # () or (..., O)
            losses = losses if self.output_size == 1 else losses / self.output_size
        if valid is None:
            return losses
        counts = valid.flatten() if self.classifies else _like(valid, losses)
        return torch.where(counts, losses, torch.zeros_like(losses)).sum()

    @torch.no_grad()
    def score_sum(self, y_hat: Tensor, y: Tensor, valid: Tensor | None) -> Tensor:
        """Sum of the metric over the targets that count: how many were hit, or the absolute errors."""
        if valid is None and not self.classifies:
            return F.l1_loss(y_hat, y, reduction="sum") / self.output_size
        scores = (y_hat.argmax(-1) == y).float() if self.classifies else (y_hat - y).abs() / self.output_size
        return scores.sum() if valid is None else torch.where(_like(valid, scores), scores, 0.0).sum()

    @torch.no_grad()
    def errors(self, y_hat: Tensor, y: Tensor, valid: Tensor | None) -> Tensor:
        """(2, T) of outputs (B, T, O): each step's sum of squared errors or wrong classes, and number of targets."""
        errors = (y_hat.argmax(-1) != y)[..., None].float() if self.classifies else (y_hat - y).square().float()
        counts = torch.ones_like(errors) if valid is None else _like(valid, errors).expand_as(errors).float()
        return torch.stack(((errors * counts).sum(dim=(0, 2)), counts.sum(dim=(0, 2)))) / errors.shape[-1]


def _like(valid: Tensor, values: Tensor) -> Tensor:
    """What counts, in a shape that goes with that of the values: (...) stands for all of (..., O)."""
    return valid if valid.dim() == values.dim() else valid[..., None]
