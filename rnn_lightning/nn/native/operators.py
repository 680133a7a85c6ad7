"""The native recurrence and the drawing of masks as torch operators.

As operators, they are seen by torch's modes, such as fake tensors and FLOP counting.

Legend: T time steps, B batch, I inputs, H hidden units, G gates.
"""

from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import register_flop_formula

from rnn_lightning.nn.native.library import CELLS, PACKED, TAPE_VECTORS, entries, library, pointer, reason, width

_LAYER = (
    "str mode, Tensor x, Tensor h_0, Tensor? c_0, Tensor w_ih, Tensor w_hh, Tensor? b_ih, Tensor? b_hh, "
    "Tensor? keep, float scale, Tensor? lengths, bool reverse, Tensor? reset"
)
_library = torch.library.Library("rnn_lightning", "DEF")
_library.define(f"forward({_LAYER}, bool taped) -> (Tensor y, Tensor h_n, Tensor c_n, Tensor tape)")
_library.define(
    f"backward({_LAYER}, Tensor tape, Tensor? grad_y, Tensor? grad_h_n, Tensor? grad_c_n, bool wants_x) -> "
    "(Tensor x, Tensor h_0, Tensor c_0, Tensor w_ih, Tensor w_hh, Tensor b_ih, Tensor b_hh)"
)
_library.define("draw_mask(Tensor seed, SymInt count, int limit) -> Tensor")


def _rows(tensor: Tensor) -> Tensor:
    """Makes a tensor's last dimension contiguous, as C reads it."""
    return tensor if tensor.stride(-1) == 1 or tensor.shape[-1] == 1 else tensor.contiguous()


def _strides(tensor: Tensor | None) -> tuple[int, int]:
    """Returns the strides, in numbers, from one time step to the next and from one row to the next."""
    return (0, 0) if tensor is None else (0 if len(tensor) == 1 else tensor.stride(0), tensor.stride(1))


def _whole(tensor: Tensor | None) -> Tensor | None:
    return None if tensor is None else tensor.contiguous()


def _run(backward: bool, layer: tuple[Any, ...], outputs: tuple[Tensor | None, ...], *gradients: Any) -> None:
    mode, x, h_0, c_0, w_ih, w_hh, b_ih, b_hh, keep, scale, lengths, reverse, reset = layer
    steps, batch, inputs = x.shape
    # Copies must stay alive until the call returns.
    x = _rows(x)
    parts = [_whole(part) for part in (w_ih, w_hh, b_ih, b_hh, h_0, c_0)]
    lengths = None if lengths is None else lengths.to("cpu", torch.int64).contiguous()
    grad_y, *rest = gradients or (None,) * 10
    keep, grad_y = (None if part is None else _rows(part) for part in (keep, grad_y))
    rest = [_whole(part) for part in rest]
    packed = PACKED.pack(
        CELLS[mode], steps, batch, inputs, w_hh.shape[1], reverse, torch.get_num_threads(),
        pointer(x), *_strides(x), *map(pointer, parts),
        pointer(keep), *_strides(keep), scale, pointer(lengths), pointer(reset), *_strides(reset),
        *map(pointer, outputs), pointer(grad_y), *_strides(grad_y), *map(pointer, rest),
    )  # fmt: skip
    found = entries(x.dtype)
    if (found.backward if backward else found.forward)(packed) != 0:
        raise MemoryError("there is not enough memory for the recurrence: use a smaller batch, or shorter sequences")


def _forward(*arguments: Any) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    *layer, taped = arguments
    outputs = _empty_outputs(*arguments)
    y, h_n, c_n, tape = outputs
    _run(False, tuple(layer), (y, h_n, c_n if layer[0] == "LSTM" else None, tape if taped else None))
    return outputs


