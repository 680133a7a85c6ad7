"""One layer in one direction as a whole: what `recurrence` gives, several times faster on a CPU, in plain PyTorch.

A loop over autograd's operations pays for a graph node and an allocation at every operation of every step, and sums T
small products for each weight gradient. Here one `torch.autograd.Function` a layer runs forward and backward over all
steps: the input's share of the gates as large GEMMs, a loop in place over preallocated buffers with a handful of
operations a step, the weight gradients as large GEMMs. The state mask costs one multiplication a step.

Legend: B batch, T time steps, F input features, H hidden units, G gates.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from rnn_lightning.nn.dropout import Mask
from rnn_lightning.nn.fused_gru import FusedGRU
from rnn_lightning.nn.fused_lstm import FusedLSTM
from rnn_lightning.nn.fused_rnn import FusedRNN
from rnn_lightning.nn.fused_steps import Steps, without_autocast


def fused_recurrence(
    mode: str,
    x: Tensor,
    state: tuple[Tensor, ...],
    weights: Sequence[Tensor],
    mask: Mask | None = None,
    lengths: Tensor | None = None,
    reverse: bool = False,
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Runs one layer in one direction over all time steps; arguments and results are those of `recurrence`.

    bfloat16 and float16, also by autocast, are computed in float32 and rounded at the end: more exact than a loop in
    reduced precision. Gradients can be taken once; for second derivatives use `force_path("reference")`. There is no
    gradient for the mask.
    """
    dtype = x.dtype
    if torch.is_autocast_enabled(x.device.type) and dtype != torch.float64:  # autocast leaves float64 as it is
        dtype = torch.get_autocast_dtype(x.device.type)
    keep, scale = (None, 1.0) if mask is None else mask
    with without_autocast(x):
        if dtype in (torch.bfloat16, torch.float16) or x.dtype != dtype:
            x, state, weights = x.float(), tuple(s.float() for s in state), [w.float() for w in weights]
        if lengths is None:
            output, final = _run(mode, x, state, weights, keep, scale, reverse=reverse)
        else:
            output, final = _run_lengths(mode, x, state, weights, keep, scale, lengths, reverse)
        return output.to(dtype), tuple(s.to(dtype) for s in final)


def _run(
    mode: str,
    x: Tensor,
    state: tuple[Tensor, ...],
    weights: Sequence[Tensor],
    mask: Tensor | None,
    scale: float,
    reverse: bool = False,
    sizes: tuple[int, ...] | None = None,
) -> tuple[Tensor, tuple[Tensor, ...]]:
    keep = torch.is_grad_enabled() and any(tensor.requires_grad for tensor in (x, *state, *weights))
    steps = Steps(x.shape[0], x.shape[1], reverse, sizes, scale, keep)
    state = tuple(s.contiguous() for s in state)
    biases = weights if len(weights) == 4 else (*weights, None, None)
    if mode == "LSTM":
        output, *final = FusedLSTM.apply(steps, x, mask, *state, *biases)
    elif mode == "GRU":
        output, *final = FusedGRU.apply(steps, x, mask, *state, *biases)
    else:
        output, *final = FusedRNN.apply(steps, mode == "RNN_RELU", x, mask, *state, *biases)
    return output, tuple(final)


def _run_lengths(
    mode: str,
    x: Tensor,
    state: tuple[Tensor, ...],
    weights: Sequence[Tensor],
    mask: Tensor | None,
    scale: float,
    lengths: Tensor,
    reverse: bool,
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """`_run` with the longest row first and every row's own time from its front, so that a step runs the first rows.

    Steps, not masks, leave out what stands past a row's end: it costs no time and reaches no gradient.
    """
    count, batch = x.shape[:2]
    lengths, order = lengths.to(x.device).sort(descending=True, stable=True)
    time = torch.arange(count, device=x.device)[:, None]  # (T, 1)
    past = time >= lengths  # (T, B)
    source = torch.where(past, time, lengths - 1 - time) if reverse else time.expand(count, batch)
    place = (source * batch + order).flatten()  # where the sorted, turned sequences stand in the given ones
    back = torch.empty_like(place).scatter_(0, place, torch.arange(len(place), device=x.device))
    sizes = tuple((~past).sum(1).tolist())
    # What stands past a row's end, were it NaN, must not reach the weights' gradients.
    x = x.flatten(0, 1).index_select(0, place).view_as(x).masked_fill(past[..., None], 0.0)
    if mask is not None and len(mask) == 1:
        mask = mask.index_select(1, order)
    elif mask is not None:
        mask = mask.flatten(0, 1).index_select(0, place).view_as(mask)
    state = tuple(s.index_select(0, order) for s in state)
    output, final = _run(mode, x, state, weights, mask, scale, sizes=sizes)
    output = output.masked_fill(past[..., None], 0.0).flatten(0, 1).index_select(0, back).view_as(output)
    unsort = torch.empty_like(order).scatter_(0, order, torch.arange(batch, device=x.device))
    return output, tuple(s.index_select(0, unsort) for s in final)
