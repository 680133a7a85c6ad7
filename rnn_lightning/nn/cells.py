"""Runs one time step on torch's cells, which are faster than any recurrence over a sequence of one step."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from rnn_lightning.nn.path import is_free
from rnn_lightning.nn.state import State

CELLS: dict[str, Callable[..., Any]] = {
    "RNN_TANH": torch.rnn_tanh_cell,
    "RNN_RELU": torch.rnn_relu_cell,
    "LSTM": torch.lstm_cell,
    "GRU": torch.gru_cell,
}
"""By torch's `mode`."""

_TYPES = (torch.float32, torch.float64)

# Whether global module hooks are registered, which need a layer to be called as a module. torch has no public way to
# ask.
_has_global_hooks: Callable[[], bool] = getattr(nn.modules.module, "_has_any_global_hook", lambda: True)


def can_run_cells(layers: Any, x: Tensor, state: State) -> bool:
    """Whether torch's cells alone can compute a step x (B, F): one direction, no dropout, no projection, no hooks."""
    if isinstance(state, Tensor) == (layers.mode == "LSTM") or (layers.mode == "LSTM" and len(state) != 2):
        return False  # a state of another cell, which `forward` refuses
    h = state if isinstance(state, Tensor) else state[0]
    return (
        x.dtype in _TYPES
        and x.dim() == 2
        and h.dim() == 3
        and h.shape[0] == layers.num_layers  # len(h) takes a microsecond
        and not layers.proj_size
        and not (layers.training and (layers.dropout or layers._drops))
        and not (layers._forward_hooks or layers._forward_pre_hooks)
        and not (layers._backward_hooks or layers._backward_pre_hooks)
        and not _has_global_hooks()
        and is_free(x)
    )


def run_cells(layers: Any, x: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, State]:
    """Runs one step through all layers: x (B, F) and state, tensors (L, B, H) -> output (B, H) and new state.

    Output and state share no memory: the output may be changed in place without changing the state, or what the
    backward pass needs.

    With a batch of one, a step takes 25 us, half of it in Python, so this is written for speed.
    """
    cell, paired, weights = CELLS[layers.mode], layers.mode == "LSTM", _weights(layers)
    if not layers.bias:
        weights = [(*own, None, None) for own in weights]
    if layers.num_layers == 1:  # indexing is faster than unbinding
        h_0, *c_0 = [part[0] for part in state]
        h, *c = cell(x, (h_0, *c_0), *weights[0]) if paired else (cell(x, h_0, *weights[0]),)
        # Stacking makes a new state, so the output need not be copied unless the backward pass needs it.
        y = h.clone() if h.requires_grad else h
        return y, (torch.stack((h,)), c[0][None]) if paired else torch.stack((h,))
    finals = []
    for own, *parts in zip(weights, *(part.unbind(0) for part in state), strict=True):
        final = cell(x, parts, *own) if paired else (cell(x, *parts, *own),)
        finals.append(final)
        x = final[0]
    joined = [torch.stack(part) for part in zip(*finals, strict=True)]
    return x.clone(), (joined[0], joined[1]) if paired else joined[0]


def _weights(layers: Any) -> Sequence[Sequence[Any]]:
    """Returns each layer's weights, from the dictionary of parameters if all are there: this is ten times as fast."""
    own = layers._parameters
    try:
        return [[own[name] for name in names] for names in layers._all_weights]
    except KeyError:  # pruned or parametrised weights are attributes
        return layers.all_weights