def _empty_outputs(mode: str, x: Tensor, h_0: Tensor, *rest: Any) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    (steps, batch, _), hidden, taped = x.shape, h_0.shape[1], rest[-1]
    y, h_n = x.new_empty(steps, batch, hidden), x.new_empty(batch, hidden)
    c_n = x.new_empty(batch if mode == "LSTM" else 0, hidden)
    wide = width(hidden, x.dtype) if taped else 0
    return y, h_n, c_n, x.new_empty(steps if taped else 0, batch, TAPE_VECTORS[mode], wide)


def _backward(*arguments: Any) -> tuple[Tensor, ...]:
    *layer, tape, grad_y, grad_h_n, grad_c_n, wants_x = arguments
    gradients = _empty_gradients(*arguments)
    x, h_0, c_0, w_ih, w_hh, b_ih, b_hh = gradients
    biases = (b_ih, b_hh) if layer[6] is not None else (None, None)
    wanted = (x if wants_x else None, w_ih, w_hh, *biases, h_0, c_0 if layer[0] == "LSTM" else None)
    _run(True, tuple(layer), (None, None, None, tape), grad_y, grad_h_n, grad_c_n, *wanted)
    return gradients


def _empty_gradients(mode: str, x: Tensor, h_0: Tensor, c_0: Tensor | None, *rest: Any) -> tuple[Tensor, ...]:
    w_ih, w_hh, b_ih, b_hh, wants_x = *rest[:4], rest[-1]
    absent = x.new_empty(0)

    def like(tensor: Tensor | None) -> Tensor:
        return absent.clone() if tensor is None else tensor.new_empty(tensor.shape)

    return (like(x if wants_x else None), like(h_0), like(c_0), like(w_ih), like(w_hh), like(b_ih), like(b_hh))


def _draw_mask(seed: Tensor, count: int, limit: int) -> Tensor:
    """Draws a mask's entries in bfloat16, 1 with probability limit / 2^16; they depend only on `seed`, an int64."""
    keep = _empty_mask(seed, count, limit)
    found = library()
    if found is None:
        raise RuntimeError(f"masks cannot be drawn natively: {reason()}")
    found.draw_mask(pointer(keep), count, limit, int(seed), torch.get_num_threads())
    return keep


def _empty_mask(seed: Tensor, count: int, limit: int) -> Tensor:
    return seed.new_empty(count, dtype=torch.bfloat16)


_library.impl("forward", _forward, "CPU")
_library.impl("backward", _backward, "CPU")
_library.impl("draw_mask", _draw_mask, "CPU")
torch.library.register_fake("rnn_lightning::forward", _empty_outputs, lib=_library)
torch.library.register_fake("rnn_lightning::backward", _empty_gradients, lib=_library)
torch.library.register_fake("rnn_lightning::draw_mask", _empty_mask, lib=_library)

forward = torch.ops.rnn_lightning.forward.default
backward = torch.ops.rnn_lightning.backward.default
draw_mask = torch.ops.rnn_lightning.draw_mask.default


@register_flop_formula(torch.ops.rnn_lightning.forward)
def _forward_flops(mode: str, x: Any, h_0: Any, c_0: Any, w_ih: Any, w_hh: Any, *rest: Any, **kwargs: Any) -> int:
    """Counts the FLOPs of the products, as torch does for its own kernels: two for each weight, step and row."""
    steps, batch, _ = x
    return 2 * steps * batch * (w_ih[0] * w_ih[1] + w_hh[0] * w_hh[1])


@register_flop_formula(torch.ops.rnn_lightning.backward)
def _backward_flops(mode: str, x: Any, h_0: Any, c_0: Any, w_ih: Any, w_hh: Any, *rest: Any, **kwargs: Any) -> int:
    """As many FLOPs again for the weights' gradients, for the state's, and for the input's if it is needed."""
    steps, batch, _ = x
    return 2 * steps * batch * ((2 if rest[-1] else 1) * w_ih[0] * w_ih[1] + 2 * w_hh[0] * w_hh[1])
