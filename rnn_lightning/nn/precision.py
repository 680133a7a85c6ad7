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
    """Whether autocast is on for the device of `x`; there is none for meta tensors."""
    kind = x.device.type
    known = kind in ("cpu", "cuda") or torch.amp.is_autocast_available(kind)
    return known and torch.is_autocast_enabled(kind)


def result_type(x: Tensor) -> torch.dtype:
    """The type of a layer's output: autocast's, or its input's. Autocast leaves float64 as it is."""
    if under_autocast(x) and x.dtype != torch.float64:
        return torch.get_autocast_dtype(x.device.type)
    return x.dtype


def in_working_precision(
    run: Run, x: Tensor, state: tuple[Tensor, ...], weights: Sequence[Tensor]
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """`run(x, state, weights)` outside autocast, in float32 for lower precisions on a CPU; results have `result_type`.

    Autocast would cast the weights again at every step; here they are cast once.
    """
    kind, result = x.device.type, result_type(x)
    working = torch.float32 if result in REDUCED and kind == "cpu" else result
    autocast = under_autocast(x)
    if working == x.dtype and not autocast:
        return run(x, state, weights)
    x, state, weights = x.to(working), tuple(s.to(working) for s in state), [w.to(working) for w in weights]
    with torch.autocast(kind, enabled=False) if autocast else nullcontext():
        output, final = run(x, state, weights)
    return output.to(result), tuple(s.to(result) for s in final)


def torch_refuses(mode: str, x: Tensor) -> bool:
    """Whether torch's kernel for `mode` fails on this machine for an input like `x`.

    The LSTM's fails under autocast in bfloat16 on a CPU without AVX-512, and in float16 on most CPUs.
    """
    dtype = result_type(x)
    if dtype not in REDUCED or type(x) is not Tensor or x.device.type != "cpu" or torch.compiler.is_compiling():
        return False
    return _refuses(mode, dtype, torch.is_autocast_enabled("cpu"))


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
