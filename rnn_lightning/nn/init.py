"""Initial weights for recurrent layers and for the linear heads on top of them."""

import math
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from rnn_lightning.errors import ArgumentError

Init = Literal["torch", "glorot", "orthogonal", "identity"]


def check_init(init: str) -> str:
    """Returns `init` if it is one of `Init`, else raises `ArgumentError`."""
    if init not in get_args(Init):
        raise ArgumentError(f"init={init!r} is unknown: choose one of {', '.join(get_args(Init))}")
    return init


@torch.no_grad()
def initialize_layers(layers: nn.RNNBase, init: Init) -> None:
    """Draws the weights of every layer and direction of a stack, in place.

    - `"glorot"`: TensorFlow's. Uniform in +-sqrt(6 / (F + H + G H)), the Glorot bound (Glorot & Bengio 2010) of the
      joint [input; hidden] kernel with all G gates. Biases are zero, except for 1 in the LSTM's forget gate (Jozefowicz
      et al. 2015) and in both gates of the GRU.
    - `"orthogonal"`: each gate's hidden-to-hidden block is orthogonal (Saxe et al. 2014, arXiv:1312.6120), input
      weights are Glorot's for each gate, and biases are as above.
    - `"identity"`: each gate's hidden-to-hidden block is the identity, input weights are N(0, 0.001^2), and biases are
      zero. This is the IRNN of Le, Jaitly & Hinton (2015, arXiv:1504.00941), meant for `RNN` with
      `nonlinearity="relu"`.

    Args:
        layers: A stack of RNN, LSTM or GRU layers, with torch.nn's parameter names.
        init: One of the above; `"torch"` is torch.nn's own `reset_parameters`.
    """
    if init == "torch":
        nn.RNNBase.reset_parameters(layers)
        return
    hidden = layers.hidden_size
    for name, weight in layers.named_parameters():
        if name.startswith("bias"):
            nn.init.zeros_(weight)
            if name.startswith("bias_ih") and init != "identity":  # torch has two biases; one of them gets the constant
                _gate_bias(layers.mode, weight, hidden)
            continue
        is_hidden = not name.startswith("weight_ih")
        if init == "glorot":
            fan_in = weight.shape[1]
            if not name.startswith("weight_hr"):  # a step's kernel reads its input and the state
                parts = (name.replace("_hh_", kind).replace("_ih_", kind) for kind in ("_ih_", "_hh_"))
                fan_in = sum(layers.get_parameter(part).shape[1] for part in parts)
            bound = math.sqrt(6.0 / (fan_in + weight.shape[0]))
            nn.init.uniform_(weight, -bound, bound)
            continue
        for gate in weight.split(hidden):  # (H, F) or (H, H); a projection has a matrix of its own, (P, H)
            if init == "orthogonal":
                (nn.init.orthogonal_ if is_hidden else nn.init.xavier_uniform_)(gate)
            elif is_hidden:
                nn.init.eye_(gate)
            else:
                nn.init.normal_(gate, std=0.001)


def _gate_bias(mode: str, bias: Tensor, hidden: int) -> None:
    if mode == "LSTM":
        bias[hidden : 2 * hidden] = 1.0  # forget gate
    elif mode == "GRU":
        bias[: 2 * hidden] = 1.0  # reset and update gates


@torch.no_grad()
def initialize_head(head: nn.Linear, init: Init) -> None:
    """Draws a linear head in place: Glorot uniform with zero bias for `"glorot"`; else torch's own weights are kept."""
    if init == "glorot":
        nn.init.xavier_uniform_(head.weight)
        nn.init.zeros_(head.bias)
