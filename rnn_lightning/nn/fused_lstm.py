"""The whole-sequence LSTM: forward and backward over all steps of one layer in one direction.

Hochreiter & Schmidhuber (1997) with the forget gate of Gers et al. (2000), gates in torch's order i, f, g, o. The state
mask acts on h alone. With s(a) = sigmoid(a), tanh(a) = 1 - 2 s(-2 a): a step keeps s(-2 a) of the gate g, its -2 folded
into the weights, and q = s(-2 c), so that

    c_t = f c_(t-1) + i - 2 i s(-2 a_g)      h_t = o - 2 o q

and one sigmoid serves all four gates. Going back, each gate's gradient is that of h or of c times a coefficient that
does not depend on it; the coefficients of a whole block are computed at once, and a step is left with six operations.

Legend: B batch, T time steps, S steps of a block, F input features, H hidden units.
"""

from typing import Any

import torch
from torch import Tensor

from rnn_lightning.nn.fused_product import StepProduct, accumulate, product
from rnn_lightning.nn.fused_steps import (
    InputGradients,
    Kept,
    Steps,
    input_factors,
    plain_backward,
    scratch,
    transposed,
)

_sigmoid_backward = torch.ops.aten.sigmoid_backward.grad_input


class FusedLSTM(torch.autograd.Function):
    """`apply(steps, x, mask, h, c, w_ih, w_hh, b_ih, b_hh)` -> outputs (T, B, H), final h (B, H), final c (B, H).

    x (T, B, F), mask (T or 1, B, H) or None, h and c (B, H), weights as torch.nn's, both biases or neither.
    """

    @staticmethod
    def forward(
        ctx: Any,
        steps: Steps,
        x: Tensor,
        mask: Tensor | None,
        h: Tensor,
        c: Tensor,
        w_ih: Tensor,
        w_hh: Tensor,
        b_ih: Tensor | None = None,
        b_hh: Tensor | None = None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """All steps forward; the gates are kept for the backward pass where there may be one."""
        batch, hidden = steps.batch, w_hh.shape[1]
        part = slice(2 * hidden, 3 * hidden)  # of the gate g
        w_in, w_h, bias = w_ih.clone(), transposed(w_hh), None
        w_in[part] *= -2.0
        w_h[:, part] *= -2.0
        if b_ih is not None and b_hh is not None:
            bias = b_ih + b_hh
            bias[part] *= -2.0
        x_1, w_x, bias = input_factors(x, w_in, bias)
        step = StepProduct(w_h, batch, steps.count)
        y = steps.buffer(x, hidden)  # (T, B, H)
        all_c = steps.buffer(x, hidden)
        blocks = steps.blocks(4 * batch * hidden)
        kept = Kept(steps, blocks, 4 * hidden, x)
        q, minus_two = torch.empty_like(h), x.new_tensor(-2.0)
        masks = steps.masks(mask, y)
        held, spare, other = h, torch.empty_like(h), torch.empty_like(h)  # `held` is what the last step handed on
        memory = c
        for start, stop in blocks:
            gates = kept[start:stop]  # (S, B, 4 H)
            product(x_1[start * batch : stop * batch], w_x, gates.flatten(0, 1), bias)
            runs = zip(
                steps.views(y[start:stop], start),
                steps.views(all_c[start:stop], start),
                steps.views(gates, start),
                *(steps.views(part, start) for part in gates.split(hidden, dim=2)),
                strict=True,
            )
            scale = None if masks is None else steps.views(masks[start:stop], start)
            for k, (out, c_t, all_four, i, f, g, o) in enumerate(runs):
                if steps.sizes is not None:
                    held, spare, memory, q = held[: len(out)], spare[: len(out)], memory[: len(out)], q[: len(out)]
                step.add(held, all_four).sigmoid_()
                memory = torch.addcmul(i, f, memory, out=c_t).addcmul_(i, g, value=-2.0)
                torch.mul(c_t, minus_two, out=q).sigmoid_()
                torch.addcmul(o, o, q, value=-2.0, out=out)
                held = out
                if scale is not None:
                    held = torch.mul(out, scale[k], out=spare)
                    spare, other = other, spare
        if steps.keep:
            ctx.set_materialize_grads(False)
            ctx.steps, ctx.features = steps, x.shape[2]
            ctx.save_for_backward(x_1, y, all_c, kept.everything, mask, h, c, w_ih, w_hh, w_x, w_h, bias)
        return y, steps.final(y, h, masks), steps.final(all_c, c)

    @staticmethod
    @plain_backward
    def backward(
        ctx: Any, saved: tuple[Any, ...], grad_y: Tensor | None, grad_h: Tensor | None, grad_c: Tensor | None
    ) -> tuple[Tensor | None, ...]:
        """All steps back: the gradients of x, of the initial state and of the weights, as far as they are wanted."""
        x_1, y, all_c, all_gates, mask, h, c, w_ih, w_hh, w_x, w_h, bias = saved
        steps, features, batch, hidden = ctx.steps, ctx.features, ctx.steps.batch, w_hh.shape[1]
        _, need_x, _, need_h, need_c, need_w_ih, need_w_hh, need_b_ih, need_b_hh = ctx.needs_input_grad
        carry_h, carry_c = (
            torch.zeros_like(h) if grad is None else grad.clone(memory_format=torch.contiguous_format)
            for grad in (grad_h, grad_c)
        )
        dh = torch.empty_like(carry_h)
        masks = steps.masks(mask, y)
        grad_x = x_1.new_empty(*y.shape[:2], features) if need_x else None
        step, left = StepProduct(w_hh, steps.batch, steps.count), steps.count
        grad_in, grad_w_hh = InputGradients(x_1, features, need_b_ih or need_b_hh), None
        blocks = steps.blocks(4 * batch * hidden)[::-1]
        longest = max(stop - start for start, stop in blocks)
        buffer = scratch("gradients", h, longest, batch, 4 * hidden)
        into_c = scratch("slope", h, 2, longest, batch, hidden)
        again = None if all_gates is not None else scratch("gates", h, longest, batch, 4 * hidden)
        for start, stop in blocks:
            da, (q, to_c), pieces = (
                buffer[: stop - start],
                into_c[:, : stop - start],
                steps.pieces(y, h, start, stop, masks),
            )
            if again is None:
                gates = all_gates[start:stop]
            else:  # all gates of the block at once, from the states, which the forward pass kept
                gates = again[: stop - start]
                product(x_1[start * batch : stop * batch], w_x, gates.flatten(0, 1), bias)
                for part, states in pieces:
                    gates[part].flatten(0, 1).add_(product(states.flatten(0, 1), w_h))
                gates.sigmoid_()
            torch.mul(all_c[start:stop], -2.0, out=q).sigmoid_()
            i, _, g, o = gates.split(hidden, dim=2)
            d_i, d_f, d_g, d_o = da.split(hidden, dim=2)  # first the coefficients of dc and dh, then the gradients
            torch.add(_one(h), g, alpha=-2, out=d_i)
            for part, memory in steps.pieces(all_c, c, start, stop):
                d_f[part] = memory
            torch.mul(i, 4.0, out=d_g)  # 1 - tanh^2 = 4 s (1 - s)
            torch.add(_one(h), q, alpha=-2, out=d_o)
            _sigmoid_backward(da, gates, grad_input=da)
            _sigmoid_backward(torch.mul(o, 4.0, out=to_c), q, grad_input=to_c)
            runs = zip(
                *(
                    steps.views(part, start)[::-1]
                    for part in (
                        da,
                        da[..., : 3 * hidden].unflatten(2, (3, hidden)),
                        d_o,
                        gates[..., hidden : 2 * hidden],
                        to_c,
                    )
                ),
                strict=True,
            )
            above = None if grad_y is None else steps.views(grad_y[start:stop], start)[::-1]
            scale = None if masks is None else steps.views(masks[start:stop], start)[::-1]
            for k, (d, d_ifg, d_out, f, to_memory) in enumerate(runs):
                c_h, c_c, g_h = (part if steps.sizes is None else part[: len(d)] for part in (carry_h, carry_c, dh))
                if above is None:
                    g_h = c_h if scale is None else torch.mul(c_h, scale[k], out=g_h)
                elif scale is None:
                    torch.add(c_h, above[k], out=g_h)
                else:
                    torch.addcmul(above[k], c_h, scale[k], out=g_h)
                c_c.addcmul_(g_h, to_memory)
                d_out.mul_(g_h)
                d_ifg.mul_(c_c[:, None])
                c_c.mul_(f)
                left -= 1
                if left or need_h:
                    step.write(d, c_h)
            steps.clear(da, start)
            flat, rows = da.flatten(0, 1), slice(start * batch, stop * batch)
            if need_w_ih or need_b_ih or need_b_hh:
                grad_in.add(rows, flat)
            if need_w_hh:
                for part, states in pieces:
                    grad_w_hh = accumulate(grad_w_hh, da[part].flatten(0, 1), states.flatten(0, 1))
            if grad_x is not None:
                product(flat, w_ih, out=grad_x.flatten(0, 1)[rows])
        grad_w_ih = grad_in.weight if need_w_ih else None
        grad_b = grad_in.bias if need_b_ih or need_b_hh else None
        return (
            None,
            grad_x,
            None,
            carry_h if need_h else None,
            carry_c if need_c else None,
            grad_w_ih,
            grad_w_hh,
            grad_b,
            None if grad_b is None else grad_b.clone(),  # who scales gradients in place must find two of them
        )


def _one(like: Tensor) -> Tensor:
    return like.new_tensor(1.0)
