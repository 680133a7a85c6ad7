"""Which implementation runs a layer: what each one supports, which one is fastest, and how to force one.

| path | what it is | does not support |
|---|---|---|
| `"torch"` | torch's own kernels | state dropout, `reset`; `torch.vmap` and forward-mode AD |
| `"native"` | the whole sequence at once, in C, on a CPU | see `native_lacks` |
| `"reference"` | the papers' equations, step by step | nothing |
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from itertools import chain
from typing import Literal, get_args

import torch
from torch import Tensor

from rnn_lightning.errors import ArgumentError
from rnn_lightning.nn import native
from rnn_lightning.nn.dropout import Mask
from rnn_lightning.nn.precision import REDUCED, multiplied_type, under_autocast
from rnn_lightning.nn.transforms import traces, transforms

Path = Literal["torch", "native", "reference"]
Choice = Literal["auto", "torch", "native", "reference"]

_PLAIN = (Tensor, torch.nn.Parameter)
_SMALL = 256
"""Up to this many hidden units, four steps are enough to pay for packing the weights."""
_SECOND_CACHE = 2 * 2**20
"""The size, in bytes, of the L2 cache of a core with AVX-512."""

_choice: ContextVar[Choice] = ContextVar("rnn_lightning_path", default="auto")


@contextmanager
def force_path(path: Choice) -> Iterator[None]:
    """Runs every recurrent layer inside the `with` block on one path; `"auto"` chooses the fastest.

    This is for tests and measurements. If the path does not support a layer's call, the call raises `ArgumentError`.
    Inside `torch.compile` and `torch.export` nothing is forced.
    """
    if path not in get_args(Choice):
        raise ArgumentError(f"path={path!r} is unknown: choose one of {', '.join(get_args(Choice))}")
    token = _choice.set(path)
    try:
        yield
    finally:
        _choice.reset(token)


def is_free(x: Tensor) -> bool:
    """Whether no path is forced, and autocast (which would change types) is off."""
    return not torch.compiler.is_compiling() and _choice.get() == "auto" and not under_autocast(x)


def choose_path(
    mode: str,
    x: Tensor,
    steps: int,
    weights: Sequence[Sequence[Tensor]],
    state: Sequence[Tensor] = (),
    mask: Mask | None = None,
    lengths: Tensor | None = None,
    reset: Tensor | None = None,
) -> Path:
    """Chooses the path of a stack of layers, or of one layer.

    Args:
        mode: torch.nn's name of the cell, such as `"LSTM"`.
        x: The input, in any form.
        steps: T.
        weights: The weights of each layer and direction, as in `recurrence`.
        state: The initial state, if there is one.
        mask: The mask of state dropout, if there is one.
        lengths: As in `recurrence`.
        reset: As in `recurrence`.

    Raises:
        ArgumentError: The forced path does not support this call.
    """
    choice = "auto" if torch.compiler.is_compiling() else _choice.get()  # Dynamo does not support context variables
    if choice == "reference":
        return choice
    if choice != "auto":
        missing = torch_lacks(x, mask, lengths, reset) if choice == "torch" else native_lacks(x, weights, state, mask)
        if missing is not None:
            raise ArgumentError(f'force_path("{choice}") has no {missing}: leave that out, or force "auto"')
        return choice
    torch_serves = torch_lacks(x, mask, lengths, reset) is None
    if native_lacks(x, weights, state, mask) is None and not (
        torch_serves and lengths is None and _torch_is_faster(mode, x, steps, weights)
    ):
        return "native"
    return "torch" if torch_serves else "reference"


def torch_lacks(x: Tensor, mask: Mask | None, lengths: Tensor | None, reset: Tensor | None) -> str | None:
    """Returns what torch's kernels lack for a layer's call; None if nothing."""
    if mask is not None:
        return "state_dropout"
    if reset is not None:
        return "reset"
    if lengths is not None and x.is_meta:
        return "support for lengths of tensors without data"
    return "rules for torch.vmap and forward-mode AD" if transforms() & {"Vmap", "Jvp"} else None


def native_lacks(
    x: Tensor, weights: Sequence[Sequence[Tensor]], state: Sequence[Tensor], mask: Mask | None
) -> str | None:
    """Returns what the native recurrence lacks for a layer's call; None if nothing.

    The native recurrence needs

    - plain tensors in a CPU's memory: no meta, fake or functional ones, no other subclass of Tensor;
    - no tracing, compiling or exporting, which see only torch's operations;
    - no transform of torch.func and no forward-mode AD;
    - a mask without a gradient of its own, in bfloat16, the type in which masks are drawn;
    - no projection;
    - float32 or float64 (lower precisions arrive as float32, see `in_working_precision`);
    - the library, which needs a C compiler when the package is installed.
    """
    if traces():
        return "support for tracing"
    for tensor in chain((x, *state), *weights):
        if type(tensor) not in _PLAIN or not tensor.is_cpu:
            return "support for tensors other than plain ones in a CPU's memory"
    if transforms():
        return "rules for torch.func and forward-mode AD"
    if mask is not None and mask.keep.requires_grad:
        return "gradients of masks"
    if mask is not None and mask.keep.dtype != torch.bfloat16:
        return "support for masks other than those in bfloat16"
    if len(weights[0]) in (3, 5):
        return "proj_size"
    if multiplied_type(x) not in (torch.float32, torch.float64, *REDUCED):
        return f"{x.dtype}"
    if not under_autocast(x) and any(t.dtype != x.dtype for t in state):
        return "support for tensors of different types"
    return None if native.reason() is None else f"library ({native.reason()})"


def _torch_is_faster(mode: str, x: Tensor, steps: int, weights: Sequence[Sequence[Tensor]]) -> bool:
    """Whether torch's kernels beat the native recurrence, as measured by `scripts/benchmark_recurrence.py`."""
    if multiplied_type(x) in REDUCED:
        return False
    if 64 * steps < max(weights[0][1].shape[1], _SMALL):
        return True  # too few steps to pay for packing the weights
    # torch's LSTM in float32 is oneDNN's, which uses AVX-512 well and divides large weights among the threads.
    is_onednn = mode == "LSTM" and x.dtype == torch.float32 and native.variant() == "avx512"
    return is_onednn and any(_bytes(own[0]) + _bytes(own[1]) > _SECOND_CACHE for own in weights)


def _bytes(tensor: Tensor) -> int:
    return tensor.numel() * tensor.element_size()
