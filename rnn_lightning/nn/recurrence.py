"""One layer in one direction, step by step, following the papers' equations: the reference for every faster path.

Sources: Elman (1990) for the RNN; Hochreiter & Schmidhuber (1997) with the forget gate of Gers et al. (2000) for the
LSTM, with the projection of Sak et al. (2014, arXiv:1402.1128); Cho et al. (2014, arXiv:1406.1078) for the GRU, in
torch.nn's variant (the reset gate acts after the matrix product). Gates are in torch's order: i, f, g, o for the LSTM,
r, z, n for the GRU.

Legend: B batch, T time steps, F input features, H hidden units, P units of the projection, G gates (RNN 1, LSTM 4, GRU 3).
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from rnn_lightning.nn.dropout import Mask

Step = Callable[[Tensor, Tensor, tuple[Tensor, ...]], tuple[Tensor, ...]]


def _rnn_tanh(x: Tensor, h: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return (torch.tanh(x + h),)


def _rnn_relu(x: Tensor, h: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return (torch.relu(x + h),)


def _lstm(x: Tensor, h: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    i, f, g, o = (x + h).chunk(4, dim=1)
    c = torch.sigmoid(f) * state[1] + torch.sigmoid(i) * torch.tanh(g)
    return torch.sigmoid(o) * torch.tanh(c), c


def _gru(x: Tensor, h: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    x_r, x_z, x_n = x.chunk(3, dim=1)
    h_r, h_z, h_n = h.chunk(3, dim=1)
    r, z = torch.sigmoid(x_r + h_r), torch.sigmoid(x_z + h_z)
    n = torch.tanh(x_n + r * h_n)
    return ((1 - z) * n + z * state[0],)


STEPS: dict[str, Step] = {"RNN_TANH": _rnn_tanh, "RNN_RELU": _rnn_relu, "LSTM": _lstm, "GRU": _gru}
"""For each `mode` of torch: (the input's part of the gates, the state's part, the state) -> the new state, all (B,
...)."""


def recurrence(
    mode: str,
    x: Tensor,
    state: tuple[Tensor, ...],
    weights: Sequence[Tensor],
    mask: Mask | None = None,
    lengths: Tensor | None = None,
    reverse: bool = False,
    reset: Tensor | None = None,
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Runs one layer in one direction over all time steps.

    Args:
        mode: `"RNN_TANH"`, `"RNN_RELU"`, `"LSTM"` or `"GRU"`, as torch.nn names them.
        x: (T, B, F).
        state: (h,) or (h, c), each (B, H); h is (B, P) with a projection.
        weights: w_ih (G * H, F), w_hh (G * H, H) and, with biases, b_ih (G * H,), b_hh (G * H,); with a projection,
            w_hh is (G * H, P), and w_hr (P, H) comes last.
        mask: (T or 1, B, H), which multiplies the hidden state that a step hands to the next; it does not affect the
            step's output or the LSTM's c.
        lengths: (B,); past a row's length, its output is zero and its state does not change.
        reverse: Whether time runs from a row's last step to its first.
        reset: (T, B) bool, true where a new sequence begins at that step: the state before it is zero, and no gradient
            goes back across it. With `reverse` a sequence is read from its last step, so the state before step t is
            zero where `reset` is true at t + 1. Past a row's length, `reset` is ignored.

    Returns:
        The outputs (T, B, H), and the state as the next step would receive it.
    """
    w_ih, w_hh, *rest = weights
    w_hr = rest.pop() if len(rest) % 2 else None
    b_ih, b_hh = rest or (None, None)
    steps, step = x.shape[0], STEPS[mode]
    factors = None if mask is None else mask.factors(x.dtype).expand(steps, -1, -1)
    if lengths is not None:  # values past a row's end, such as NaN, must not reach the weights' gradients
        past = torch.arange(steps, device=x.device)[:, None] >= lengths  # (T, B)
        x = x.masked_fill(past[..., None], 0.0)
    begins = None if reset is None else _begins(reset, lengths, reverse)
    gates = F.linear(x, w_ih, b_ih).unbind(0)  # T times (B, G * H)
    outputs = list(gates)  # each is overwritten by its step's output
    for t in reversed(range(steps)) if reverse else range(steps):
        if begins is not None:
            state = tuple(torch.where(begins[t], 0.0, s) for s in state)
        new = step(gates[t], F.linear(state[0], w_hh, b_hh), state)
        output = new[0] if w_hr is None else F.linear(new[0], w_hr)  # (B, H) or (B, P)
        handed = output if factors is None else output * factors[t]
        new = (handed, *new[1:])
        if lengths is not None:
            alive = (lengths > t)[:, None]  # (B, 1)
            new = tuple(torch.where(alive, n, s) for n, s in zip(new, state, strict=True))
            output = torch.where(alive, output, torch.zeros_like(output))
        outputs[t], state = output, new
    return torch.stack(outputs), state


def _begins(reset: Tensor, lengths: Tensor | None, reverse: bool) -> Tensor:
    """(T, B, 1) bool, true where the state before a step is zero; steps past a row's end never begin a sequence."""
    if lengths is not None:
        reset = reset & (torch.arange(len(reset), device=reset.device)[:, None] < lengths)
    if reverse:  # the following step, which runs before this one
        reset = torch.cat((reset[1:], torch.zeros_like(reset[:1])))
    return reset[..., None]
