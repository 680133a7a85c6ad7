"""What a model is trained for: a task's loss, its metric, the form of its targets, and which of them count.

Legend: B batch, T time steps, O outputs, D values of a target.
"""

from collections.abc import Callable, Mapping
from typing import Any, Literal, get_args

import torch
from torch import Tensor
from torch.nn import functional as F

from rnn_lightning.errors import ArgumentError
from rnn_lightning.models.losses import CLASSIFICATION, MULTILABEL, REGRESSION, Loss, TargetLoss

Task = Literal["classification", "regression", "multilabel"]
_IGNORED = -100
"""The class that means "no target", as in torch."""


class Objective:
    """Loss and metric of a task.

    - `"classification"`: cross-entropy over O classes; metric `acc`, the share of targets that were predicted
      correctly. Targets of -100 do not count.
    - `"regression"`: mean squared error; metric `mae`, the mean absolute error. A target with O values counts once.
    - `"multilabel"`: O yes-or-no labels, binary cross-entropy; metric `acc`, the share of labels that were predicted
      correctly. Labels of -100 do not count.

    Targets that are NaN do not count. If only some values of a target are NaN, these values do not count.

    Args:
        task: One of the above; by default, the loss's task.
        output_size: O.
        loss: Another loss; see `TargetLoss`.
        default: The task if neither `task` nor `loss` gives one.
    """

    def __init__(
        self,
        task: str | None,
        output_size: int,
        loss: Loss | Mapping[str, Any] | None = None,
        default: Task = "regression",
    ) -> None:
        if task is not None and task not in get_args(Task):
            raise ArgumentError(f"task={task!r} is unknown: choose one of {', '.join(get_args(Task))}")
        if loss is None and task == MULTILABEL:
            loss = "BCEWithLogitsLoss"
        self.loss = None if loss is None else TargetLoss(loss, output_size)
        of_loss = None if self.loss is None else self.loss.task
        if task not in (None, of_loss) and of_loss is not None and (REGRESSION in (task, of_loss)):
            raise ArgumentError(f"task={task} does not fit a loss for {of_loss}: leave task out")
        self.task = of_loss or task or default
        self.classifies, self.output_size = self.task == CLASSIFICATION, output_size
        self.metric = "mae" if self.task == REGRESSION else "acc"

    @property
    def predicts_values(self) -> bool:
        """Whether the outputs are values of the targets' own kind, so that they can be fed back as inputs."""
        return self.task == REGRESSION and (self.loss is None or self.loss.plain_outputs)

    @property
    def target_size(self) -> int | None:
        """D, or the number of classes; None if a loss of your own may take any number."""
        return self.output_size if self.loss is None or self.classifies else self.loss.target_size

    def ignored(self, y: Tensor) -> Tensor | None:
        """Returns bool in the shape of y, true where a target does not count; None if such targets always count."""
        if self.task == REGRESSION:
            return y.isnan() if y.is_floating_point() else None
        ignored = y == _IGNORED
        if y.is_floating_point():
            ignored |= y.isnan()
        if self.loss is not None and self.loss.ignore_index != _IGNORED:
            ignored |= y == self.loss.ignore_index
        return ignored

    def prepare(self, y_hat: Tensor, y: Tensor, valid: Tensor | None) -> Tensor:
        """Converts targets to the form of the outputs, and checks them.

        Args:
            y_hat: (..., O), where ... is (B,) or (B, T).
            y: (...) class indices, or (..., D) values; with D = 1 the last dimension may be left out.
            valid: (...) or (..., D) bool, true where a target, or one of its values, counts; None if all do.

        Returns:
            Targets, 0 where they do not count: (...) int64 for classification, else (..., D) of the outputs' dtype. D
            is O, except for `GaussianNLLLoss` and for your own losses, which may take any number.

        Raises:
            ArgumentError: The targets have a wrong shape or dtype.
        """
        places = y_hat.shape[:-1]
        if self.classifies:
            if y.shape == (*places, 1):
                y = y.squeeze(-1)
            if y.shape != places or y.is_floating_point():
                labels = "; for several labels at once set task=multilabel" if y.shape == y_hat.shape else ""
                raise ArgumentError(
                    f"y is {y.dtype} of shape {tuple(y.shape)}: classification takes class indices (int64) of shape "
                    f"{tuple(places)}{labels}"
                )
        else:
            size = self.target_size
            if y.shape == places and size in (1, None):
                y = y.unsqueeze(-1)
            if y.shape != (*places, y.shape[-1] if size is None else size):
                raise ArgumentError(
                    f"y has shape {tuple(y.shape)}: {self.task} takes {(*places, size or '...')} (output_size last)"
                    if self.loss is None or not self.loss.gaussian
                    else f"y has shape {tuple(y.shape)}: GaussianNLLLoss takes {(*places, size)}, half of output_size"
                )
        y = y.to(torch.int64 if self.classifies else y_hat.dtype)
        if valid is not None:
            y = y.masked_fill(~_like(valid, y), 0)
        if self.classifies and y.device.type == "cpu":  # on an accelerator this would wait for the device
            low, high = int(y.min()), int(y.max())
            if low < 0 or high >= self.output_size:
                raise ArgumentError(
                    f"y has classes from {low} to {high}, but the model's output_size is {self.output_size}: "
                    f"classes are 0 to {self.output_size - 1}"
                )
        return y

    def loss_sum(self, y_hat: Tensor, y: Tensor, valid: Tensor | None) -> Tensor:
        """Sums the losses of the targets that count; `y` comes from `prepare`, and shapes are as described there."""
        return self.loss_and_weight(y_hat, y, valid)[0]

    def loss_and_weight(self, y_hat: Tensor, y: Tensor, valid: Tensor | None) -> tuple[Tensor, Tensor | float]:
        """Sums the losses of the targets that count, and sums their weights (1, or class weights)."""
        if self.loss is not None:
            dims = y_hat.dim() - 2
            rows = None if valid is None else valid.flatten(0, dims)  # (N,) or (N, D)
            return self.loss.sums(y_hat.flatten(0, dims), y.flatten(0, dims), rows)
        reduction = "sum" if valid is None else "none"
        if self.classifies:
            losses = F.cross_entropy(y_hat.flatten(0, -2), y.flatten(), reduction=reduction)  # () or (B * T,)
        else:
            losses = F.mse_loss(y_hat, y, reduction=reduction)  # () or (..., O)
            losses = losses if self.output_size == 1 else losses / self.output_size
        if valid is None:
            return losses, y_hat.shape[:-1].numel()
        counts = valid.flatten() if self.classifies else _like(valid, y)
        return torch.where(counts, losses, torch.zeros_like(losses)).sum(), self.count(y, valid)

    def count(self, y: Tensor, valid: Tensor | None) -> Tensor | float:
        """Counts the valid targets; a target with missing values counts in part."""
        if valid is None:
            return y.numel() if self.classifies else y.shape[:-1].numel()
        each_value = not self.classifies and valid.dim() == y.dim()
        return valid.sum() / y.shape[-1] if each_value else valid.sum()

    @torch.no_grad()
    def score_sum(self, y_hat: Tensor, y: Tensor, valid: Tensor | None, units: Tensor | None = None) -> Tensor | None:
        """Sums the metric over the targets that count: correct predictions or absolute errors.

        None if the outputs do not predict the targets directly. `units` (..., D) says what a difference of 1 in `y` is;
        the errors are in these units.
        """
        if valid is None and units is None and self.task == REGRESSION and self.loss is None:
            return F.l1_loss(y_hat, y, reduction="sum") / self.output_size
        scores = self._scores(y_hat, y, lambda y_hat, y: (y_hat - y).abs() * (1 if units is None else units))
        if scores is None or valid is None:
            return None if scores is None else scores.mean(-1).sum()
        return torch.where(_like(valid, scores), scores, torch.zeros_like(scores)).mean(-1).sum()

    @torch.no_grad()
    def errors(self, y_hat: Tensor, y: Tensor, valid: Tensor | None) -> Tensor:
        """Sums squared errors, or counts wrong classes, for each step of (B, T, O), and counts targets: (2, T)."""
        errors = self._scores(y_hat, y, lambda y_hat, y: (y_hat - y).square())  # (B, T, D)
        if errors is None:
            return y_hat.new_zeros(2, y_hat.shape[1])
        errors = errors.float() if self.task == REGRESSION else 1 - errors
        counts = torch.ones_like(errors) if valid is None else _like(valid, errors).expand_as(errors).to(errors)
        return torch.stack(((errors * counts).mean(-1).sum(dim=0), counts.mean(-1).sum(dim=0)))

    @torch.no_grad()
    def predictions(self, y_hat: Tensor) -> dict[str, Tensor]:
        """Makes predictions, by name, from the outputs (..., O).

        Returns:
            `prediction`: (...) classes, or (..., D) values or labels 0 and 1. Classes and labels also have
            `probability` (..., O), and `GaussianNLLLoss` also has `variance` (..., D).
        """
        if self.classifies:
            return {"prediction": y_hat.argmax(-1), "probability": y_hat.softmax(-1)}
        if self.task == MULTILABEL:
            return {"prediction": (y_hat > 0).long(), "probability": y_hat.sigmoid()}
        if self.loss is None:
            return {"prediction": y_hat}
        return {"prediction": self.loss.values(y_hat), **self.loss.more(y_hat)}

    def _scores(self, y_hat: Tensor, y: Tensor, error: Callable[[Tensor, Tensor], Tensor]) -> Tensor | None:
        """Returns correct predictions or errors (..., D or 1); None if the outputs do not predict targets directly."""
        if self.classifies:
            return (y_hat.argmax(-1) == y).float()[..., None]
        if self.task == MULTILABEL:
            return ((y_hat > 0) == (y > 0.5)).float() if y_hat.shape == y.shape else None
        values = y_hat if self.loss is None else self.loss.values(y_hat)
        return error(values, y) if values.shape == y.shape else None


def _like(valid: Tensor, y: Tensor) -> Tensor:
    """Reshapes bool (...) or (..., D) so that it broadcasts with (..., D)."""
    if valid.dim() < y.dim():
        return valid[..., None]
    if valid.dim() != y.dim() or valid.shape[-1] != y.shape[-1]:
        raise ArgumentError(f"mask has shape {tuple(valid.shape)}, but y has {tuple(y.shape)}: make them equal")
    return valid
