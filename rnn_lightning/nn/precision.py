"""The type in which a layer computes: that of its input, or float32 for lower precisions on a CPU.

CPUs multiply bfloat16 and float16 more slowly than float32, or not at all. So a layer computes in float32 there and
rounds its results, which is also more exact than rounding at every step. Under autocast the weights are float32
already.
"""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from functools import cache

import torch
from torch import Tensor

from rnn_lightning.nn.kernels import KERNELS

REDUCED = (torch.bfloat16, torch.float16)

Run = Callable[[Tensor, tuple[Tensor, ...], Sequence[Tensor]], tuple[Tensor, tuple[Tensor, ...]]]


def under_autocast(x: Tensor) -> bool:
    """Whether autocast is on for the device of `x`; meta tensors have no autocast."""
    if x.is_cpu:  # this is asked at every single step
        return torch.is_autocast_enabled("cpu")
    kind = x.device.type
    known = kind == "cuda" or torch.amp.is_autocast_available(kind)
    return known and torch.is_autocast_enabled(kind)


def multiplied_type(x: Tensor) -> torch.dtype:
    """Returns the type in which torch.nn's layer multiplies: autocast's (except for float64), or its input's."""
    if under_autocast(x) and x.dtype != torch.float64:
        return torch.get_autocast_dtype(x.device.type)
    return x.dtype


def result_type(mode: str, x: Tensor, state: Sequence[Tensor], packed: bool = False) -> torch.dtype:
    """Returns the type of what torch.nn's layer returns, with autocast or without.

    Under autocast on a CPU, a GRU mixes its products with the state that it keeps, so the results have the wider of the
    two types. The same holds for an LSTM whose input is packed or float16, as torch then has no fused kernel.

    Args:
        mode: torch.nn's name of the cell.
        x: The input.
        state: The initial state, even if it is zeros.
        packed: Whether the input was packed.
    """
    kind = multiplied_type(x)
    if under_autocast(x):
        mixes = x.device.type == "cpu" and (mode == "GRU" or (mode == "LSTM" and (packed or x.dtype == torch.float16)))
        return torch.promote_types(kind, state[-1].dtype) if mixes else kind
    return kind


def in_working_precision(
    run: Run, x: Tensor, state: tuple[Tensor, ...], weights: Sequence[Tensor], result: torch.dtype
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Calls `run` outside autocast, in float32 for lower precisions on a CPU; returns tensors of type `result`.

    Autocast would cast the weights again at every step; here they are cast once.
    """
    kind, working = x.device.type, multiplied_type(x)
    working = torch.float32 if working in REDUCED and kind == "cpu" else working
    autocast = under_autocast(x)
    if working == x.dtype == result and not autocast:
        return run(x, state, weights)
    x, state, weights = x.to(working), tuple(s.to(working) for s in state), [w.to(working) for w in weights]
    with torch.autocast(kind, enabled=False) if autocast else nullcontext():
        output, final = run(x, state, weights)
    return output.to(result), tuple(s.to(result) for s in final)


def _is_other(x: Tensor, kind: torch.dtype) -> bool:
    """Whether the input is in bfloat16 and multiplied in float16, or the other way round."""
    return x.dtype in REDUCED and x.dtype != kind


def torch_refuses(mode: str, x: Tensor, packed: bool = False) -> bool:
    """Whether torch's kernel for `mode` fails on this machine for an input like `x`.

    The LSTM kernel fails under autocast in bfloat16 on a CPU without AVX-512, and in float16 on most CPUs. No kernel
    takes packed bfloat16 under autocast in float16, or packed float16 under autocast in bfloat16, as autocast cannot
    join such tensors.
    """
    dtype = multiplied_type(x)
    if dtype not in REDUCED or type(x) is not Tensor or x.device.type != "cpu" or torch.compiler.is_compiling():
        return False
    return (packed and _is_other(x, dtype)) or _refuses(mode, dtype, torch.is_autocast_enabled("cpu"))


@cache
def _refuses(mode: str, dtype: torch.dtype, autocast: bool) -> bool:
    """Tries the kernel once, forward and backward, without drawing a random number."""
    gates = {"LSTM": 4, "GRU": 3}.get(mode, 1)
    kind = torch.float32 if autocast else dtype
    with torch.inference_mode(False), torch.enable_grad(), torch.autocast("cpu", dtype, enabled=autocast):
        x, h, *weights = (
            torch.zeros(shape, dtype=kind, device="cpu", requires_grad=True)
            for shape in ((1, 1, 1), (1, 1, 1), (gates, 1), (gates, 1), (gates,), (gates,))
        )
        settings = (weights, True, 1, 0.0, True, False, False)
        try:
            output = KERNELS[mode](x, (h, h) if mode == "LSTM" else h, *settings)
            output[0].float().sum().backward()
        except RuntimeError:
            return True
    return False
