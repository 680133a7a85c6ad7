"""`RecurrentLayers`: how a stack of recurrent layers runs, with dropout in three places, lengths and packed input.

Legend: B batch, T time steps, F features of a layer's input, H hidden units, L layers, D directions.
"""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from rnn_lightning.errors import ArgumentError
from rnn_lightning.nn.dropout import DropoutMasks, LayerMasks, Mask, check_probability, draw_mask, drop
from rnn_lightning.nn.fused import fused_recurrence
from rnn_lightning.nn.init import Init, check_init, initialize_layers
from rnn_lightning.nn.path import choose_path
from rnn_lightning.nn.recurrence import recurrence
from rnn_lightning.nn.state import State, map_state, where_rows

_KERNELS: dict[str, Callable[..., tuple[Tensor, ...]]] = {
    "RNN_TANH": torch.rnn_tanh,
    "RNN_RELU": torch.rnn_relu,
    "LSTM": torch.lstm,
    "GRU": torch.gru,
}


class RecurrentLayers(nn.RNNBase):
    """What `RNN`, `LSTM` and `GRU` add to torch.nn's classes of the same names.

    Dropout works as TensorFlow's `DropoutWrapper` around every cell. On each layer, in training: `input_dropout` on
    what it reads, `output_dropout` on what it hands to the layer above, `state_dropout` on the hidden state that a step
    hands to the next. Each layer and each kind has a mask of its own. The state's mask touches neither the step's
    output nor the LSTM's c nor the initial state; the final state that is returned is what the next step would have
    received.

    Use one of the subclasses. Parameters, state_dict keys and shapes are torch.nn's, and without dropout so are
    outputs, states and gradients.
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
        if (
            init != "torch"
        ):  # torch's own constructor has drawn its weights already: a second draw would change the seed's
            self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draws the initial weights by `init`."""
        init = self.__dict__.get("init", "torch")  # torch's constructor calls this before `init` is known
        if init == "torch":
            super().reset_parameters()
        else:
            initialize_layers(self, init)

    def extra_repr(self) -> str:
        """The arguments of torch.nn, then those of ours that differ from their defaults."""
        parts = [super().extra_repr()]
        for name in ("input_dropout", "output_dropout", "state_dropout", "variational"):
            if getattr(self, name):
                parts.append(f"{name}={getattr(self, name)}")
        if self.init != "torch":
            parts.append(f"init={self.init!r}")
        return ", ".join(parts)

    def sample_masks(self, batch_size: int, steps: int | None = None) -> DropoutMasks | None:
        """Draws the dropout masks of one batch from torch's global generator.

        Masks belong to a sequence: who cuts sequences into chunks draws variational masks once and hands them to every
        chunk, so that the chunks equal the whole also in training.

        Args:
            batch_size: B.
            steps: T, the time steps that fresh masks cover; variational masks (`variational=True`) fit any T.

        Returns:
            Masks for `forward(masks=...)`; None where all three dropouts are 0.

        Raises:
            ArgumentError: Fresh masks were asked for without `steps`.
        """
        if not (self.input_dropout or self.output_dropout or self.state_dropout):
            return None
        if steps is None and not self.variational:
            raise ArgumentError("sample_masks: fresh masks differ at every step, give steps (or set variational=True)")
        time = 1 if self.variational or steps is None else steps
        directions = 2 if self.bidirectional else 1
        device = self.weight_ih_l0.device
        layers = []
        for layer in range(self.num_layers):
            features = self.hidden_size * directions if layer else self.input_size
            layers.append(
                LayerMasks(
                    draw_mask((time, batch_size, features), self.input_dropout, device),
                    draw_mask((time, batch_size, directions * self.hidden_size), self.output_dropout, device),
                    draw_mask((time, directions, batch_size, self.hidden_size), self.state_dropout, device),
                )
            )
        return DropoutMasks(tuple(layers), self.variational)

    def forward(
        self,
        input: Tensor | PackedSequence,
        hx: State | None = None,
        lengths: Tensor | None = None,
        masks: DropoutMasks | None = None,
        reset: Tensor | None = None,
    ) -> tuple[Tensor | PackedSequence, State]:
        """Runs the stack over a batch of sequences, as torch.nn does.

        Args:
            input: (B, T, F) with `batch_first` (the default here), else (T, B, F); (T, F) unbatched; or packed.
            hx: The initial state, h (L * D, B, H) or for LSTM the pair (h, c), (L * D, H) unbatched; zeros if not given.
            lengths: (B,) integers in [0, T]. Past a row's length its outputs are zero, and its state is the one at its
                last step, as with packed sequences and `tf.nn.dynamic_rnn`. Length 0 leaves the state as it was.
            masks: From `sample_masks`, applied also in evaluation; in training they are drawn if not given.
            reset: (B, T) bool with `batch_first`, else (T, B); (T,) unbatched. True where a new sequence begins at that
                step: the state before it is zero, and no gradient goes back across it. The backward direction of
                bidirectional layers begins anew with the last step of each sequence. Padding begins nothing.

        Returns:
            The top layer's output, (B, T, D * H) or in the form of the input, and the final state in the form of `hx`.

        Raises:
            ArgumentError: `lengths` that do not fit, or given with packed input; masks of another batch size or T; a
                `reset` of another shape or type.
        """
        if isinstance(input, PackedSequence):
            return self._forward_packed(input, hx, lengths, masks, reset)
        if input.dim() == 2:
            batch_dim = 0 if self.batch_first else 1
            hx = map_state(lambda s: s.unsqueeze(1), hx)
            if lengths is not None and lengths.dim() == 0:
                lengths = lengths.unsqueeze(0)
            if reset is not None and reset.dim() == 1:
                reset = reset.unsqueeze(batch_dim)
            output, state = self._forward_batched(input.unsqueeze(batch_dim), hx, lengths, masks, reset)
            return output.squeeze(batch_dim), map_state(lambda s: s.squeeze(1), state)
        return self._forward_batched(input, hx, lengths, masks, reset)

    def _forward_batched(
        self,
        input: Tensor,
        hx: State | None,
        lengths: Tensor | None,
        masks: DropoutMasks | None,
        reset: Tensor | None,
    ) -> tuple[Tensor, State]:
        """`forward` for an input of three dimensions."""
        time_dim, batch_dim = (1, 0) if self.batch_first else (0, 1)
        batch, steps = input.shape[batch_dim], input.shape[time_dim]
        lengths = _check_lengths(lengths, batch, steps)
        if reset is not None:
            _check_reset(reset, (batch, steps) if self.batch_first else (steps, batch))
        if masks is None and self.training:
            masks = self.sample_masks(batch, steps)
        work = batch * self.weight_hh_l0.numel()
        if (
            masks is None
            and choose_path(self.mode, input, None, lengths is not None, work, reset is not None) == "torch"
        ):
            return self._forward_torch(input, hx, lengths)
        hx = self._initial(batch, hx)
        self.check_forward_args(input, hx, None)  # type: ignore[arg-type]  # torch's own checks of the shapes
        if steps == 0:
            raise ArgumentError("input has no time steps (T = 0): give at least one")
        if masks is not None:
            _check_masks(masks, batch, steps)
        x = input.transpose(0, time_dim)  # (T, B, F)
        if reset is not None:
            reset = reset.transpose(0, time_dim).to(x.device)  # (T, B)
        output, state = self._forward_layers(x, hx, lengths, masks, reset)
        return output.transpose(0, time_dim), state

    def step(self, x: Tensor, state: State | None = None, masks: DropoutMasks | None = None) -> tuple[Tensor, State]:
        """One time step, for inference on a stream.

        Args:
            x: (B, F), or (F,) unbatched.
            state: As `hx` of `forward`.
            masks: As in `forward`.

        Returns:
            The output (B, H) or (H,), and the state for the next step.

        Raises:
            ArgumentError: The layers are bidirectional, so they need the whole sequence.
        """
        if self.bidirectional:
            raise ArgumentError("step needs bidirectional=False: a backward direction starts at the sequence's end")
        time_dim = 1 if self.batch_first and x.dim() == 2 else 0
        output, state = self(x.unsqueeze(time_dim), state, masks=masks)
        return output.squeeze(time_dim), state

    def _initial(self, batch: int, hx: State | None) -> State:
        if hx is not None:
            return hx
        directions = 2 if self.bidirectional else 1
        zeros = self.weight_hh_l0.new_zeros(self.num_layers * directions, batch, self.hidden_size)
        return (zeros, zeros) if self.mode == "LSTM" else zeros

    def _forward_packed(
        self,
        input: PackedSequence,
        hx: State | None,
        lengths: Tensor | None,
        masks: DropoutMasks | None,
        reset: Tensor | None,
    ) -> tuple[PackedSequence, State]:
        if lengths is not None:
            raise ArgumentError("lengths given with packed input, which has its own: leave lengths out")
        dropping = self.training and (self.input_dropout or self.output_dropout or self.state_dropout)
        if (
            masks is None
            and not dropping
            and choose_path(self.mode, input.data, ragged=True, resets=reset is not None) == "torch"
        ):
            return super().forward(input, hx)
        padded, lengths = pad_packed_sequence(input, self.batch_first)
        output, state = self._forward_batched(padded, hx, lengths, masks, reset)
        if input.sorted_indices is not None:
            output = output.index_select(0 if self.batch_first else 1, input.sorted_indices)
            lengths = lengths[input.sorted_indices.cpu()]
        packed = pack_padded_sequence(output, lengths, self.batch_first)
        return PackedSequence(packed.data, packed.batch_sizes, input.sorted_indices, input.unsorted_indices), state

    def _forward_torch(self, input: Tensor, hx: State | None, lengths: Tensor | None) -> tuple[Tensor, State]:
        """torch.nn's forward, with lengths through a packed sequence."""
        if lengths is None:
            return super().forward(input, hx)
        time_dim, batch_dim = (1, 0) if self.batch_first else (0, 1)
        # A packed row has at least one step; what a row of length 0 computes is thrown away below. It computes from
        # zeros: what stands in its padding, were it NaN, must not reach the weights' gradients.
        empty = (lengths == 0).to(input.device)
        past = empty[:, None, None] if self.batch_first else empty[None, :, None]
        any_empty = bool((lengths == 0).any())
        if any_empty:
            input = input.masked_fill(past, 0.0)
        packed = pack_padded_sequence(input, lengths.clamp(min=1), self.batch_first, enforce_sorted=False)
        output, state = super().forward(packed, hx)
        output, _ = pad_packed_sequence(output, self.batch_first, total_length=input.shape[time_dim])
        if any_empty:
            output = output.masked_fill(past, 0.0)
            state = where_rows(empty, self._initial(input.shape[batch_dim], hx), state)
        return output, state

    def _forward_layers(
        self, x: Tensor, hx: State, lengths: Tensor | None, masks: DropoutMasks | None, reset: Tensor | None
    ) -> tuple[Tensor, State]:
        """Layer by layer. x (T, B, F), hx (L * D, B, H) or a pair -> (T, B, D * H) and the state."""
        directions = 2 if self.bidirectional else 1
        initial = hx if isinstance(hx, tuple) else (hx,)
        work = x.shape[1] * self.weight_hh_l0.numel()
        finals = []
        for layer in range(self.num_layers):
            mask = masks.layers[layer] if masks is not None else LayerMasks()
            if mask.input is not None:
                x = drop(x, mask.input)
            rows = slice(layer * directions, (layer + 1) * directions)
            state = tuple(s[rows] for s in initial)
            path = choose_path(self.mode, x, mask.state, lengths is not None, work, reset is not None)
            if path == "torch":
                x, final = self._torch_layer(layer, x, state, lengths)
            else:
                x, final = self._own_layer(layer, x, state, lengths, mask.state, reset, path)
            finals.append(final)
            if mask.output is not None:
                x = drop(x, mask.output)
            if layer < self.num_layers - 1:
                x = nn.functional.dropout(x, self.dropout, self.training)
        states = finals[0]
        if len(finals) > 1:
            states = tuple(torch.cat(parts) for parts in zip(*finals, strict=True))  # (L * D, B, H) each
        return x, (states[0], states[1]) if self.mode == "LSTM" else states[0]

    def _own_layer(
        self,
        layer: int,
        x: Tensor,
        state: tuple[Tensor, ...],
        lengths: Tensor | None,
        mask: Mask | None,
        reset: Tensor | None,
        path: str,
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """One layer, as a whole or step by step. x (T, B, F), state (D, B, H) each, mask (T or 1, D, B, H)."""
        outputs, finals = [], []
        lengths = lengths if lengths is None else lengths.to(x.device)
        run = fused_recurrence if path == "fused" else partial(recurrence, reset=reset)
        for direction in range(len(state[0])):
            output, final = run(
                self.mode,
                x,
                tuple(s[direction] for s in state),
                self.all_weights[layer * len(state[0]) + direction],
                mask=None if mask is None else mask._replace(keep=mask.keep[:, direction]),
                lengths=lengths,
                reverse=direction == 1,
            )
            outputs.append(output)
            finals.append(final)
        if len(outputs) == 1:  # one direction has nothing to join, and its output need not be copied
            return outputs[0], tuple(part[None] for part in finals[0])
        return torch.cat(outputs, dim=2), tuple(torch.stack(parts) for parts in zip(*finals, strict=True))

    def _torch_layer(
        self, layer: int, x: Tensor, state: tuple[Tensor, ...], lengths: Tensor | None
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """One layer on torch's kernel, without state dropout; shapes as in `_own_layer`."""
        directions = len(state[0])
        weights = [w for d in range(directions) for w in self.all_weights[layer * directions + d]]
        kernel, steps = _KERNELS[self.mode], x.shape[0]
        settings = (weights, self.bias, 1, 0.0, self.training, self.bidirectional)
        if lengths is None:
            hx = state if self.mode == "LSTM" else state[0]
            output, *final = kernel(x, hx, *settings, False)
            return output, tuple(final)
        empty = (lengths == 0).to(x.device)
        x = x.masked_fill(empty[:, None], 0.0)  # as in `_forward_torch`
        packed = pack_padded_sequence(x, lengths.clamp(min=1), enforce_sorted=False)
        order, back = packed.sorted_indices, packed.unsorted_indices
        assert order is not None, "packing without enforce_sorted always orders"
        assert back is not None
        ordered = tuple(s.index_select(1, order) for s in state)
        hx = ordered if self.mode == "LSTM" else ordered[0]
        data, *final = kernel(packed.data, packed.batch_sizes, hx, *settings)
        output, _ = pad_packed_sequence(packed._replace(data=data), total_length=steps)  # (T, B, D * H)
        final_state = tuple(f.index_select(1, back) for f in final)
        return output.masked_fill(empty[:, None], 0.0), where_rows(empty, state, final_state)


def _check_lengths(lengths: Tensor | None, batch: int, steps: int) -> Tensor | None:
    """Lengths as int64 on the CPU, where torch's packing wants them."""
    if lengths is None:
        return None
    if lengths.shape != (batch,) or lengths.is_floating_point() or lengths.dtype == torch.bool:
        raise ArgumentError(
            f"lengths is {lengths.dtype} of shape {tuple(lengths.shape)}: give integers of shape ({batch},), one a row"
        )
    lengths = lengths.to("cpu", torch.int64)
    if batch and not 0 <= int(lengths.min()) <= int(lengths.max()) <= steps:
        raise ArgumentError(
            f"lengths lie in [{int(lengths.min())}, {int(lengths.max())}]: keep to [0, {steps}], the steps of the input"
        )
    return lengths


def _check_reset(reset: Tensor, shape: tuple[int, int]) -> None:
    if reset.shape != shape or reset.dtype != torch.bool:
        raise ArgumentError(
            f"reset is {reset.dtype} of shape {tuple(reset.shape)}: give bool of shape {shape}, true where a new sequence "
            "begins"
        )


def _check_masks(masks: DropoutMasks, batch: int, steps: int) -> None:
    for layer in masks.layers:
        for mask in layer:
            if mask is None:
                continue
            time, rows = mask.keep.shape[0], mask.keep.shape[-2]
            if rows != batch or time != (1 if masks.variational else steps):
                raise ArgumentError(
                    f"masks are for {time} steps of {rows} rows, the input has {steps} of {batch}: "
                    f"draw them with sample_masks({batch}, {steps})"
                )
