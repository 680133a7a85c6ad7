"""`TruncatedBPTT`: the settings of truncated backpropagation through time."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal, get_args

from rnn_lightning.errors import ArgumentError

ClipAlgorithm = Literal["norm", "value"]


@dataclass(frozen=True)
class TruncatedBPTT:
    """How far gradients flow back in time, and how often the weights change (Williams & Peng 1990, BPTT(k2; k1)).

    Attributes:
        k1: The length of a chunk: how many time steps run forward between two backward passes.
        k2: How many time steps the gradient flows back over, at least k1; by default k1. For k2 > k1, each pass
            restarts k2 - k1 steps before its chunk, from the stored detached state, with current weights and the
            same masks.
        step_every: When the optimizer steps: `"chunk"`, after each chunk; `"batch"`, once per batch, on the mean loss
            over its chunks; an integer n, once every n batches.
        gradient_clip_val: Bound on the gradient before each optimizer step; None for no clipping. (Lightning refuses
            `Trainer(gradient_clip_val=...)` under manual optimisation, so set it here.)
        gradient_clip_algorithm: `"norm"` scales the whole gradient down to this 2-norm; `"value"` clips each entry.

    Raises:
        ArgumentError: k1 < 1, k2 < k1, or another value is out of range.
    """

    k1: int
    k2: int = None  # type: ignore[assignment]  # `__post_init__` makes it k1
    step_every: Literal["chunk", "batch"] | int = "chunk"
    gradient_clip_val: float | None = None
    gradient_clip_algorithm: ClipAlgorithm = "norm"

    def __post_init__(self) -> None:
        """Checks the values. A missing k2 becomes k1, and numpy's numbers become Python's."""
        for name in ("k1", "k2", "step_every", "gradient_clip_val"):
            value = getattr(self, name)
            if hasattr(value, "item") and getattr(value, "ndim", 1) == 0:
                object.__setattr__(self, name, value.item())
        if not _is_int(self.k1) or self.k1 < 1:
            raise ArgumentError(
                f"tbptt.k1={self.k1!r}: give the chunk's length in time steps, an integer of at least 1"
            )
        if self.k2 is None:
            object.__setattr__(self, "k2", self.k1)
        if not _is_int(self.k2) or self.k2 < self.k1:
            raise ArgumentError(
                f"tbptt.k2={self.k2!r} is less than tbptt.k1={self.k1}: the gradient must flow back over the whole chunk; "
                f"give k2 >= {self.k1} or leave it out"
            )
        if self.step_every not in ("chunk", "batch") and not (_is_int(self.step_every) and int(self.step_every) >= 1):
            raise ArgumentError(f'tbptt.step_every={self.step_every!r}: give "chunk", "batch" or a number of batches')
        if self.gradient_clip_val is not None and not self.gradient_clip_val > 0:
            raise ArgumentError(
                f"tbptt.gradient_clip_val={self.gradient_clip_val!r}: give a bound > 0, or leave it out"
            )
        if self.gradient_clip_algorithm not in get_args(ClipAlgorithm):
            raise ArgumentError(
                f'tbptt.gradient_clip_algorithm={self.gradient_clip_algorithm!r}: give "norm" or "value"'
            )

    @classmethod
    def of(cls, value: Any) -> "TruncatedBPTT | None":
        """Returns a `TruncatedBPTT` or None as it is; makes one from the dict of its values in a checkpoint.

        Raises:
            ArgumentError: The value is something else.
        """
        if isinstance(value, Mapping) and set(value) == {field.name for field in fields(cls)}:
            return cls(**value)
        if value is not None and not isinstance(value, cls):
            raise ArgumentError(f"tbptt={value!r}: give TruncatedBPTT(k1=...), in YAML `tbptt: {{k1: ...}}`, or None")
        return value

    @property
    def batches_per_step(self) -> int:
        """How many batches share one optimizer step; 0 if every chunk has its own."""
        if self.step_every == "chunk":
            return 0
        return 1 if self.step_every == "batch" else int(self.step_every)


def _is_int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
