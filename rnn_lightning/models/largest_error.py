"""`LargestError`: the worst prediction of a validation or test."""

import torch
from torch import Tensor
from torchmetrics import Metric


class LargestError(Metric):
    """The largest absolute difference between a prediction and its target, over all targets that count.

    As the `monitor` of early stopping, it requires every sequence's error, not just the average, to be within a bound.
    """

    is_differentiable = False
    higher_is_better = False
    full_state_update = False
    largest: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("largest", default=torch.tensor(0.0), dist_reduce_fx="max")

    def update(self, preds: Tensor, target: Tensor) -> None:
        """Adds predictions (N, ...) and their targets."""
        if preds.numel():
            self.largest = torch.maximum(self.largest, (preds - target).abs().max().to(self.largest))

    def compute(self) -> Tensor:
        """Returns a scalar; 0 if there was no target."""
        return self.largest
