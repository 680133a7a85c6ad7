"""`Seq2Seq`: one output for each time step."""

from torch import Tensor

from rnn_lightning.models.batch import Batch, valid_steps
from rnn_lightning.models.objective import Task
from rnn_lightning.models.sequence_module import SequenceModule
from rnn_lightning.nn import Seq2SeqNet


class Seq2Seq(SequenceModule):
    """Trains a `Seq2SeqNet`: one output a time step, regression unless said otherwise.

    Arguments and errors are those of `SequenceModule`. Targets are `y` (B, T), or (B, T, O) for regression; those past a
    row's length, or where the batch's `mask` is false, do not count. Under `tbptt` there is a loss on every chunk.
    """

    network = Seq2SeqNet
    default_task: Task = "regression"

    def valid(self, chunk: Batch) -> Tensor | None:
        """(B, T) bool, true where the target counts; None if all do."""
        return valid_steps(chunk)
