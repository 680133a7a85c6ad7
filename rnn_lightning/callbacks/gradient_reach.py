"""`GradientReach`: shows how gradients vanish or explode during training, and where truncated BPTT cuts them."""

from functools import partial
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor
from typing_extensions import override

from rnn_lightning.batch import Batch
from rnn_lightning.callbacks.figure_callback import SHARE, FigureCallback
from rnn_lightning.callbacks.tensorboard import logged_step
from rnn_lightning.models import SequenceModule
from rnn_lightning.models.batches import first_rows
from rnn_lightning.models.gradient_norms import gradient_norms

_LOOKS = 64  # the maximum number of measurements kept; beyond that, every second one is dropped


class GradientReach(FigureCallback):
    """Draws the norm of dLoss/dh_t against t, with a panel for each layer, as `train/gradient_reach`.

    Each validation adds a line, for the loss of each sequence's last target. A dotted line is for the loss of all
    targets, summed over passes as in training. Both are measured by `gradient_norms`, always on the first batch of the
    first validation.

    Args:
        enabled: Whether to draw the figure.
        share: The share of the training time that the figures may take before the last validation; 1 to draw them after
            every validation.
        rows: The number of sequences of the batch to use.
    """

    def __init__(self, enabled: bool = True, share: float = SHARE, rows: int = 32) -> None:
        super().__init__(enabled, share)
        self.rows = rows
        self._probe: Batch | None = None
        self._steps: list[int] = []
        self._norms: list[Tensor] = []  # (L, T) each

    @override
    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._probe = None

    @override
    def on_validation_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, *args: Any, **kwargs: Any
    ) -> None:
        if self._probe is None and isinstance(pl_module, SequenceModule) and self.writes(trainer):
            self._probe = first_rows(pl_module.prepare_batch(batch), self.rows)

    @override
    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._probe is None or not isinstance(pl_module, SequenceModule) or not self.writes(trainer):
            return
        from rnn_lightning.figures import gradient_reach_figure

        norms = gradient_norms(pl_module, self._probe)
        if self._norms and self._norms[-1].shape != norms.last.shape:  # restored norms are from other data
            self._steps, self._norms = [], []
        self._steps.append(logged_step(trainer))
        self._norms.append(norms.last)
        if len(self._steps) > _LOOKS:
            self._steps, self._norms = self._steps[::2], self._norms[::2]
        # The first step that the gradient of the last loss reaches; 0 if nothing is cut.
        graph = pl_module.plan(self._probe, training=True)[-1].graph
        begin = graph.start if graph.begins is None else int(graph.begins.min())
        draw = partial(
            gradient_reach_figure,
            torch.stack(self._norms),
            list(self._steps),
            cut=begin or None,
            cut_label="" if pl_module.tbptt is None else f"cut: k2 = {pl_module.tbptt.k2}",
            all_losses=None if torch.equal(norms.last, norms.every) else norms.every,
        )
        self.show(trainer, {"train/gradient_reach": draw})

    @override
    def state_dict(self) -> dict[str, Any]:
        return {"steps": self._steps, "norms": self._norms}

    @override
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._steps, self._norms = list(state_dict["steps"]), list(state_dict["norms"])
