"""`RNN`, `LSTM`, `GRU`: torch.nn's layers of these names, with dropout on input, output and state."""

from typing import Any

import torch
from torch import nn

from rnn_lightning.nn.init import Init
from rnn_lightning.nn.stack import RecurrentLayers


class RNN(RecurrentLayers, nn.RNN):  # type: ignore[misc]
    """h_t = nonlinearity(W_ih x_t + b_ih + W_hh h_(t-1) + b_hh), as `torch.nn.RNN` (Elman 1990).

    Arguments, state_dict keys and shapes are torch.nn's. Without dropout, outputs, states and gradients are the
    same as those of torch.nn.

    Args:
        input_size: Features of the input.
        hidden_size: Hidden units H of each layer.
        num_layers: Layers L.
        nonlinearity: `"tanh"` or `"relu"`.
        bias: Whether the layers have biases.
        batch_first: Whether batches are (B, T, features), not (T, B, features).
        dropout: torch.nn's own dropout probability: between layers only, with fresh masks at each step.
        bidirectional: Whether a second direction reads each sequence from its end.
        input_dropout: Dropout probability for each layer's input.
        output_dropout: Dropout probability for each layer's output.
        state_dropout: Dropout probability for the hidden state that a step hands to the next.
        variational: One mask per sequence, the same at every step (Gal & Ghahramani 2016), instead of fresh masks.
        init: `"torch"`, `"glorot"`, `"orthogonal"` or `"identity"`; see `rnn_lightning.nn.init.initialize_layers`.
        device: Device of the weights.
        dtype: Type of the weights.

    Raises:
        ArgumentError: A dropout is outside [0, 1), or `init` is unknown.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        nonlinearity: str = "tanh",
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        *,
        input_dropout: float = 0.0,
        output_dropout: float = 0.0,
        state_dropout: float = 0.0,
        variational: bool = False,
        init: Init = "torch",
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        place: dict[str, Any] = {"device": device, "dtype": dtype}
        super().__init__(
            input_size, hidden_size, num_layers, nonlinearity, bias, batch_first, dropout, bidirectional, **place
        )
        self._add_options(input_dropout, output_dropout, state_dropout, variational, init)


class LSTM(RecurrentLayers, nn.LSTM):  # type: ignore[misc]
    """`torch.nn.LSTM` (Hochreiter & Schmidhuber 1997; Gers et al. 2000) with the options of `RNN`.

    State dropout acts on h, never on the memory c. Arguments are those of `torch.nn.LSTM`, then those of `RNN` from
    `input_dropout` on; errors are those of `RNN`. With `proj_size` P (Sak et al. 2014, arXiv:1402.1128), h and the outputs
    have P units, and so do their masks.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        *,
        input_dropout: float = 0.0,
        output_dropout: float = 0.0,
        state_dropout: float = 0.0,
        variational: bool = False,
        init: Init = "torch",
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        place: dict[str, Any] = {"device": device, "dtype": dtype}
        super().__init__(
            input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, proj_size, **place
        )
        self._add_options(input_dropout, output_dropout, state_dropout, variational, init)


class GRU(RecurrentLayers, nn.GRU):  # type: ignore[misc]
    """`torch.nn.GRU` (Cho et al. 2014, arXiv:1406.1078) with the options of `RNN`.

    State dropout also affects z h_(t-1), the part of the state that a step keeps. Arguments are those of
    `torch.nn.GRU`, then those of `RNN` from `input_dropout` on; errors are those of `RNN`.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        *,
        input_dropout: float = 0.0,
        output_dropout: float = 0.0,
        state_dropout: float = 0.0,
        variational: bool = False,
        init: Init = "torch",
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        place: dict[str, Any] = {"device": device, "dtype": dtype}
        super().__init__(input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, **place)
        self._add_options(input_dropout, output_dropout, state_dropout, variational, init)
