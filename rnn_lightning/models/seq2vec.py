"""`Seq2Vec`: one output for a whole sequence."""

import torch
from torch import Tensor

from rnn_lightning.errors import ArgumentError
from rnn_lightning.models.batch import Batch
from rnn_lightning.models.chunks import Window, whole
from rnn_lightning.models.objective import Task
from rnn_lightning.models.sequence_module import SequenceModule
from rnn_lightning.nn import DropoutMasks, Seq2VecNet, State


class Seq2Vec(SequenceModule):
    """Trains a `Seq2VecNet`: one output a sequence, classification unless said otherwise.

    Arguments and errors are those of `SequenceModule`. Targets are `y` (B,), or (B, O) for regression. The loss stands at
    the end of each sequence, so under `tbptt` there is one backward pass and one optimizer step a batch: the gradient
    goes back k2 steps from each row's own last step, and the steps before run without a graph, k1 at a time.
    """

    network = Seq2VecNet
    default_task: Task = "classification"
    time_keys = ("x",)

    def prepare_batch(self, batch: Batch) -> Batch:
        """Checks what the data loader gave against the network."""
        batch = super().prepare_batch(batch)
        if batch.get("mask") is not None:
            raise ArgumentError("mask says which steps have a target, Seq2Vec has one a sequence: leave mask out")
        return batch

    def plan(self, batch: Batch) -> list[Window]:
        """One pass: there is one loss, at the sequences' ends."""
        return [whole(batch["x"].shape[1])]

    def expected_targets(self, batch: Batch) -> int:
        """One target a row."""
        return len(batch["x"])

    def valid(self, chunk: Batch) -> Tensor | None:
        """Every row counts."""
        return None

    def sample_masks(self, rows: int, steps: int) -> DropoutMasks | None:
        """Variational masks; fresh ones, which a long sequence would need many of, the network draws piece by piece."""
        return super().sample_masks(rows, steps) if self.tbptt is None or self.net.layers.variational else None

    def outputs(self, chunk: Batch, state: State | None) -> tuple[Tensor, State]:
        """(B, O): under `tbptt` only the last k2 steps of each row have a graph."""
        if self.tbptt is None:
            return super().outputs(chunk, state)
        x, lengths, masks = chunk["x"], chunk.get("lengths"), chunk.get("masks")
        steps, k2 = x.shape[1], self.tbptt.back
        if steps <= k2:
            return self.net(x, state, lengths, masks)
        ends = torch.full((len(x),), steps) if lengths is None else lengths.cpu()
        starts = (ends - k2).clamp(min=0)  # (B,), the step from which a row's gradient counts
        with torch.no_grad():
            last = int(starts.max())
            for begin in range(0, last, self.tbptt.k1):
                piece = x[:, begin : min(begin + self.tbptt.k1, last)]
                within = None if lengths is None else (starts - begin).clamp(0, piece.shape[1])
                state = self.net.layers(piece, state, within, masks)[1]
        if lengths is None:
            return self.net(x[:, last:], state, None, masks)
        steps_of_rows = (starts[:, None] + torch.arange(k2)).clamp(max=steps - 1).to(x.device)  # (B, k2)
        tail = x.gather(1, steps_of_rows[..., None].expand(-1, -1, x.shape[2]))  # (B, k2, I)
        return self.net(tail, state, ends - starts, masks)
