"""Combines numbers and states from all processes; with one process, they are unchanged."""

from typing import Any

import torch
from lightning.pytorch.strategies import Strategy
from torch import Tensor


def world_size(strategy: Strategy) -> int:
    """Returns the number of processes."""
    return getattr(strategy, "world_size", 1)


def reduce(strategy: Strategy, value: float, op: str) -> float:
    """Reduces a number over all processes by "sum" or "max"."""
    if world_size(strategy) == 1:
        return float(value)
    tensor = torch.tensor(value, dtype=torch.float64, device=strategy.root_device)
    return float(strategy.reduce(tensor, reduce_op=op))


def share_of_mean(strategy: Strategy, loss: Tensor, targets: float) -> tuple[Tensor, float]:
    """Scales the sum of a process's losses so that DDP's average is the mean over the targets of all processes.

    Returns:
        The scaled loss, and the number of targets of all processes.
    """
    everywhere = reduce(strategy, targets, "sum")
    return loss * (world_size(strategy) / everywhere if everywhere else 0.0), everywhere


def gather(strategy: Strategy, value: Any) -> list[Any]:
    """Gathers the values of all processes, in order of rank; they must be picklable."""
    values = [value] * world_size(strategy)
    if len(values) > 1:
        torch.distributed.all_gather_object(values, value)
    return values
