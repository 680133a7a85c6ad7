"""One time step on torch's cells, which are faster than any recurrence over a sequence of one step."""

from collections.abc import Callable
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

# Whether global module hooks are registered, which need a layer to be called as a module. torch has no public way to
# ask.
_has_global_hooks: Callable[[], bool] = getattr(nn.modules.module, "_has_any_global_hook", lambda: True)


def can_run_cells(layers: Any, x: Tensor, state: State) -> bool:
    """Whether torch's cells alone can compute a step x (B, F): one direction, no dropout, no projection, no hooks."""
    h = state if isinstance(state, Tensor) else state[0]
    return (
        x.dim() == 2
        and h.dim() == 3
        and len(h) == layers.num_layers
        and not (layers.training and (layers._drops or layers.dropout))
        and not layers.proj_size
        and x.dtype in (torch.float32, torch.float64)
        and not (layers._forward_hooks or layers._forward_pre_hooks)
        and not (layers._backward_hooks or layers._backward_pre_hooks)
        and not _has_global_hooks()
        and is_free(x)
    )


def run_cells(layers: Any, x: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, State]:
    """One step through all layers: x (B, F) and the state, tensors (L, B, H) -> the output (B, H) and the new state."""
    cell, paired, count = CELLS[layers.mode], layers.mode == "LSTM", layers.num_layers
    parts = [s.unbind(0) for s in state]
    finals: list[tuple[Tensor, ...]] = []
    for layer, weights in enumerate(layers.all_weights):
        biases = () if layers.bias else (None, None)
        if paired:
            new = cell(x, (parts[0][layer], parts[1][layer]), *weights, *biases)
        else:
            new = (cell(x, parts[0][layer], *weights, *biases),)
        finals.append(new)
        x = new[0]
    if count == 1:
        final = tuple(part.unsqueeze(0) for part in finals[0])
    else:
        final = tuple(torch.stack(layer) for layer in zip(*finals, strict=True))
    return x, (final[0], final[1]) if paired else final[0]
