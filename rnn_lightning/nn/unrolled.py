"""Runs a recurrent stack step by step, so that every hidden state is a node of the graph and has a gradient.

The faster paths return only a layer's output, and a hook on the output sees only the gradient from the layer above, not
from the next step. Here both read the same tensor h_t, so its gradient is the whole dLoss/dh_t.

Legend: B batch, T time steps, F input features, H hidden units, L layers, D directions.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from rnn_lightning.nn.forms import state_parts, state_shapes
from rnn_lightning.nn.recurrence import recurrence
from rnn_lightning.nn.stack import RecurrentLayers
from rnn_lightning.nn.state import State


class Unrolled(NamedTuple):
    """The result of `unrolled`.

    Attributes:
        output: (B, T, D * H), the top layer's hidden states; past a row's length, they are meaningless, not zero.
        state: The final state in torch's layout.
        hidden: Each layer's h_t by time step and direction, (B, H) each: `hidden[layer][t][direction]`.
    """

    output: Tensor
    state: State
    hidden: list[list[list[Tensor]]]


def unrolled(
    layers: RecurrentLayers,
    x: Tensor,
    state: State | None = None,
    lengths: Tensor | None = None,
    reset: Tensor | None = None,
) -> Unrolled:
    """Runs a stack without dropout, time step by time step and, within each step, layer by layer.

    Args:
        layers: The stack, with `batch_first=True`.
        x: (B, T, F).
        state: The initial state, h (L * D, B, H) or (h, c); zeros if not given.
        lengths: (B,) integers in [0, T]; after a row's end, its state does not change.
        reset: (B, T) bool, true where a new sequence begins at that step.

    Returns:
        The same values as `layers.eval()(x, state, lengths, reset=reset)`, as nodes of one graph, even where the
        weights need no gradient.
    """
    directions = 2 if layers.bidirectional else 1
    if state is None:
        initial = tuple(x.new_zeros(shape) for shape in state_shapes(layers, len(x)))
    else:
        initial = state_parts(layers.mode, state)
    if torch.is_grad_enabled():
        initial = (initial[0].detach().requires_grad_(), *initial[1:])  # even if no weight needs a gradient
    steps = x.shape[1]
    inputs = list(x.unbind(1))  # T times (B, F)
    begins = [None] * (steps + 1) if reset is None else [*reset.to(x.device).unbind(1), reset.new_zeros(len(x))]
    hidden, finals = [], []
    for layer in range(layers.num_layers):
        nodes: list[list[Tensor]] = [[] for _ in range(steps)]
        for direction in range(directions):
            row = layer * directions + direction
            at = tuple(part[row] for part in initial)
            for t in reversed(range(steps)) if direction == 1 else range(steps):
                alive = None if lengths is None else (lengths.to(x.device) - t).clamp(0, 1)
                anew = begins[t + direction]  # read backwards, a sequence begins with its last step
                if anew is not None and lengths is not None:
                    anew = anew & (lengths.to(x.device) > t + direction)
                zeroed = None if anew is None else anew[None]
                _, at = recurrence(layers.mode, inputs[t][None], at, layers.all_weights[row], None, alive, reset=zeroed)
                nodes[t].append(at[0])
            finals.append(at)
        inputs = [torch.cat(pair, dim=1) if directions == 2 else pair[0] for pair in nodes]  # (B, D * H) each
        hidden.append(nodes)
    parts = [torch.stack(part) for part in zip(*finals, strict=True)]  # (L * D, B, H) each
    return Unrolled(torch.stack(inputs, dim=1), (parts[0], parts[1]) if layers.mode == "LSTM" else parts[0], hidden)
