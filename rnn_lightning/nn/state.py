"""The recurrent state: what a stack hands from one time step, or one chunk, to the next.

Legend: B batch, T time steps, H hidden units, L layers, D directions.
"""

from collections.abc import Callable
from typing import Any, TypeAlias

import torch
from torch import Tensor

State: TypeAlias = Tensor | tuple[Tensor, Tensor]
"""torch's layout: h (L * D, B, H) for RNN and GRU, the pair (h, c) of such tensors for LSTM."""


def map_state(fn: Callable[[Tensor], Tensor], state: Any) -> Any:
    """Applies `fn` to every tensor of a state, or of any nest of tuples, lists and dicts; what is no tensor stays."""
    if isinstance(state, Tensor):
        return fn(state)
    if isinstance(state, dict):
        return {key: map_state(fn, value) for key, value in state.items()}
    if isinstance(state, tuple) and hasattr(state, "_fields"):  # a named tuple takes its fields one by one
        return type(state)(*(map_state(fn, part) for part in state))
    if isinstance(state, (tuple, list)):
        return type(state)(map_state(fn, part) for part in state)
    return state


def detach_state(state: Any) -> Any:
    """The same values, cut from the graph: what crosses the border between two chunks."""
    return map_state(Tensor.detach, state)


def where_rows(rows: Tensor, first: Any, second: Any) -> Any:
    """Row by row, the state `first` where `rows` (B,) is true, else `second`; both of one structure."""
    if isinstance(first, Tensor):
        return torch.where(rows.to(first.device)[:, None], first, second)
    if isinstance(first, dict):
        return {key: where_rows(rows, value, second[key]) for key, value in first.items()}
    return type(first)(where_rows(rows, a, b) for a, b in zip(first, second, strict=True))


def reset_rows(state: Any, reset: Tensor) -> Any:
    """Zeroes the state of the rows that begin a new sequence.

    Args:
        state: Tensors of shape (L * D, B, H), or a tuple of them.
        reset: (B,) bool, true where row i begins a new sequence.

    Returns:
        A new state; rows where `reset` is false are unchanged.
    """
    return where_rows(reset, map_state(torch.zeros_like, state), state)
