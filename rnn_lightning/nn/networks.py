"""`Seq2VecNet` and `Seq2SeqNet`: a recurrent stack with a linear head, in plain torch.

Legend: B batch, T time steps, I input features, E embedding size, H hidden units, L layers, D directions, O outputs.
"""

import copy
from typing import Any, Literal, NoReturn, get_args

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from rnn_lightning.errors import ArgumentError, check_ints
from rnn_lightning.nn.dropout import DropoutMasks
from rnn_lightning.nn.fourier import FourierFeatures
from rnn_lightning.nn.init import Init, check_init, initialize_head
from rnn_lightning.nn.interop import PlainLSTMNet, PlainNet
from rnn_lightning.nn.layers import GRU, LSTM, RNN
from rnn_lightning.nn.state import State

Cell = Literal["rnn", "lstm", "gru"]
Nonlinearity = Literal["tanh", "relu"]


class RecurrentNet(nn.Module):
    """Recurrent layers and a linear head: what `Seq2VecNet` and `Seq2SeqNet` share. Use one of these two classes.

    With `embedding_size`, the network reads integer tokens, x (B, T), instead of features. First comes the embedding,
    then the layers (whose `input_dropout` acts on the embedded tokens), then the head. With `fourier_frequencies`, the
    layers read `FourierFeatures` of x instead of x.

    Args:
        input_size: Features I of each time step; with `embedding_size`, the number of different tokens.
        output_size: Outputs O: classes, or values to predict.
        cell: `"rnn"`, `"lstm"` or `"gru"`.
        nonlinearity: `"tanh"` or `"relu"`, for cell="rnn" only.
        hidden_size: Hidden units H of each layer.
        num_layers: Layers L.
        bias: Whether the recurrent layers have biases.
        bidirectional: Whether a second direction reads each sequence from its end.
        input_dropout: Dropout probability for each layer's input.
        output_dropout: Dropout probability for each layer's output.
        state_dropout: Dropout probability for the hidden state that a step hands to the next.
        variational: One mask per sequence, the same at every step, instead of fresh masks.
        init: Initial weights, `"torch"`, `"glorot"` (TensorFlow's; also for the head), `"orthogonal"` or `"identity"`.
        embedding_size: Size E of the vector that represents each token; None for features as input.
        tie_weights: Whether the embedding and the head share one matrix (Press & Wolf 2017, arXiv:1608.05859). Needs
            embedding_size == hidden_size, one direction, and as many outputs as tokens.
        fourier_frequencies: The number of frequencies of the Fourier features; None for x itself.
        fourier_scale: The standard deviation of these frequencies, in cycles per unit of x.

    Raises:
        ArgumentError: A size is below 1, a name is unknown, a dropout is outside [0, 1), the weights can't be tied, or
            Fourier features are given an embedding or no frequencies.
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
        embedding_size: int | None = None,
        tie_weights: bool = False,
        fourier_frequencies: int | None = None,
        fourier_scale: float = 1.0,
    ) -> None:
        super().__init__()
        check_ints(1, input_size=input_size, output_size=output_size, hidden_size=hidden_size, num_layers=num_layers)
        if embedding_size is not None:
            check_ints(1, embedding_size=embedding_size)
        options: dict[str, Any] = {
            "input_dropout": input_dropout,
            "output_dropout": output_dropout,
            "state_dropout": state_dropout,
            "variational": variational,
            "init": check_init(init),
        }
        self.fourier = None
        if fourier_frequencies is not None:
            if embedding_size is not None:
                raise ArgumentError("fourier_frequencies is for values, embedding_size for tokens: leave one out")
            self.fourier = FourierFeatures(input_size, fourier_frequencies, fourier_scale)
        elif fourier_scale != 1.0:
            raise ArgumentError(f"fourier_scale={fourier_scale} does nothing without fourier_frequencies: give both")
        self.input_size = input_size
        features = embedding_size or (input_size if self.fourier is None else self.fourier.out_features)
        self.layers = _make_layers(cell, nonlinearity, features, hidden_size, num_layers, bias, bidirectional, options)
        self.head = nn.Linear(hidden_size * (2 if bidirectional else 1), output_size)
        initialize_head(self.head, init)
        self.embedding = None if embedding_size is None else nn.Embedding(input_size, embedding_size)
        if tie_weights:
            self._tie_weights()

    def _tie_weights(self) -> None:
        """Shares the head's matrix with the embedding; an embedding's own initial weights would be too large."""
        embedding = self.embedding
        if embedding is None or embedding.weight.shape != self.head.weight.shape:
            found = "none" if embedding is None else tuple(embedding.weight.shape)
            raise ArgumentError(
                f"tie_weights needs an embedding of the head's shape {tuple(self.head.weight.shape)}, but it is {found}: "
                "set embedding_size=hidden_size, with as many outputs as tokens and one direction, or tie_weights=False"
            )
        embedding.weight = self.head.weight

    def forward(
        self,
        x: Tensor | PackedSequence,
        state: State | None = None,
        lengths: Tensor | None = None,
        masks: DropoutMasks | None = None,
        reset: Tensor | None = None,
    ) -> tuple[Any, State]:
        """Computes the outputs for each sequence.

        Args:
            x: (B, T, I), (T, I) unbatched, or packed; with an embedding, tokens (B, T) or (T,).
            state: The initial state, h (L * D, B, H) or for an LSTM (h, c); zeros if not given.
            lengths: (B,) integers in [0, T]: each row is read up to its own length.
            masks: From `sample_masks`; drawn in training if not given.
            reset: (B, T) bool, true where a new sequence begins at that step: the state before it is zero.

        Returns:
            y, and the final state in the layout of `state`.
        """
        output, state = self.layers(self.embed(x), state, lengths, masks, reset)
        return self.read(output, state, lengths), state

    def embed(self, x: Any) -> Any:
        """Returns the layers' input: the embedded tokens of x (B, T), the Fourier features of x, or x; packed or not."""
        encoder = self._encoder()
        if encoder is None:
            return x
        return x._replace(data=encoder(x.data)) if isinstance(x, PackedSequence) else encoder(x)

    def _encoder(self) -> nn.Module | None:
        return self.fourier if self.embedding is None else self.embedding

    def example_input(self, rows: int = 1, steps: int = 2) -> Tensor:
        """Returns zeros in the form of `x`, for tracing the network."""
        weight = self.layers.weight_ih_l0
        if self.embedding is not None:
            return torch.zeros(rows, steps, dtype=torch.int64, device=weight.device)
        return weight.new_zeros(rows, steps, self.input_size)

    def step(self, x: Tensor, state: State | None = None, masks: DropoutMasks | None = None) -> tuple[Tensor, State]:
        """Runs one time step of a stream: x (B, I), or tokens (B,) -> y (B, O) and the state for the next step."""
        output, state = self.layers.step(self.embed(x), state, masks)
        return self.read(output, state), state

    def read(self, output: Any, state: State, lengths: Tensor | None = None) -> Any:
        """Applies the head to the top layer's outputs (B, T, D * H), packed or not, or to the final state."""
        raise NotImplementedError

    def sample_masks(self, batch_size: int, steps: int | None = None) -> DropoutMasks | None:
        """Draws the dropout masks of one batch; see `RecurrentLayers.sample_masks`."""
        return self.layers.sample_masks(batch_size, steps)

    def to_torch(self) -> PlainNet:
        """Returns the same network made of torch.nn's own modules, `layers` and `head`, with a copy of the weights.

        For tools that look at a module's type or source, such as dynamic quantisation and `torch.jit.script`. Its
        `forward(x, state=None) -> (y, state)` reads the same x, but takes no lengths or masks and has none of the three
        dropouts.
        """
        kind = PlainLSTMNet if self.layers.mode == "LSTM" else PlainNet
        # Copied together, as they may share a matrix.
        head, encoder = copy.deepcopy((self.head, self._encoder()))
        net = kind(self.layers.to_torch(), head, isinstance(self, Seq2SeqNet), encoder)
        return net.train(self.training)

    def __prepare_scriptable__(self) -> NoReturn:
        raise ArgumentError("torch.jit.script knows torch.nn's layers only: script what to_torch() returns")


