"""One sequence along its time axis, for figures: when its values are, what they are, and whether the next is asked for.

Legend: T time steps, I input features, O outputs.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from rnn_lightning.models import Batch
from rnn_lightning.models.batch import valid_steps


class Sequence(NamedTuple):
    """One sequence of a batch.

    Attributes:
        x: (T, I).
        y: (T, O), NaN where a target does not count; None where none is known.
    """

    x: Tensor
    y: Tensor | None

    @staticmethod
    def first_of(batch: Batch) -> "Sequence":
        """The first sequence of a batch, cut to its length, on the CPU."""
        row = {key: value[:1].cpu() for key, value in batch.items() if isinstance(value, Tensor)}
        length = int(row["lengths"]) if "lengths" in row else row["x"].shape[1]
        y = row.get("y")
        if y is not None:
            y = (y if y.dim() == 3 else y[..., None]).float()  # (1, T, O)
            valid = valid_steps(row)
            y = y[0, :length] if valid is None else y.masked_fill(~valid[..., None], float("nan"))[0, :length]
        return Sequence(row["x"][0, :length].float(), y)

    @property
    def asks_for_next(self) -> bool:
        """Whether each target is the input one step later, so that a prediction can be the next input."""
        if self.y is None or len(self.x) < 2 or self.x.shape != self.y.shape:
            return False
        known = ~self.y[:-1].isnan()
        return bool(known.any()) and torch.allclose(self.y[:-1][known], self.x[1:][known])


class Timeline(NamedTuple):
    """The time axis of a sequence and what is known to come after it.

    Attributes:
        t: (N + 1,) times of the inputs 0, ..., N - 1 and of what comes next.
        values: (N + 1, I) the true inputs at these times; NaN where they are not known.
        timed: Whether the times are the data's own; else they count the steps.
    """

    t: Tensor
    values: Tensor
    timed: bool

    @property
    def label(self) -> str:
        """What the times are, for an axis."""
        return "time t" if self.timed else "time step"

    @staticmethod
    def of(sequence: Sequence, steps: int, data: Any = None) -> "Timeline":
        """The time axis of `steps` inputs, at least those of the sequence.

        Args:
            sequence: The sequence.
            steps: N.
            data: The data module; where the sequence is its `example()`, it knows the times and the true continuation.
        """
        example: Any = data.example(steps) if hasattr(data, "example") else None
        x = sequence.x
        known = example is not None and "t" in example and example["x"].shape[1] == steps
        if known and torch.equal(example["x"][0, : len(x)], x):
            return Timeline(example["t"], torch.cat((example["x"][0], example["y"][0, -1:])), timed=True)
        values = torch.full((steps + 1, x.shape[1]), float("nan"))
        values[: len(x)] = x
        if sequence.asks_for_next and sequence.y is not None:
            values[len(x)] = sequence.y[-1]
        return Timeline(torch.arange(steps + 1), values, timed=False)
