"""The recurrent state: what a stack hands from one time step, or one chunk, to the next.

A state is a tensor, or any nest of tuples, lists, dicts, named tuples and dataclasses of tensors, which may also
contain None and numbers. Every function here treats all of these alike.

Legend: B batch, T time steps, H hidden units, L layers, D directions.
"""

import copy
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from typing import Any, TypeAlias

import torch
from torch import Tensor

from rnn_lightning.errors import ArgumentError

State: TypeAlias = Tensor | tuple[Tensor, Tensor]
"""torch's layout: h (L * D, B, H) for an RNN or GRU, the pair (h, c) of such tensors for an LSTM."""


def map_state(fn: Callable[..., Any], state: Any, *others: Any) -> Any:
    """Applies `fn` to every tensor of a state, with its counterparts in `others`; other values are kept."""
    if isinstance(state, Tensor):
        return fn(state, *others)
    if isinstance(state, (tuple, list)):
        parts = [map_state(fn, *same) for same in zip(state, *others, strict=True)]
        # A named tuple takes its values as separate arguments.
        return type(state)(*parts) if hasattr(state, "_fields") else type(state)(parts)
    if isinstance(state, Mapping):
        mapped: Any = copy.copy(state)
        for key in state:
            mapped[key] = map_state(fn, *(part[key] for part in (state, *others)))
        return mapped
    if is_dataclass(state) and not isinstance(state, type):
        mapped = copy.copy(state)
        for field in fields(state):  # bypasses a frozen class's own __setattr__
            parts = [getattr(part, field.name) for part in (state, *others)]
            object.__setattr__(mapped, field.name, map_state(fn, *parts))
        return mapped
    return state


def detach_state(state: Any) -> Any:
    """Detaches a state from the graph, to pass it from one chunk to the next."""
    return map_state(Tensor.detach, state)


def first_rows(state: Any, rows: int) -> Any:
    """Returns the state of the first `rows` sequences of a batch."""

    def take(part: Tensor) -> Tensor:
        return part[..., :rows, :] if part.dim() > 1 else part[:rows] if part.dim() else part

    return map_state(take, state)


def where_rows(rows: Tensor, first: Any, second: Any) -> Any:
    """Selects each row's state, from `first` where `rows` (B,) is true, else from `second`; both have one structure.

    Raises:
        ArgumentError: The second-last dimension of a tensor is not B.
    """

    def choose(a: Tensor, b: Tensor) -> Tensor:
        if a.dim() == 0:  # one number for all rows
            return b
        if a.shape[-2 if a.dim() > 1 else 0] != len(rows):
            raise ArgumentError(
                f"the state has a tensor of shape {tuple(a.shape)} for {len(rows)} rows: give states whose second-last "
                "dimension is the rows, such as (layers, B, hidden) or (B, hidden)"
            )
        here = rows.to(a.device)
        return torch.where(here[:, None] if a.dim() > 1 else here, a, b)

    return map_state(choose, first, second)


def reset_rows(state: Any, reset: Tensor) -> Any:
    """Zeroes the state of the rows that begin a new sequence.

    Args:
        state: Tensors of shape (L * D, B, H), or a nest of them.
        reset: (B,) bool, true where row i begins a new sequence.

    Returns:
        A new state. Rows where `reset` is false are unchanged, as are values that belong to no row.
    """
    return where_rows(reset, map_state(torch.zeros_like, state), state)
