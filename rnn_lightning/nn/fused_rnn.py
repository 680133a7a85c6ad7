"""The whole-sequence RNN: forward and backward over all steps of one layer in one direction.

h_t = f(W_ih x_t + b_ih + W_hh m_(t-1) h_(t-1) + b_hh), f tanh or relu, m the state mask (Elman 1990).
tanh(a) is computed as 2 sigmoid(2 a) - 1, which takes an eighth of the time of torch.tanh on a CPU; the 2 inside is
folded into the weights. Its absolute error is torch's, 1e-7 in float32, but states far below 1 lose relative accuracy: one
of 1e-5 has two right digits. `force_path("reference")` or float64 keep them.

Legend: B batch, T time steps, S steps of a block, F input features, H hidden units.
"""

from typing import Any

import torch
from torch import Tensor

from rnn_lightning.nn.fused_product import StepProduct, accumulate, product
from rnn_lightning.nn.fused_steps import InputGradients, Steps, input_factors, plain_backward, scratch, transposed

_tanh_backward = torch.ops.aten.tanh_backward.grad_input
_relu_backward = torch.ops.aten.threshold_backward.grad_input


def _slope(grad: Tensor, outputs: Tensor, relu: bool, out: Tensor) -> Tensor:
    """Grad times the nonlinearity's derivative where it gave `outputs`."""
    if relu:
        return _relu_backward(grad, outputs, 0.0, grad_input=out)
    return _tanh_backward(grad, outputs, grad_input=out)


class FusedRNN(torch.autograd.Function):
    """`apply(steps, relu, x, mask, h, w_ih, w_hh, b_ih, b_hh)` -> the outputs (T, B, H) and the final state (B, H).

    x (T, B, F), mask (T or 1, B, H) or None, h (B, H), weights as torch.nn's, both biases or neither.
    """

    @staticmethod
    def forward(
        ctx: Any,
        steps: Steps,
        relu: bool,
        x: Tensor,
        mask: Tensor | None,
        h: Tensor,
        w_ih: Tensor,
        w_hh: Tensor,
        b_ih: Tensor | None = None,
        b_hh: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """All steps forward; the gates are kept for the backward pass where there may be one."""
        factor = 1.0 if relu else 2.0
        bias = None if b_ih is None or b_hh is None else (b_ih + b_hh).mul_(factor)
        x_1, w_x, bias = input_factors(x, w_ih * factor, bias)
        w_h = transposed(w_hh).mul_(factor)
        y = steps.buffer(x, len(w_hh))  # (T, B, H)
        step, minus_one = StepProduct(w_h, steps.batch, steps.count), x.new_tensor(-1.0)
        masks = steps.masks(mask, y)
        held, spare, other = h, torch.empty_like(h), torch.empty_like(h)  # `held` is what the last step handed on
        for start, stop in steps.blocks(y[0].numel()):
            rows = slice(start * steps.batch, stop * steps.batch)
            product(x_1[rows], w_x, y.flatten(0, 1)[rows], bias)
            scale = None if masks is None else steps.views(masks[start:stop], start)
            for k, out in enumerate(steps.views(y[start:stop], start)):
                if steps.sizes is not None:
                    held, spare = held[: len(out)], spare[: len(out)]
                if relu:
                    step.add(held, out).relu_()
                else:
                    step.add(held, out).sigmoid_()
                    torch.add(minus_one, out, alpha=2, out=out)
                held = out
                if scale is not None:
                    held = torch.mul(out, scale[k], out=spare)
                    spare, other = other, spare
        if steps.keep:
            ctx.set_materialize_grads(False)
            ctx.steps, ctx.relu, ctx.features = steps, relu, x.shape[2]
            ctx.save_for_backward(x_1, y, mask, h, w_ih, w_hh)
        return y, steps.final(y, h, masks)

    @staticmethod
    @plain_backward
    def backward(
        ctx: Any, saved: tuple[Any, ...], grad_y: Tensor | None, grad_final: Tensor | None
    ) -> tuple[Tensor | None, ...]:
        """All steps back: the gradients of x, of the initial state and of the weights, as far as they are wanted."""
        x_1, y, mask, h, w_ih, w_hh = saved
        steps = ctx.steps
        _, _, need_x, _, need_h, need_w_ih, need_w_hh, need_b_ih, need_b_hh = ctx.needs_input_grad
        carry = torch.zeros_like(h) if grad_final is None else grad_final.clone(memory_format=torch.contiguous_format)
        masks = steps.masks(mask, y)
        grad_x = x_1.new_empty(*y.shape[:2], ctx.features) if need_x else None
        step, left = StepProduct(w_hh, steps.batch, steps.count), steps.count
        grad_in, grad_w_hh = InputGradients(x_1, ctx.features, need_b_ih or need_b_hh), None
        blocks = steps.blocks(y[0].numel())[::-1]
        longest = max(stop - start for start, stop in blocks)
        buffer, buffer_slope = (
            scratch("gradients", y, longest, *y.shape[1:]),
            scratch("slope", y, longest, *y.shape[1:]),
        )
        one = y.new_ones(())
        for start, stop in blocks:
            da, slope, outputs = buffer[: stop - start], buffer_slope[: stop - start], y[start:stop]  # (S, B, H)
            _slope(one.expand_as(outputs) if masks is None else masks[start:stop], outputs, ctx.relu, out=slope)
            if grad_y is not None:
                _slope(grad_y[start:stop], outputs, ctx.relu, out=da)
            for d, s in zip(steps.views(da, start)[::-1], steps.views(slope, start)[::-1], strict=True):
                c = carry if steps.sizes is None else carry[: len(d)]
                if grad_y is None:
                    torch.mul(c, s, out=d)
                else:
                    d.addcmul_(c, s)
                left -= 1
                if left or need_h:
                    step.write(d, c)
            steps.clear(da, start)
            flat, rows = da.flatten(0, 1), slice(start * steps.batch, stop * steps.batch)
            if need_w_ih or need_b_ih or need_b_hh:
                grad_in.add(rows, flat)
            if need_w_hh:
                for part, states in steps.pieces(y, h, start, stop, masks):
                    grad_w_hh = accumulate(grad_w_hh, da[part].flatten(0, 1), states.flatten(0, 1))
            if grad_x is not None:
                product(flat, w_ih, out=grad_x.flatten(0, 1)[rows])
        grad_w_ih = grad_in.weight if need_w_ih else None
        grad_b = grad_in.bias if need_b_ih or need_b_hh else None
        grad_b_hh = None if grad_b is None else grad_b.clone()  # who scales gradients in place must find two of them
        return None, None, grad_x, None, carry if need_h else None, grad_w_ih, grad_w_hh, grad_b, grad_b_hh
