"""Batches of sequences: their contents, the checks before use, and how to cut a span of time steps from them.

Legend: B batch, T time steps, I input features, O outputs.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence, pad_packed_sequence

from rnn_lightning.batch import Batch
from rnn_lightning.errors import ArgumentError
from rnn_lightning.models.plan import Span
from rnn_lightning.nn import reset_rows
from rnn_lightning.nn import state as states
from rnn_lightning.nn.lengths import length_mask

TIME_KEYS = ("x", "y", "mask", "units", "offset")
"""The keys of a batch whose second dimension is time, by default; so is a `reset` of two dimensions."""


def as_batch(batch: Any, needs_y: bool = True) -> Batch:
    """Checks a batch from a data loader; returns it as a new dict, which may be changed. A tuple or list is x and y.

    Args:
        batch: A dict with the keys of `Batch`, or a sequence of tensors. A packed x or y is padded, and the batch gets
            `lengths`.
        needs_y: Whether targets are required.

    Raises:
        ArgumentError: A key is missing or a shape does not fit.
    """
    if isinstance(batch, (Tensor, PackedSequence)):  # a packed sequence is itself a tuple
        batch = {"x": batch}
    elif not isinstance(batch, dict):
        if not isinstance(batch, Sequence) or not 1 <= len(batch) <= 2:
            raise ArgumentError(f"a batch is a dict with x and y, or a tuple (x, y); the data gave {describe(batch)}")
        batch = dict(zip(("x", "y"), batch, strict=False))
    batch = _padded(batch)
    if "x" not in batch or (needs_y and "y" not in batch):
        raise ArgumentError(f"the batch has {sorted(batch)}: it needs x" + (" and y" if needs_y else ""))
    for key in ("x", "y", "lengths", "mask", "reset"):
        if batch.get(key) is not None and not isinstance(batch[key], Tensor):
            raise ArgumentError(f"{key} of the batch is {describe(batch[key])}: give a tensor, with sequences padded")
    if needs_y and batch["y"] is None:
        raise ArgumentError("y of the batch is None: the targets are required")
    x = batch["x"]
    if x is None or x.dim() < 2 or 0 in x.shape:
        raise ArgumentError(f"x is {describe(x)}: give shape (batch, time steps, ...), with no dimension of size 0")
    if needs_y and len(batch["y"]) != len(x):
        raise ArgumentError(
            f"y has {len(batch['y'])} rows, but x has {len(x)}: give one target, or one sequence of targets, for each row"
        )
    _check_options(batch, *x.shape[:2])
    return batch


def _padded(batch: dict[str, Any]) -> dict[str, Any]:
    """Copies a batch, pads x and y if they were packed, and adds the `lengths` of a packed x."""
    padded = dict(batch)
    for key in ("x", "y"):
        if isinstance(batch.get(key), PackedSequence):
            padded[key], lengths = pad_packed_sequence(batch[key], batch_first=True)
            if key == "x":
                padded["lengths"] = lengths.to(padded[key].device)
    return padded


def _check_options(batch: Batch, rows: int, steps: int) -> None:
    lengths, mask, reset = batch.get("lengths"), batch.get("mask"), batch.get("reset")
    if lengths is not None:
        if lengths.shape != (rows,) or lengths.is_floating_point() or lengths.dtype == torch.bool:
            raise ArgumentError(f"lengths is {describe(lengths)}: give one integer for each row, shape ({rows},)")
        low, high = map(int, lengths.aminmax())
        if not 1 <= low <= high <= steps:
            raise ArgumentError(f"lengths are in [{low}, {high}]: give lengths from 1 to T={steps}")
    if mask is not None and (mask.shape[:2] != (rows, steps) or mask.dim() > 3 or mask.dtype != torch.bool):
        raise ArgumentError(
            f"mask is {describe(mask)}: give bool of shape ({rows}, {steps}), or one entry for each value of a target"
        )
    if reset is not None and (reset.shape not in ((rows,), (rows, steps)) or reset.dtype != torch.bool):
        raise ArgumentError(f"reset is {describe(reset)}: give bool of shape ({rows},) or ({rows}, {steps})")


def check_tokens(x: Tensor, count: int) -> None:
    """Raises `ArgumentError` if a network with this number of tokens cannot read x."""
    if x.dim() != 2 or x.is_floating_point() or x.dtype == torch.bool:
        raise ArgumentError(
            f"x is {describe(x)}: a network with an embedding reads integer tokens of shape (batch, time steps); for "
            "features, leave embedding_size out"
        )
    if x.device.type == "cpu":  # on an accelerator this would wait for the device
        low, high = map(int, x.aminmax())
        if low < 0 or high >= count:
            raise ArgumentError(
                f"x has tokens from {low} to {high}, but the model's input_size is {count}: tokens are 0 to {count - 1}"
            )


def check_features(x: Tensor, input_size: int) -> None:
    """Raises `ArgumentError` if a network with this number of features per step cannot read x."""
    if x.dim() == 2 and not x.is_floating_point():
        raise ArgumentError(
            f"x is {describe(x)}, which looks like tokens: give floats of shape (batch, time steps, features), such as "
            "x.float()[..., None]; for tokens, set embedding_size, and input_size to the number of tokens"
        )
    if x.dim() != 3 or not x.is_floating_point():
        raise ArgumentError(
            f"x is {describe(x)}: give floats of shape (batch, time steps, features), with no dimension of size 0"
        )
    if x.shape[2] != input_size:
        raise ArgumentError(
            f"x has {x.shape[2]} features per step, but the model's input_size is {input_size}: make them equal"
        )


def one_value(valid: Tensor, places: int) -> Tensor:
    """Reshapes (..., 1) to (...), where ... stands for `places` dimensions; other shapes are unchanged."""
    return valid.squeeze(-1) if valid.dim() > places and valid.shape[-1] == 1 else valid


def by_value(mask: Tensor) -> Tensor:
    """Reshapes a mask (B, T) to (B, T, 1); a mask (B, T, O) is unchanged."""
    return mask if mask.dim() == 3 else mask[..., None]


def both(first: Tensor | None, second: Tensor | None) -> Tensor | None:
    """Returns where two masks, (B, T) or (B, T, O), are true; None is true everywhere."""
    if first is None or second is None:
        return second if first is None else first
    return first & second if first.dim() == second.dim() else by_value(first) & by_value(second)


def valid_steps(batch: Batch) -> Tensor | None:
    """Returns which targets count, given `lengths` and `mask`: bool, (B, T) or the mask's shape; None if all do."""
    x, lengths = batch["x"], batch.get("lengths")
    return both(batch.get("mask"), None if lengths is None else length_mask(lengths, x.shape[1], x.device))


