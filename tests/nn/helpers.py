"""Shared by the tests of the plain layers: making them, running them with all gradients, comparing."""

from collections.abc import Callable, Iterable
from types import ModuleType
from typing import Any

import hypothesis
import pytest
import torch
from torch import Tensor

import rnn_lightning.nn
from rnn_lightning.nn import DropoutMasks, LayerMasks
from rnn_lightning.nn.native import reason
from rnn_lightning.nn.state import map_state

CELLS = ("rnn_tanh", pytest.param("rnn_relu", marks=pytest.mark.slow), "lstm", "gru")
"""ReLU differs from tanh in one function; by default, test_layers.py and the tests of `native` have it."""
NATIVE = ("native",) if reason() is None else ()
DROPPING = ("auto", *NATIVE, "reference")
"""The paths that have state dropout; the native one only where there is a library."""
PATHS = ("torch", *DROPPING)
DEVICES = ("cpu", "cuda") if torch.cuda.is_available() else ("cpu",)
STACKS = ((1, False), (2, True), (3, False))
"""Numbers of layers, and whether in both directions."""


def slow_cases(values: Iterable[Any]) -> list[Any]:
    """Parameters whose cases run with `-m slow` only: others like them are in the default set."""
    return [pytest.param(value, marks=pytest.mark.slow) for value in values]


def few(examples: int) -> hypothesis.settings:
    """The same few examples in every run."""
    return hypothesis.settings(max_examples=examples, deadline=None, derandomize=True)


def make(cell: str, *sizes: int, package: ModuleType = rnn_lightning.nn, **options: Any) -> Any:
    """Layers by the cell's name, ours or (with `package=torch.nn`) torch's; float64 and (B, T, features) by default."""
    name, _, nonlinearity = cell.partition("_")
    if nonlinearity:
        options["nonlinearity"] = nonlinearity
    return getattr(package, name.upper())(*sizes, **{"batch_first": True, "dtype": torch.float64, **options})


def twins(cell: str, *sizes: int, **options: Any) -> tuple[Any, Any]:
    """Our layers and torch's with the same weights."""
    ours, theirs = make(cell, *sizes, **options), make(cell, *sizes, package=torch.nn, **options)
    theirs.load_state_dict(ours.state_dict())
    return ours, theirs


def random_state(layers: Any, batch: int) -> Any:
    """An initial state in the layout of torch.nn, h (L * D, B, H) or for LSTM (h, c)."""
    weight = layers.weight_hh_l0
    shape = (layers.num_layers * (2 if layers.bidirectional else 1), batch, layers.hidden_size)
    h, c = (torch.randn(shape, dtype=weight.dtype, device=weight.device) for _ in range(2))
    return (h, c) if layers.mode == "LSTM" else h


def no_masks(layers: Any) -> DropoutMasks:
    """Masks of no dropout at all: they make the layers run one by one, each on torch's kernel."""
    return DropoutMasks((LayerMasks(),) * layers.num_layers, variational=True)


def outcome(run: Callable[[Tensor, Any], tuple[Tensor, Any]], module: Any, x: Tensor, hx: Any) -> dict[str, Tensor]:
    """Everything that `run(x, hx)` gives: output, final state, and the gradients of a fixed random sum of these.

    The gradients are with respect to the input, the initial state and every parameter of `module`.
    """
    x = x.detach().clone().requires_grad_()
    hx = map_state(lambda s: s.detach().clone().requires_grad_(), hx)
    output, state = run(x, hx)
    result = {"output": output} | _by_name("state", state)
    generator = torch.Generator().manual_seed(1)
    total = torch.zeros((), dtype=output.dtype, device=output.device)
    for value in result.values():
        total = total + (value * torch.randn(value.shape, generator=generator, dtype=x.dtype).to(value)).sum()
    leaves = {"input": x} | _by_name("initial", hx) | dict(module.named_parameters())
    gradients = torch.autograd.grad(total, list(leaves.values()), allow_unused=True, materialize_grads=True)
    return result | {f"gradient of {name}": g for name, g in zip(leaves, gradients, strict=True)}


def assert_same(actual: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    """Two outcomes in float64 are equal up to rounding."""
    assert list(actual) == list(expected)
    for name, value in expected.items():
        torch.testing.assert_close(
            actual[name], value, rtol=1e-9, atol=1e-11, msg=lambda told, name=name: f"{name}: {told}"
        )


def _by_name(name: str, state: Any) -> dict[str, Tensor]:
    if state is None:
        return {}
    return {f"{name} h": state[0], f"{name} c": state[1]} if isinstance(state, tuple) else {f"{name} h": state}
