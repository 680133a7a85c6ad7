"""`Seq2VecNet` and `Seq2SeqNet`: a recurrent stack with a linear head, in plain torch.

Legend: B batch, T time steps, I input features, H hidden units, L layers, D directions, O outputs.
"""

from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from rnn_lightning.errors import ArgumentError
from rnn_lightning.nn.dropout import DropoutMasks
from rnn_lightning.nn.init import Init, check_init, initialize_head
from rnn_lightning.nn.layers import GRU, LSTM, RNN
from rnn_lightning.nn.state import State

Cell = Literal["rnn", "lstm", "gru"]
Nonlinearity = Literal["tanh", "relu"]


class RecurrentNet(nn.Module):
    """Recurrent layers and a linear head: what `Seq2VecNet` and `Seq2SeqNet` share. Use one of these.

    Args:
        input_size: Features I of each time step.
        output_size: Outputs O: classes, or values to predict.
        cell: `"rnn"`, `"lstm"` or `"gru"`.
        nonlinearity: `"tanh"` or `"relu"`, of the RNN only.
        hidden_size: Hidden units H of each layer.
        num_layers: Layers L.
        bias: Whether the recurrent layers have biases.
        bidirectional: Whether a second direction reads each sequence from its end.
        input_dropout: Probability of dropping on each layer's input.
        output_dropout: Probability of dropping on each layer's output.
        state_dropout: Probability of dropping on the hidden state that a step hands to the next.
        variational: One mask per sequence, the same at every step, instead of fresh masks.
        init: Initial weights, `"torch"`, `"glorot"` (TensorFlow's; the head too), `"orthogonal"` or `"identity"`.

    Raises:
        ArgumentError: A size below 1, an unknown name, or a dropout outside [0, 1).
    """

    def __init__(
        self,
        input_size: int,
        output_size: int,
        cell: Cell = "rnn",
        nonlinearity: Nonlinearity = "tanh",
        hidden_size: int = 128,
        num_layers: int = 1,
        bias: bool = True,
        bidirectional: bool = False,
        input_dropout: float = 0.0,
        output_dropout: float = 0.0,
        state_dropout: float = 0.0,
        variational: bool = False,
        init: Init = "torch",
    ) -> None:
        super().__init__()
        sizes = {
            "input_size": input_size,
            "output_size": output_size,
            "hidden_size": hidden_size,
            "num_layers": num_layers,
        }
        for name, size in sizes.items():
            if not isinstance(size, int) or size < 1:
                raise ArgumentError(f"{name}={size!r}: give an integer of at least 1")
        options: dict[str, Any] = {
            "input_dropout": input_dropout,
            "output_dropout": output_dropout,
            "state_dropout": state_dropout,
            "variational": variational,
            "init": check_init(init),
        }
        self.layers = _make_layers(
            cell, nonlinearity, input_size, hidden_size, num_layers, bias, bidirectional, options
        )
        self.head = nn.Linear(hidden_size * (2 if bidirectional else 1), output_size)
        initialize_head(self.head, init)

    def sample_masks(self, batch_size: int, steps: int | None = None) -> DropoutMasks | None:
        """Draws the dropout masks of one batch; see `RecurrentLayers.sample_masks`."""
        return self.layers.sample_masks(batch_size, steps)


class Seq2VecNet(RecurrentNet):
    """Reads a sequence and gives one output: a linear head on the top layer's final state.

    Arguments and errors are those of `RecurrentNet`. With two directions the head reads both final states.
    """

    def forward(
        self,
        x: Tensor | PackedSequence,
        state: State | None = None,
        lengths: Tensor | None = None,
        masks: DropoutMasks | None = None,
        reset: Tensor | None = None,
    ) -> tuple[Tensor, State]:
        """One output for each sequence.

        The head reads the state as the next step would have received it, so state dropout acts on it in training while
        the top layer's output dropout does not.

        Args:
            x: (B, T, I), (T, I) unbatched, or packed.
            state: The initial state, h (L * D, B, H) or for LSTM (h, c); zeros if not given.
            lengths: (B,) integers in [0, T]: each row is read up to its own length.
            masks: From `sample_masks`; in training drawn if not given.
            reset: (B, T) bool, true where a new sequence begins at that step: the state before it is zero.

        Returns:
            y (B, O), or (O,) unbatched, and the final state in the layout of `state`.
        """
        _, state = self.layers(x, state, lengths, masks, reset)
        h = state[0] if isinstance(state, tuple) else state  # (L * D, B, H)
        top = torch.cat((h[-2], h[-1]), dim=-1) if self.layers.bidirectional else h[-1]
        return self.head(top), state


class Seq2SeqNet(RecurrentNet):
    """Gives one output a step: a linear projection of every step's output, never applied to the state.

    Arguments and errors are those of `RecurrentNet`. It is TensorFlow's `OutputProjectionWrapper` without an activation.
    """

    def forward(
        self,
        x: Tensor | PackedSequence,
        state: State | None = None,
        lengths: Tensor | None = None,
        masks: DropoutMasks | None = None,
        reset: Tensor | None = None,
    ) -> tuple[Tensor | PackedSequence, State]:
        """One output for each step of each sequence.

        Args:
            x: (B, T, I), (T, I) unbatched, or packed.
            state: The initial state, h (L * D, B, H) or for LSTM (h, c); zeros if not given.
            lengths: (B,) integers in [0, T]. Past a row's length its output is zero, bias included.
            masks: From `sample_masks`; in training drawn if not given.
            reset: (B, T) bool, true where a new sequence begins at that step: the state before it is zero.

        Returns:
            y (B, T, O), in the form of `x`, and the final state in the layout of `state`.
        """
        output, state = self.layers(x, state, lengths, masks, reset)
        if isinstance(output, PackedSequence):
            return output._replace(data=self.head(output.data)), state
        y = self.head(output)  # (B, T, O)
        if lengths is not None:
            past = torch.arange(y.shape[-2], device=y.device) >= lengths.to(y.device).reshape(
                *y.shape[:-2], 1
            )  # (B, T)
            y = y.masked_fill(past[..., None], 0.0)
        return y, state

    def step(self, x: Tensor, state: State | None = None, masks: DropoutMasks | None = None) -> tuple[Tensor, State]:
        """One time step, for inference on a stream: x (B, I) -> y (B, O) and the state for the next step."""
        output, state = self.layers.step(x, state, masks)
        return self.head(output), state


def _make_layers(
    cell: str,
    nonlinearity: str,
    input_size: int,
    hidden_size: int,
    num_layers: int,
    bias: bool,
    bidirectional: bool,
    options: dict[str, Any],
) -> RNN | LSTM | GRU:
    if cell not in get_args(Cell):
        raise ArgumentError(f"cell={cell!r} is unknown: choose one of {', '.join(get_args(Cell))}")
    if nonlinearity not in get_args(Nonlinearity):
        raise ArgumentError(
            f"nonlinearity={nonlinearity!r} is unknown: choose one of {', '.join(get_args(Nonlinearity))}"
        )
    if cell == "rnn":
        return RNN(input_size, hidden_size, num_layers, nonlinearity, bias, bidirectional=bidirectional, **options)
    if nonlinearity != "tanh":
        raise ArgumentError(f"nonlinearity={nonlinearity!r} is for cell='rnn': leave it out with cell={cell!r}")
    layers = LSTM if cell == "lstm" else GRU
    return layers(input_size, hidden_size, num_layers, bias, bidirectional=bidirectional, **options)
