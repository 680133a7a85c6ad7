"""Which implementation runs a layer: chosen by itself, or forced for tests and measurements."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Literal, get_args

import torch
from torch import Tensor

from rnn_lightning.errors import ArgumentError
from rnn_lightning.nn.dropout import Mask
from rnn_lightning.nn.fused_product import SMALLEST

Path = Literal["auto", "torch", "fused", "reference"]

_path: ContextVar[Path] = ContextVar("rnn_lightning_path", default="auto")


@contextmanager
def force_path(path: Path) -> Iterator[None]:
    """Runs every recurrent layer inside the `with` block on one path.

    - `"auto"`: whichever is fastest, see `choose_path`.
    - `"torch"`: torch's kernels always; active state dropout, which they lack, is an `ArgumentError`.
    - `"fused"`: the whole-sequence recurrence always. Gradients can be taken once, masks have none, and the transforms
      of torch.func do not pass through: give those `"reference"` or `"torch"`.
    - `"reference"`: the step-by-step recurrence always.
    """
    if path not in get_args(Path):
        raise ArgumentError(f"path={path!r} is unknown: choose one of {', '.join(get_args(Path))}")
    token = _path.set(path)
    try:
        yield
    finally:
        _path.reset(token)


def choose_path(
    mode: str,
    x: Tensor,
    state_mask: Mask | None = None,
    ragged: bool = False,
    step_size: int | None = None,
    resets: bool = False,
) -> Literal["torch", "fused", "reference"]:
    """The path of a layer.

    Unless one is forced:

    - Traced, exported or compiled: torch's kernels, else (with state dropout) the reference; exporters know both.
    - On a GPU: torch's kernels (cuDNN), else the reference.
    - On a CPU: the whole-sequence recurrence, but without state dropout torch's kernels in reduced precision, for an
      LSTM on rows of equal length in float32 (oneDNN), and for a small GRU without gradients. Measured by
      `scripts/benchmark_recurrence.py`.

    Args:
        mode: As torch.nn names the cell, `"LSTM"` for instance.
        x: The input; its device and dtype matter.
        state_mask: The mask of state dropout, if there is one.
        ragged: Whether the rows have lengths.
        step_size: The multiplications of a step's product with the state, B * G * H * H, where known.
        resets: Whether new sequences begin within the rows, which only the reference knows.
    """
    path = "auto" if torch.compiler.is_compiling() else _path.get()  # Dynamo knows no context variables
    if path == "torch" and state_mask is not None:
        raise ArgumentError('force_path("torch") has no state dropout: set state_dropout=0, or force "fused" or "auto"')
    if resets:
        if path in ("torch", "fused"):
            raise ArgumentError(f'force_path("{path}") has no reset: leave reset out, or force "reference" or "auto"')
        return "reference"
    if path != "auto":
        return path
    slow: Literal["torch", "reference"] = "torch" if state_mask is None else "reference"
    if torch.compiler.is_compiling() or torch.jit.is_tracing() or torch.onnx.is_in_onnx_export():
        return slow
    if x.device.type != "cpu" or (state_mask is not None and state_mask.keep.requires_grad):
        return slow
    if state_mask is None and (torch.is_autocast_enabled("cpu") or x.dtype not in (torch.float32, torch.float64)):
        return "torch"
    if state_mask is not None or ragged:
        return "fused"
    if mode == "LSTM" and x.dtype == torch.float32:
        return "torch"
    small = step_size is not None and step_size < SMALLEST
    return "torch" if mode == "GRU" and small and not torch.is_grad_enabled() else "fused"
