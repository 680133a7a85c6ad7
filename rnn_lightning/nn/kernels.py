"""Runs one or several layers on torch's own kernels, even if rows differ in length or are empty.

Legend: B batch, T time steps, F features, H hidden units, L layers, D directions.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from rnn_lightning.nn.state import where_rows

KERNELS: dict[str, Callable[..., tuple[Tensor, ...]]] = {
    "RNN_TANH": torch.rnn_tanh,
    "RNN_RELU": torch.rnn_relu,
    "LSTM": torch.lstm,
    "GRU": torch.gru,
}
"""torch's kernels by `mode`."""


def run_kernel(
    layers: nn.RNNBase,
    count: int,
    x: Tensor,
    state: tuple[Tensor, ...],
    weights: Sequence[Tensor],
    lengths: Tensor | None = None,
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Runs `count` layers that have no state dropout.

    Args:
        layers: The stack, for its settings: cell, bias, directions, torch's own dropout between layers.
        count: How many of the stack's layers to run.
        x: (T, B, F).
        state: (h,) or (h, c), each (count * D, B, H).
        weights: The weights of these layers, in torch's order.
        lengths: (B,) on the CPU; past a row's length, its output is zero, and a row of length 0 keeps its state.

    Returns:
        The last layer's output (T, B, D * H) and the final state.
    """
    settings = (list(weights), layers.bias, count, layers.dropout, layers.training, layers.bidirectional)
    kernel, paired = KERNELS[layers.mode], layers.mode == "LSTM"
    if lengths is None:
        output, *final = kernel(x, state if paired else state[0], *settings, False)
        return output, tuple(final)
    # A packed row has at least one step, so the result for a row of length 0 is thrown away below. Such a row reads
    # zeros, so that values in its padding, such as NaN, do not reach the weights' gradients.
    empty = (lengths == 0).to(x.device)
    x = x.masked_fill(empty[:, None], 0.0)
    packed = pack_padded_sequence(x, lengths.clamp(min=1), enforce_sorted=False)
    order, back = packed.sorted_indices, packed.unsorted_indices
    assert order is not None, "packing without enforce_sorted always sorts"
    assert back is not None
    ordered = tuple(s.index_select(1, order) for s in state)
    data, *final = kernel(packed.data, packed.batch_sizes, ordered if paired else ordered[0], *settings)
    output, _ = pad_packed_sequence(packed._replace(data=data), total_length=x.shape[0])
    found = tuple(f.index_select(1, back) for f in final)
    kept = tuple(s.to(f.dtype) for s, f in zip(state, found, strict=True))  # autocast may have changed the type
    return output.masked_fill(empty[:, None], 0.0), where_rows(empty, kept, found)
