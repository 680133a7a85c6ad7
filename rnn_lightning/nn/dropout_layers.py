"""`DropoutLayers`: the options that our layers have beyond torch.nn's, and their dropout masks.

Legend: B batch, T time steps, H hidden units, D directions.
"""

from torch import Tensor, nn

from rnn_lightning.errors import ArgumentError
from rnn_lightning.nn.dropout import DropoutMasks, LayerMasks, check_probability
from rnn_lightning.nn.init import Init, check_init, initialize_layers
from rnn_lightning.nn.mask_drawing import draw_mask


class DropoutLayers(nn.RNNBase):
    """torch.nn's layers with three dropouts and a choice of initial weights.

    Dropout works like TensorFlow's `DropoutWrapper` around every cell. In training, each layer applies `input_dropout`
    to its input, `output_dropout` to the output that the layer above reads, and `state_dropout` to the hidden state
    that a step hands to the next. Each layer and each kind has its own mask. State dropout does not affect the step's
    output, the LSTM's c or the initial state. The final state is returned as the next step would have received it.
    """

    weight_ih_l0: Tensor
    weight_hh_l0: Tensor
    input_dropout: float
    output_dropout: float
    state_dropout: float
    variational: bool
    init: Init

    def _add_options(
        self, input_dropout: float, output_dropout: float, state_dropout: float, variational: bool, init: Init
    ) -> None:
        check_init(init)
        self.input_dropout = check_probability("input_dropout", input_dropout)
        self.output_dropout = check_probability("output_dropout", output_dropout)
        self.state_dropout = check_probability("state_dropout", state_dropout)
        self.variational, self.init = variational, init
        # torch's own constructor has drawn its weights already: drawing again would give other weights for the same
        # seed.
        if init != "torch":
            self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draws the initial weights as `init` says."""
        init = self.__dict__.get("init", "torch")  # torch's constructor calls this before `init` is known
        if init == "torch":
            super().reset_parameters()
        else:
            initialize_layers(self, init)

    def extra_repr(self) -> str:
        """Lists torch.nn's arguments, then those of our own that differ from their defaults."""
        parts = [super().extra_repr()]
        for name in ("input_dropout", "output_dropout", "state_dropout", "variational"):
            if getattr(self, name):
                parts.append(f"{name}={getattr(self, name)}")
        if self.init != "torch":
            parts.append(f"init={self.init!r}")
        return ", ".join(parts)

    @property
    def _drops(self) -> bool:
        """Whether any of the three dropouts is set."""
        return bool(self.input_dropout or self.output_dropout or self.state_dropout)

    def sample_masks(self, batch_size: int, steps: int | None = None) -> DropoutMasks | None:
        """Draws the dropout masks of one batch from torch's global generator.

        Masks belong to a sequence. If you cut sequences into chunks, draw variational masks once and pass them to every
        chunk. Then chunks give the same results as the whole sequence, even in training.

        Args:
            batch_size: B.
            steps: T, the time steps that fresh masks cover; variational masks (`variational=True`) fit any T.

        Returns:
            Masks for `forward(masks=...)`; None if all three dropouts are 0.

        Raises:
            ArgumentError: Fresh masks need `steps`, which is missing.
        """
        if not self._drops:
            return None
        if steps is None and not self.variational:
            raise ArgumentError("sample_masks: fresh masks differ at every step; give steps (or set variational=True)")
        time = 1 if self.variational or steps is None else steps
        p, device = (self.input_dropout, self.output_dropout, self.state_dropout), self.weight_ih_l0.device
        layers = [
            LayerMasks(*(draw_mask(shape, p_here, device) for shape, p_here in zip(shapes, p, strict=True)))
            for shapes in self.mask_shapes(time, batch_size)
        ]
        return DropoutMasks(tuple(layers), self.variational)

    def mask_shapes(self, steps: int, batch: int) -> list[tuple[tuple[int, ...], ...]]:
        """Returns the shapes of the masks on each layer's input, output and state."""
        directions, hidden = 2 if self.bidirectional else 1, self.proj_size or self.hidden_size
        output, state = (steps, batch, directions * hidden), (steps, directions, batch, hidden)
        first = (steps, batch, self.input_size)
        return [(output if layer else first, output, state) for layer in range(self.num_layers)]
