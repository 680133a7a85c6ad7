"""The whole-sequence GRU: forward and backward over all steps of one layer in one direction.

Cho et al. (2014, arXiv:1406.1078) in torch.nn's variant, with p_t = m_(t-1) h_(t-1) the masked state:

    r, z = sigmoid(W_i x_t + b_i + W_h p_t + b_h)      n = tanh(W_in x_t + b_in + r (W_hn p_t + b_hn))
    h_t = (1 - z) n + z p_t

A step's gates lie as [n, r, z, k], k = 2 (W_hn p_t + b_hn): the input's share fills the first three, the state's the
last three, so both are one GEMM. tanh(a) is 2 sigmoid(2 a) - 1, the 2 folded into the weights of n.

Going back, the gradients of all four are dh_t times coefficients that do not depend on it; the coefficients of a whole
block are computed at once, and a step is left with four operations.

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

_tanh_backward = torch.ops.aten.tanh_backward.grad_input
_sigmoid_backward = torch.ops.aten.sigmoid_backward.grad_input


def _turn(w: Tensor) -> Tensor:
    """Rows in torch's order r, z, n -> n, r, z."""
    hidden = len(w) // 3
    return torch.cat((w[2 * hidden :], w[: 2 * hidden]))


def _read(x_1: Tensor, w_x: Tensor, bias: Tensor | None, b_n: Tensor | None, gates: Tensor) -> None:
    """Fills the gates (R, 4 H) with what does not depend on the state: the input's share, and the bias of k."""
    hidden = gates.shape[1] // 4
    product(x_1, w_x, gates[:, : 3 * hidden], bias)
    if b_n is None:
        gates[:, 3 * hidden :].zero_()
    else:
        gates[:, 3 * hidden :] = b_n


def _all_gates(gates: Tensor, pieces: list[tuple[slice, Tensor]], w_h: Tensor) -> None:
    """The gates (S, B, 4 H) of a block at once, from what `_read` gives and the states, which the forward pass kept."""
    hidden = w_h.shape[0]
    for part, states in pieces:
        gates[part][..., hidden:].flatten(0, 1).add_(product(states.flatten(0, 1), w_h))
    n, r_z, from_state = gates.split((hidden, 2 * hidden, hidden), dim=2)
    r_z.sigmoid_()
    n.addcmul_(r_z[..., :hidden], from_state).sigmoid_()
    torch.add(n.new_tensor(-1.0), n, alpha=2, out=n)


