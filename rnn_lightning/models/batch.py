"""A batch of sequences: what it holds, what is checked before it is used, and how a stretch of time is cut from it.

Legend: B batch, T time steps, I input features, O outputs.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from rnn_lightning.batch import Batch
from rnn_lightning.errors import ArgumentError


def as_batch(batch: Any, input_size: int | None = None, needs_y: bool = True) -> Batch:
    """Checks a batch from a data loader and returns it as a dict; a pair (or more) is taken as x and y.

    Args:
        batch: A dict with the keys of `Batch`, or a sequence of tensors.
        input_size: I, if it must fit.
        needs_y: Whether targets must be there.

    Raises:
        ArgumentError: A key is missing or a shape does not fit.
    """
    if isinstance(batch, Tensor):
        batch = {"x": batch}
    elif not isinstance(batch, dict):
        if not isinstance(batch, Sequence) or not 1 <= len(batch) <= 2:
            raise ArgumentError(f"a batch is a dict with x and y, or a pair (x, y); the data gave {_describe(batch)}")
        batch = dict(zip(("x", "y"), batch, strict=False))
    if "x" not in batch or (needs_y and "y" not in batch):
        raise ArgumentError(f"the batch has {sorted(batch)}: it needs x" + (" and y" if needs_y else ""))
    for key in ("x", "y", "lengths", "mask", "reset"):
        if batch.get(key) is not None and not isinstance(batch[key], Tensor):
            raise ArgumentError(f"{key} of the batch is {_describe(batch[key])}: give a tensor (and sequences padded)")
    if needs_y and batch["y"] is None:
        raise ArgumentError("y of the batch is None: give the targets")
    x = batch["x"]
    if x is None or x.dim() != 3 or 0 in x.shape or not x.is_floating_point():
        raise ArgumentError(f"x is {_describe(x)}: give floats of shape (batch, time steps, features), none of them 0")
    if input_size is not None and x.shape[2] != input_size:
        raise ArgumentError(
            f"x has {x.shape[2]} features a step, the model's input_size is {input_size}: make them equal"
        )
    rows, steps = x.shape[:2]
    lengths, mask, reset = batch.get("lengths"), batch.get("mask"), batch.get("reset")
    if lengths is not None:
        if lengths.shape != (rows,) or lengths.is_floating_point() or lengths.dtype == torch.bool:
            raise ArgumentError(f"lengths is {_describe(lengths)}: give one integer a row, shape ({rows},)")
        if not 1 <= int(lengths.min()) <= int(lengths.max()) <= steps:
            raise ArgumentError(
                f"lengths lie in [{int(lengths.min())}, {int(lengths.max())}]: a sequence has 1 to T={steps} steps"
            )
    if mask is not None and (mask.shape != (rows, steps) or mask.dtype != torch.bool):
        raise ArgumentError(f"mask is {_describe(mask)}: give bool of shape ({rows}, {steps})")
    if needs_y and len(batch["y"]) != rows:
        raise ArgumentError(f"y has {len(batch['y'])} rows, x has {rows}: give one target, or sequence of them, a row")
    if reset is not None and (reset.shape != (rows,) or reset.dtype != torch.bool):
        raise ArgumentError(f"reset is {_describe(reset)}: give bool of shape ({rows},)")
    return dict(batch)


def valid_steps(batch: Batch) -> Tensor | None:
    """(B, T) bool, true where a step's target counts by `lengths` and `mask`; None where all do."""
    valid = batch.get("mask")
    if batch.get("lengths") is not None:
        x = batch["x"]
        within = torch.arange(x.shape[1], device=x.device) < batch["lengths"].to(x.device)[:, None]  # (B, T)
        valid = within if valid is None else valid & within
    return valid


def cut(batch: Batch, start: int, stop: int, time_keys: Sequence[str] = ("x", "y", "mask")) -> Batch:
    """The time steps `start` to `stop` (exclusive) of a batch.

    Args:
        batch: The whole batch.
        start: First step.
        stop: Step after the last.
        time_keys: The keys whose second dimension is time.

    Returns:
        A batch of `stop - start` steps. Its `lengths` count from `start`: 0 for a row that has ended.
    """
    chunk = {key: value[:, start:stop] if key in time_keys else value for key, value in batch.items()}
    if batch.get("lengths") is not None:
        chunk["lengths"] = (batch["lengths"] - start).clamp(0, stop - start)
    return chunk


def _describe(value: Any) -> str:
    if isinstance(value, Tensor):
        return f"{str(value.dtype).removeprefix('torch.')} of shape {tuple(value.shape)}"
    if isinstance(value, (list, tuple)):
        return f"a {type(value).__name__} of {len(value)}"
    return f"a {type(value).__name__}"
