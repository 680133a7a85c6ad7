"""Matrix products for the whole-sequence recurrences, by the faster of the two libraries that torch carries.

torch.mm runs on MKL, which on AMD's processors uses half the width of their vector units; oneDNN uses all of it and is
about twice as fast there, and no slower on others, once a product is large enough to pay for its 10 us of set-up
(measured in `scripts/benchmark_recurrence.py`). torch reaches oneDNN in float32 through `_linear_pointwise`, the linear
layer that torch.compile emits. It is not in torch's public interface, so where it is missing torch.mm does the work.

Legend: M rows, K summed over, N columns.
"""

from typing import Any

import torch
from torch import Tensor

SMALLEST = 3_000_000
"""M * K * N from which oneDNN is faster, measured with one and two threads."""

NARROW = 96
"""From this width on, oneDNN's copies of factors and results are worth it."""
MANY = 64
"""The number of steps from which oneDNN's own layout of a matrix pays: some 80 us to make, and cold at first."""


def _find_linear() -> Any:
    """The linear layer of oneDNN and its packing of a weight, or None where this torch has not what we know."""
    try:
        linear, pack = torch.ops.mkldnn._linear_pointwise.default, torch.ops.mkldnn._reorder_linear_weight.default
        left, right = torch.ones(2, 3, dtype=torch.float32), torch.arange(12, dtype=torch.float32).view(4, 3)
        for weight in (right, pack(right.contiguous(), 2)):
            if not torch.equal(linear(left, weight, None, "none", [], ""), left @ right.t()):
                return None, None
    except Exception:  # a private operation may be missing, or take other arguments, in another torch
        return None, None
    return linear, pack


_linear, _pack = _find_linear()


def use_onednn(like: Tensor, size: int) -> bool:
    """Whether a product of `size` = M * K * N on tensors like this one is worth oneDNN."""
    return (
        size >= SMALLEST
        and _linear is not None
        and like.dtype == torch.float32
        and like.device.type == "cpu"
        and torch.backends.mkldnn.is_available()
    )


def product(left: Tensor, right: Tensor, out: Tensor | None = None, bias: Tensor | None = None) -> Tensor:
    """Left (M, K) times right (K, N), and the bias (N,) added to each row."""
    # With few terms to a sum, the copy into `out` costs what oneDNN gains.
    if use_onednn(left, left.numel() * right.shape[1]) and (out is None or left.shape[1] >= NARROW):
        result = _linear(left, right.t(), bias, "none", [], "")
        return result if out is None else out.copy_(result)
    if bias is not None:
        return torch.addmm(bias, left, right, out=out)
    return torch.mm(left, right, out=out)


def accumulate(total: Tensor | None, left: Tensor, right: Tensor) -> Tensor:
    """Total + left^T right: a block's share (K, N) of a weight gradient, left (R, K), right (R, N).

    Both libraries are many times slower where the narrower of the two stands on the right.
    """
    # oneDNN copies both factors to turn them; narrow ones do not pay for that.
    if use_onednn(left, left.numel() * right.shape[1]) and min(left.shape[1], right.shape[1]) >= NARROW:
        right = right.contiguous()  # with columns of a wider matrix oneDNN takes a hundred times as long
        part = _linear(left.t(), right.t(), None, "none", [], "")
        return part if total is None else total.add_(part)
    return torch.mm(left.t(), right) if total is None else total.addmm_(left.t(), right)


class StepProduct:
    """The product of every step's rows with one matrix.

    Args:
        right: (K, N), the same at every step.
        rows: M, how many rows a step has at most.
        steps: How many steps there are.
    """

    def __init__(self, right: Tensor, rows: int, steps: int) -> None:
        self.right, self.packed = right, None
        if use_onednn(right, rows * right.numel()):
            self.packed = right.t()
            if steps >= MANY:
                self.packed = _pack(self.packed.contiguous(), rows)

    def add(self, left: Tensor, out: Tensor) -> Tensor:
        """Out (M, N) += left (M, K) times the matrix."""
        if self.packed is None:
            return out.addmm_(left, self.right)
        return out.add_(_linear(left, self.packed, None, "none", [], ""))

    def write(self, left: Tensor, out: Tensor) -> Tensor:
        """Out (M, N) = left (M, K) times the matrix."""
        if self.packed is None:
            return torch.mm(left, self.right, out=out)
        return out.copy_(_linear(left, self.packed, None, "none", [], ""))
