"""Plain copies of our modules, and clear errors, for tools that know only torch.nn's own classes.

Such tools look at a module's exact type or at its source. Examples are dynamic quantisation, `torch.jit.script`, Opacus
and BackPACK.
"""

from typing import Any, NoReturn

import torch
from torch import Tensor, nn
from torch.fx import Proxy

from rnn_lightning.errors import ArgumentError


def proxies(*args: Any) -> list[Proxy]:
    """Finds the arguments of a call that `torch.fx` traces, including those inside a state given as a tuple."""
    parts = [part for arg in args for part in (arg if isinstance(arg, tuple) else (arg,))]
    return [part for part in parts if isinstance(part, Proxy)]


class ForTools(nn.RNNBase):
    """Makes recurrent layers work with these tools, or raise clear errors."""

    def to_torch(self) -> Any:
        """Returns a plain `torch.nn.RNN`, `LSTM` or `GRU` with a copy of the weights.

        It keeps torch.nn's own `dropout`. Dropout on input, output and state is left out, as torch.nn has none.
        """
        kind = {"LSTM": nn.LSTM, "GRU": nn.GRU}.get(self.mode, nn.RNN)
        options: dict[str, Any] = {"proj_size": self.proj_size} if kind is nn.LSTM else {}
        if kind is nn.RNN:
            options["nonlinearity"] = self.nonlinearity
        names = [name for names in self._all_weights for name in names]
        weights = {name: getattr(self, name) for name in names}  # including parametrised or pruned ones
        twin = kind(
            self.input_size,
            self.hidden_size,
            self.num_layers,
            bias=self.bias,
            batch_first=self.batch_first,
            dropout=self.dropout if self.num_layers > 1 else 0.0,
            bidirectional=self.bidirectional,
            device="meta",
            **options,
        )
        twin.load_state_dict({name: weight.detach().clone() for name, weight in weights.items()}, assign=True)
        for name, weight in weights.items():
            twin.get_parameter(name).requires_grad_(weight.requires_grad)
        return twin.train(self.training)

    def as_leaf(self, *args: Any) -> Any:
        """Makes a call of this layer one node in a graph traced by `torch.fx`, as with torch.nn's own layers."""
        tracer: Any = proxies(*args)[0].tracer
        given = [*args]
        while given[-1] is None:
            given.pop()
        return tracer.create_proxy("call_module", tracer.path_of_module(self), tuple(given), {})

    @property
    def qconfig(self) -> Any:
        """Set by torch's quantisation on every module. It looks at the exact type, so these layers would stay float."""
        raise AttributeError("qconfig")

    @qconfig.setter
    def qconfig(self, value: Any) -> None:
        raise ArgumentError(
            f"quantisation knows only torch.nn's own {type(self).__name__} and would leave this one as it is: quantise "
            "what to_torch() returns"
        )

    def __prepare_scriptable__(self) -> NoReturn:
        raise ArgumentError(
            "torch.jit.script reads the source of torch.nn's layers only: script what to_torch() returns"
        )


class PlainNet(nn.Module):
    """`Seq2VecNet` or `Seq2SeqNet` made of torch.nn's modules; `to_torch` returns it for RNN and GRU networks.

    It can be scripted and quantised. It takes no lengths, masks or resets.

    Args:
        layers: The recurrent layers, with `batch_first=True`.
        head: The linear head.
        every_step: Whether there is an output at every step, rather than one for each sequence.
        encoder: Embeds tokens (B, T), or computes Fourier features, as the layers' input; None for x itself.
    """

    every_step: torch.jit.Final[bool]

    def __init__(self, layers: nn.Module, head: nn.Linear, every_step: bool, encoder: nn.Module | None = None) -> None:
        super().__init__()
        self.embedding = nn.Identity() if encoder is None else encoder
        self.layers, self.head, self.every_step = layers, head, every_step
        self.directions = 2 if layers.bidirectional else 1

    def forward(self, x: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Computes y (B, O) or (B, T, O), and the final state, from x (B, T, I) or tokens (B, T)."""
        output, state = self.layers(self.embedding(x), state)
        return self.read(output, state), state

    def read(self, output: Tensor, h: Tensor) -> Tensor:
        """Applies the head to every step's output, or to the top layer's final state."""
        if self.every_step:
            return self.head(output)
        return self.head(h[-1] if self.directions == 1 else torch.cat((h[-2], h[-1]), dim=-1))


class PlainLSTMNet(PlainNet):
    """A `PlainNet` whose state is the pair (h, c)."""

    def forward(  # type: ignore[override]
        self, x: Tensor, state: tuple[Tensor, Tensor] | None = None
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Computes y (B, O) or (B, T, O), and the final state (h, c), from x (B, T, I) or tokens (B, T)."""
        output, state = self.layers(self.embedding(x), state)
        return self.read(output, state[0]), state