class FusedGRU(torch.autograd.Function):
    """`apply(steps, x, mask, h, w_ih, w_hh, b_ih, b_hh)` -> the outputs (T, B, H) and the final state (B, H).

    x (T, B, F), mask (T or 1, B, H) or None, h (B, H), weights as torch.nn's, both biases or neither.
    """

    @staticmethod
    def forward(
        ctx: Any,
        steps: Steps,
        x: Tensor,
        mask: Tensor | None,
        h: Tensor,
        w_ih: Tensor,
        w_hh: Tensor,
        b_ih: Tensor | None = None,
        b_hh: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """All steps forward; the gates are kept for the backward pass where there may be one."""
        batch, hidden = steps.batch, w_hh.shape[1]
        bias = None
        if b_ih is not None and b_hh is not None:
            bias = _turn(b_ih).clone()
            bias[hidden:] += b_hh[: 2 * hidden]
            bias[:hidden] *= 2.0
        w_in = _turn(w_ih)
        w_in[:hidden] *= 2.0
        x_1, w_x, bias = input_factors(x, w_in, bias)
        w_h = transposed(w_hh)
        w_h[:, 2 * hidden :] *= 2.0
        b_n = None if b_hh is None else b_hh[2 * hidden :] * 2.0
        y = steps.buffer(x, hidden)  # (T, B, H)
        blocks = steps.blocks(4 * y[0].numel())
        kept = Kept(steps, blocks, 4 * hidden, x)
        step, minus_one = StepProduct(w_h, steps.batch, steps.count), x.new_tensor(-1.0)
        masks = steps.masks(mask, y)
        held, spare, other = h, torch.empty_like(h), torch.empty_like(h)  # `held` is what the last step handed on
        for start, stop in blocks:
            gates = kept[start:stop]  # (S, B, 4 H)
            _read(x_1[start * batch : stop * batch], w_x, bias, b_n, gates.flatten(0, 1))
            runs = zip(
                steps.views(y[start:stop], start),
                steps.views(gates[..., hidden:], start),
                steps.views(gates[..., hidden : 3 * hidden], start),
                *(steps.views(part, start) for part in gates.split(hidden, dim=2)),
                strict=True,
            )
            scale = None if masks is None else steps.views(masks[start:stop], start)
            for k, (out, state_part, r_z, n, r, z, from_state) in enumerate(runs):
                if steps.sizes is not None:
                    held, spare = held[: len(out)], spare[: len(out)]
                step.add(held, state_part)
                r_z.sigmoid_()
                n.addcmul_(r, from_state).sigmoid_()
                torch.add(minus_one, n, alpha=2, out=n)
                torch.addcmul(n, z, torch.sub(held, n, out=out), out=out)  # far cheaper than torch.lerp
                held = out
                if scale is not None:
                    held = torch.mul(out, scale[k], out=spare)
                    spare, other = other, spare
        if steps.keep:
            ctx.set_materialize_grads(False)
            ctx.steps, ctx.features = steps, x.shape[2]
            ctx.save_for_backward(x_1, y, kept.everything, mask, h, w_ih, w_hh, w_x, w_h, bias, b_n)
        return y, steps.final(y, h, masks)

    @staticmethod
    @plain_backward
    def backward(
        ctx: Any, saved: tuple[Any, ...], grad_y: Tensor | None, grad_final: Tensor | None
    ) -> tuple[Tensor | None, ...]:
        """All steps back: the gradients of x, of the initial state and of the weights, as far as they are wanted."""
        x_1, y, all_gates, mask, h, w_ih, w_hh, w_x, w_h, bias, b_n = saved
        steps, features, hidden = ctx.steps, ctx.features, w_hh.shape[1]
        _, need_x, _, need_h, need_w_ih, need_w_hh, need_b_ih, need_b_hh = ctx.needs_input_grad
        batch = steps.batch
        carry = torch.zeros_like(h) if grad_final is None else grad_final.clone(memory_format=torch.contiguous_format)
        dh = torch.empty_like(carry)
        masks = steps.masks(mask, y)
        grad_x = x_1.new_empty(*y.shape[:2], features) if need_x else None
        step, left = StepProduct(w_hh, steps.batch, steps.count), steps.count
        need_b = need_b_ih or need_b_hh
        grad_n, grad_rz = (InputGradients(x_1, features, need_b) for _ in range(2))
        grad_w_hh = grad_b_n = None
        one = h.new_tensor(1.0)
        blocks = steps.blocks(4 * y[0].numel())[::-1]
        longest = max(stop - start for start, stop in blocks)
        buffer = scratch("gradients", h, longest, batch, 3 * hidden)
        buffer_n = scratch("slope", h, longest, batch, hidden)
        again = None if all_gates is not None else scratch("gates", h, longest, batch, 4 * hidden)
        for start, stop in blocks:
            pieces = steps.pieces(y, h, start, stop, masks)
            if again is None:
                gates = all_gates[start:stop]
            else:
                gates = again[: stop - start]
                _read(x_1[start * batch : stop * batch], w_x, bias, b_n, gates.flatten(0, 1))
                _all_gates(gates, pieces, w_h)
            da, d_n = buffer[: stop - start], buffer_n[: stop - start]
            n, r, z, from_state = gates.split(hidden, dim=2)
            d_r, d_z, d_state = da.split(hidden, dim=2)  # first the coefficients of dh, then the gradients
            _tanh_backward(torch.sub(one, z, out=d_n), n, grad_input=d_n)
            torch.mul(d_n, r, out=d_state)
            _sigmoid_backward(torch.mul(d_n, from_state, out=d_r).mul_(0.5), r, grad_input=d_r)
            for part, states in pieces:
                torch.sub(states, n[part], out=d_z[part])
            _sigmoid_backward(d_z, z, grad_input=d_z)
            parts = (da, da.unflatten(2, (3, hidden)), d_n, z)
            runs = zip(*(steps.views(part, start)[::-1] for part in parts), strict=True)
            above = None if grad_y is None else steps.views(grad_y[start:stop], start)[::-1]
            scale = None if masks is None else steps.views(masks[start:stop], start)[::-1]
            for k, (d_h, d_gates, d_new, z_t) in enumerate(runs):
                c, g = (carry, dh) if steps.sizes is None else (carry[: len(d_h)], dh[: len(d_h)])
                if above is None:
                    g = c if scale is None else torch.mul(c, scale[k], out=g)
                elif scale is None:
                    torch.add(c, above[k], out=g)
                else:
                    torch.addcmul(above[k], c, scale[k], out=g)
                d_gates.mul_(g[:, None])
                d_new.mul_(g)
                left -= 1
                if left or need_h:
                    step.add(d_h, torch.mul(g, z_t, out=c))
            steps.clear(da, start)
            steps.clear(d_n, start)
            flat, flat_n, rows = da.flatten(0, 1), d_n.flatten(0, 1), slice(start * batch, stop * batch)
            if need_w_ih or need_b:
                grad_n.add(rows, flat_n)
                grad_rz.add(rows, flat[:, : 2 * hidden])
            if need_b_hh:
                part_b = flat[:, 2 * hidden :].sum(0)
                grad_b_n = part_b if grad_b_n is None else grad_b_n + part_b
            if need_w_hh:
                for part, states in pieces:
                    grad_w_hh = accumulate(grad_w_hh, da[part].flatten(0, 1), states.flatten(0, 1))
            if grad_x is not None:
                part_x = product(flat[:, : 2 * hidden], w_ih[: 2 * hidden], out=grad_x.flatten(0, 1)[rows])
                part_x.add_(product(flat_n, w_ih[2 * hidden :]))
        grad_w_ih = torch.cat((grad_rz.weight, grad_n.weight)) if need_w_ih else None
        grad_b_ih = torch.cat((grad_rz.bias, grad_n.bias)) if need_b_ih else None
        grad_b_hh = torch.cat((grad_rz.bias, grad_b_n)) if grad_b_n is not None else None
        return None, grad_x, None, carry if need_h else None, grad_w_ih, grad_w_hh, grad_b_ih, grad_b_hh