class Seq2VecNet(RecurrentNet):
    """Reads a sequence and returns one output, from a linear head on the top layer's final state.

    Arguments and errors are those of `RecurrentNet`. `forward` gives y (B, O), or (O,) unbatched. With two directions the
    head reads both final states. The head reads a state as the next step would have received it. So in training, state
    dropout acts on the head's input, and the top layer's output dropout does not.
    """

    def read(self, output: Any, state: State, lengths: Tensor | None = None) -> Tensor:
        """Computes y (B, O) from the final state."""
        h = state[0] if self.layers.mode == "LSTM" else state  # (L * D, B, H)
        return self.head(torch.cat((h[-2], h[-1]), dim=-1) if self.layers.bidirectional else h[-1])


class Seq2SeqNet(RecurrentNet):
    """Gives one output per step: a linear projection of every step's output, never of the state.

    Arguments and errors are those of `RecurrentNet`. `forward` gives y (B, T, O), in the form of `x`; past a row's
    length it is zero, without the bias. This is TensorFlow's `OutputProjectionWrapper` without an activation.
    """

    def read(self, output: Any, state: State, lengths: Tensor | None = None) -> Any:
        """Computes y (B, T, O), in the form of the top layer's outputs."""
        if isinstance(output, PackedSequence):
            return output._replace(data=self.head(output.data))
        y = self.head(output)  # (B, T, O)
        if lengths is None:
            return y
        ends = lengths.to(y.device).reshape(*y.shape[:-2], 1)
        past = torch.arange(y.shape[-2], device=y.device) >= ends  # (B, T)
        return y.masked_fill(past[..., None], 0.0)


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
        return RNN(
            input_size,
            hidden_size,
            num_layers,
            nonlinearity,
            bias,
            batch_first=True,
            bidirectional=bidirectional,
            **options,
        )
    if nonlinearity != "tanh":
        raise ArgumentError(f"nonlinearity={nonlinearity!r} is for cell='rnn': leave it out with cell={cell!r}")
    layers = LSTM if cell == "lstm" else GRU
    return layers(input_size, hidden_size, num_layers, bias, batch_first=True, bidirectional=bidirectional, **options)
