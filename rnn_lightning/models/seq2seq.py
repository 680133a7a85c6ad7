"""`Seq2Seq`: one output for each time step."""

import math
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from rnn_lightning.errors import ArgumentError
from rnn_lightning.models.batches import Batch, both, one_value, valid_steps
from rnn_lightning.models.loop import Result
from rnn_lightning.models.objective import Task
from rnn_lightning.models.sequence_module import SequenceModule
from rnn_lightning.nn import Seq2SeqNet


class Seq2Seq(SequenceModule):
    """Trains a `Seq2SeqNet`: one output per time step, regression by default.

    Arguments and errors are those of `SequenceModule`. Targets are `y` (B, T), or (B, T, O) for regression or several
    labels. Targets do not count past a row's length, where the batch's `mask` is false, or if they are NaN or the class
    -100. Under `tbptt`, every chunk has a loss.
    """

    network = Seq2SeqNet
    default_task: Task = "regression"

    def prepare_batch(self, batch: Any, needs_y: bool = True) -> Batch:
        """Checks that a batch fits the network; its `mask` then also leaves out missing targets."""
        batch = super().prepare_batch(batch, needs_y)
        x, y = batch["x"], batch.get("y")
        if y is not None and (y.dim() < 2 or y.shape[1] != x.shape[1]):
            raise ArgumentError(
                f"y has shape {tuple(y.shape)}: Seq2Seq takes one target for each of the {x.shape[1]} steps of x, "
                "(B, T) or (B, T, O); for one target per sequence, use Seq2Vec"
            )
        mask = batch.get("mask")
        batch["mask"] = both(
            None if mask is None else one_value(mask, 2), None if y is None else self.valid_targets(y, 2)
        )
        return batch

    def valid(self, chunk: Batch) -> Tensor | None:
        """(B, T) or (B, T, O) bool, true where the target, or one of its values, counts; None if all do."""
        return valid_steps(chunk)

    def derived_metrics(self, stage: str, means: Mapping[str, float]) -> dict[str, float]:
        """Adds, for tokens, `perplexity` (e^loss), and `bits_per_character` if the data counts characters."""
        if self.net.embedding is None or not self.objective.classifies:
            return {}
        per_token: dict[str, float] = getattr(self.trainer.datamodule, "characters_per_token", {})  # type: ignore[attr-defined]
        derived = {}
        for name, loss in means.items():
            loss_name, _, loader = name.partition("/")
            if loss_name == "loss":
                of = f"/{loader}" if loader else ""
                derived[f"perplexity{of}"] = math.exp(loss) if loss < 700 else math.inf
                if stage in per_token:
                    derived[f"bits_per_character{of}"] = loss / math.log(2) / per_token[stage]
        return derived

    def shown(self, chunk: Batch, result: Result) -> dict[str, Tensor]:
        """Returns `errors` (2, T); see `Objective.errors`."""
        y_hat, valid = result.more["prediction"], self.valid(chunk)
        return {"errors": self.objective.errors(y_hat, self.objective.prepare(y_hat, chunk["y"], valid), valid)}