def present(batch: Batch, *keys: str) -> Batch:
    """Returns the entries of a batch under these keys, as far as it has them."""
    return {key: batch[key] for key in keys if batch.get(key) is not None}


def begun(batch: Batch, state: Any) -> Any:
    """Returns the state before a batch's first step, zeroed in the rows where a `reset` (B,) is true."""
    reset = batch.get("reset")
    return state if reset is None or reset.dim() > 1 else reset_rows(state, reset)


def first_rows(batch: Batch, rows: int) -> Batch:
    """Returns the first `rows` sequences of a batch; values that are no tensors with B rows are kept."""
    by_row = {k: v for k, v in batch.items() if isinstance(v, Tensor) and v.shape[:1] == batch["x"].shape[:1]}
    state = states.first_rows(batch.get("state"), rows)
    return {**batch, **{key: value[:rows] for key, value in by_row.items()}, "state": state}


def cut(batch: Batch, span: Span, time_keys: Sequence[str] = TIME_KEYS) -> Batch:
    """Cuts a span of time steps out of a batch.

    Without what concerns the batch's first step only: `state`, and a `reset` (B,); see `begun`.

    Args:
        batch: The whole batch.
        span: Which steps.
        time_keys: The keys whose second dimension is time; a `reset` with two dimensions is always one of them.

    Returns:
        A batch of `span.stop - span.start` steps. Its `lengths` count from the span's first step, and are 0 for rows
        that have ended.
    """
    start, stop, begins, ends = span
    lengths = batch.get("lengths") if ends is None else ends
    chunk = dict(batch)
    chunk.pop("state", None)
    for key, value in batch.items():
        if key == "reset" and value is not None and value.dim() == 1:
            del chunk[key]
        elif value is not None and (key in time_keys or key == "reset"):
            chunk[key] = _steps(value, span)
    if lengths is not None:
        first = start if begins is None else begins.to(lengths.device)
        chunk["lengths"] = (lengths - first).clamp(0, stop - start)
    return chunk


def _steps(value: Tensor, span: Span) -> Tensor:
    if span.begins is None:
        return value[:, span.start : span.stop]
    steps = span.begins[:, None] + torch.arange(span.stop - span.start)  # (B, t)
    steps = steps.clamp(max=value.shape[1] - 1).to(value.device)  # steps past a row's end are not read
    return value[torch.arange(len(value), device=value.device)[:, None], steps]


def describe(value: Any) -> str:
    """Describes a value's type and shape, for a message."""
    if isinstance(value, Tensor):
        return f"{str(value.dtype).removeprefix('torch.')} of shape {tuple(value.shape)}"
    if isinstance(value, (list, tuple)):
        return f"a {type(value).__name__} of {len(value)}"
    return f"a {type(value).__name__}"
