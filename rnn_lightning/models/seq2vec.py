"""`Seq2Vec`: one output for a whole sequence."""

from typing import Any

from torch import Tensor

from rnn_lightning.errors import ArgumentError
from rnn_lightning.models.batches import Batch
from rnn_lightning.models.loop import Result
from rnn_lightning.models.objective import Task
from rnn_lightning.models.plan import Pass, end_pass
from rnn_lightning.models.sequence_module import SequenceModule
from rnn_lightning.nn import Seq2VecNet


class Seq2Vec(SequenceModule):
    """Trains a `Seq2VecNet`: one output per sequence, classification by default.

    Arguments and errors are those of `SequenceModule`. Targets are `y` (B,), or (B, O) for regression or several
    labels; targets that are NaN or the class -100 do not count. The loss is at the end of each sequence, so under
    `tbptt` there is one backward pass and one optimizer step per batch: the gradient goes back k2 steps from each row's
    own last step, and the earlier steps run without a graph, k1 at a time.
    """

    network = Seq2VecNet
    default_task: Task = "classification"
    time_keys = ("x",)

    def prepare_batch(self, batch: Any, needs_y: bool = True) -> Batch:
        """Checks that a batch fits the network; adds `counts`, which targets are not missing (None if all are there)."""
        batch = super().prepare_batch(batch, needs_y)
        if batch.get("mask") is not None:
            raise ArgumentError("mask says which steps have a target, but Seq2Vec has one per sequence: leave mask out")
        y = batch.get("y")
        if y is not None:
            if y.dim() > 2:
                raise ArgumentError(
                    f"y has shape {tuple(y.shape)}: Seq2Vec takes one target per sequence, (B,) or (B, O); for one at each "
                    "step, use Seq2Seq"
                )
            batch["counts"] = self.valid_targets(y, 1)
        return batch

    def plan(self, batch: Batch, training: bool) -> list[Pass]:
        """Plans one pass, as there is one loss, at the sequences' ends."""
        if self.tbptt is None:
            return super().plan(batch, training)
        k2, lengths = (self.tbptt.k2, batch.get("lengths")) if training else (self.tbptt.k1, None)
        return end_pass(batch["x"].shape[1], self.tbptt.k1, k2, lengths)

    def valid(self, chunk: Batch) -> Tensor | None:
        """(B,) or (B, O) bool, true where the target, or one of its values, counts; None if all do."""
        return chunk.get("counts")

    def shown(self, chunk: Batch, result: Result) -> dict[str, Tensor]:
        """Returns `outputs` (O, B); the last dimension is the rows."""
        return {"outputs": result.more["prediction"].T}
