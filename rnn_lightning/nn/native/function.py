"""`native_recurrence`: one layer in one direction on the native library, with gradients of every order."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from rnn_lightning.nn.dropout import Mask
from rnn_lightning.nn.native.operators import backward, forward
from rnn_lightning.nn.recurrence import recurrence
from rnn_lightning.nn.transforms import transforms


def native_recurrence(
    mode: str,
    x: Tensor,
    state: tuple[Tensor, ...],
    weights: Sequence[Tensor],
    mask: Mask | None = None,
    lengths: Tensor | None = None,
    reverse: bool = False,
    reset: Tensor | None = None,
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Runs one layer in one direction over all time steps; arguments and results are those of `recurrence`.

    x, state and weights are plain tensors in a CPU's memory, all float32 or all float64. On one machine and with the
    same number of threads, results are bit-for-bit the same, whatever ran before.
    """
    keep, scale = (None, 1.0) if mask is None else mask
    h_0, c_0 = state if mode == "LSTM" else (state[0], None)
    biases = weights[2:] if len(weights) == 4 else (None, None)
    layer = (mode, x, h_0, c_0, *weights[:2], *biases, keep, scale, lengths, reverse, reset)
    if torch.is_grad_enabled() and any(tensor.requires_grad for tensor in (x, *state, *weights)):
        y, *final = _Recurrence.apply(*layer)
    else:
        y, *final, _ = forward(*layer, False)
    return y, tuple(final[: len(state)])


class _Recurrence(torch.autograd.Function):
    """Saves what the backward pass needs, but not the outputs, which the caller may change in place."""

    @staticmethod
    def forward(ctx: Any, *layer: Any) -> tuple[Tensor, ...]:
        y, h_n, c_n, tape = forward(*layer, True)
        mode, *tensors, keep, scale, lengths, reverse, reset = layer
        ctx.save_for_backward(*tensors, keep, lengths, reset, tape)
        ctx.mode, ctx.scale, ctx.reverse = mode, scale, reverse
        ctx.set_materialize_grads(False)
        return (y, h_n, c_n) if mode == "LSTM" else (y, h_n)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Any, ...]:
        *tensors, keep, lengths, reset, tape = ctx.saved_tensors
        layer = (ctx.mode, *tensors, keep, ctx.scale, lengths, ctx.reverse, reset)
        # create_graph=True, which differentiates these gradients again, or is_grads_batched=True
        if torch.is_grad_enabled() or transforms():
            return (None, *_by_reference(layer, grads), *(None,) * 5)
        grad_y, grad_h_n, grad_c_n = (*grads, None)[:3]
        found = backward(*layer, tape, grad_y, grad_h_n, grad_c_n, ctx.needs_input_grad[1])
        wanted = zip(found, ctx.needs_input_grad[1:8], strict=True)
        return (None, *(gradient if needed else None for gradient, needed in wanted), *(None,) * 5)


def _by_reference(layer: tuple[Any, ...], grads: Sequence[Tensor | None]) -> list[Tensor | None]:
    """Computes the gradients with respect to x, h_0, c_0 and the weights, with torch's own operations."""
    mode, *tensors, keep, scale, lengths, reverse, reset = layer
    x, h_0, c_0, *weights = tensors
    mask = None if keep is None else Mask(keep, scale)
    state = (h_0,) if c_0 is None else (h_0, c_0)
    present = [weight for weight in weights if weight is not None]
    create_graph = torch.is_grad_enabled()
    with torch.enable_grad():
        y, final = recurrence(mode, x, state, present, mask, lengths, reverse, reset)
    pairs = [(output, grad) for output, grad in zip((y, *final), grads, strict=True) if grad is not None]
    inputs = [tensor for tensor in tensors if tensor is not None and tensor.requires_grad]
    outputs, given = zip(*pairs, strict=True)
    found = iter(torch.autograd.grad(outputs, inputs, given, create_graph=create_graph, allow_unused=True))
    return [next(found) if tensor is not None and tensor.requires_grad else None for tensor in tensors]
