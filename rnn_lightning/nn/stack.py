"""`RecurrentLayers`: runs a stack of recurrent layers, with dropout in three places, lengths and resets.

Legend: B batch, T time steps, F features of a layer's input, H hidden units, L layers, D directions.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from rnn_lightning.errors import ArgumentError
from rnn_lightning.nn.cells import can_run_cells, run_cells
from rnn_lightning.nn.dropout import DropoutMasks, LayerMasks, Mask, drop
from rnn_lightning.nn.dropout_layers import DropoutLayers
from rnn_lightning.nn.forms import Sequences, check_masks, sequences, size_of, state_parts, state_shapes
from rnn_lightning.nn.interop import ForTools, proxies
from rnn_lightning.nn.kernels import run_kernel
from rnn_lightning.nn.native import native_recurrence
from rnn_lightning.nn.path import Path, choose_path
from rnn_lightning.nn.precision import in_working_precision, result_type, torch_refuses
from rnn_lightning.nn.recurrence import recurrence
from rnn_lightning.nn.state import State


class RecurrentLayers(ForTools, DropoutLayers):
    """What `RNN`, `LSTM` and `GRU` add to torch.nn's classes of the same names.

    Use one of the subclasses. Parameters, state_dict keys and shapes are torch.nn's. Without dropout, outputs, states
    and gradients are the same as those of torch.nn.
    """

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
            input: (T, B, F), or (B, T, F) with `batch_first`; (T, F) unbatched; or packed.
            hx: The initial state, h (L * D, B, H) or for an LSTM the pair (h, c), (L * D, H) unbatched; zeros if not
                given.
            lengths: (B,) integers in [0, T]. Past a row's length, its outputs are zero, and its state is that of its
                last step, as with packed sequences and `tf.nn.dynamic_rnn`. A row of length 0 keeps its state.
            masks: From `sample_masks`, applied even in evaluation; in training they are drawn if not given.
            reset: (T, B) bool, or (B, T) with `batch_first`; (T,) unbatched. It is true where a new sequence begins at
                that step: the state before it is zero, and no gradient goes back across it. The backward direction of
                bidirectional layers starts at the last step of each sequence. It skips padding.

        Returns:
            The top layer's output, (T, B, D * H) or in the form of the input, and the final state in the form of `hx`.

        Raises:
            ArgumentError: `lengths` do not fit or are given with packed input, masks are for another batch size or T,
                or `reset` has a wrong shape or type.
            RuntimeError, ValueError: torch.nn refuses the input, with its own message.
        """
        if proxies(input, hx, lengths, reset):
            return self.as_leaf(input, hx, lengths, masks, reset)
        size = size_of(self, input, hx)
        if size is None:
            return super().forward(input, hx)  # raises torch's own error
        dropping = masks is not None or (self.training and self._drops)
        state = () if hx is None else state_parts(self.mode, hx)
        if masks is not None:
            check_masks(masks, self.mask_shapes(*size), size)
        elif dropping:
            masks = self.sample_masks(size[1], size[0])
        state_mask = None if masks is None else next((m.state for m in masks.layers if m.state is not None), None)
        x, ends = (input.data, input.batch_sizes) if isinstance(input, PackedSequence) else (input, lengths)
        weights = self.all_weights
        path = choose_path(self.mode, x, size[0], weights, state, state_mask, ends, reset)
        if path == "torch" and masks is None and lengths is None and not torch_refuses(self.mode, x):
            return super().forward(input, hx)
        batch = sequences(self, input, hx, size, lengths, reset)
        state = batch.state or tuple(batch.x.new_zeros(shape) for shape in state_shapes(self, size[1]))
        result = result_type(self.mode, batch.x, state, isinstance(input, PackedSequence))
        output, state = batch.restore(*self._run(path, batch, state, weights, masks, result))
        return output, (state[0], state[1]) if self.mode == "LSTM" else state[0]

    def step(self, x: Tensor, state: State | None = None, masks: DropoutMasks | None = None) -> tuple[Tensor, State]:
        """Runs one time step, for inference on a stream.

        Args:
            x: (B, F), or (F,) unbatched.
            state: Like `hx` of `forward`.
            masks: As in `forward`.

        Returns:
            The output (B, H) or (H,), and the state for the next step.

        Raises:
            ArgumentError: The layers are bidirectional, so they need the whole sequence.
            RuntimeError, ValueError: As `forward` raises them, for an input or a state that does not fit.
        """
        if self.bidirectional:
            raise ArgumentError("step needs bidirectional=False: a backward direction starts at the sequence's end")
        own = getattr(self.forward, "__func__", None) is RecurrentLayers.forward  # a subclass may have its own
        if own and masks is None and state is not None and can_run_cells(self, x, state):
            try:
                return run_cells(self, x, state_parts(self.mode, state))
            except RuntimeError:  # the cells have other messages; `forward` raises the layer's own
                pass
        time_dim = 1 if self.batch_first and x.dim() == 2 else 0
        given = {} if masks is None else {"masks": masks}  # a subclass may take only torch's arguments
        output, state = self(x.unsqueeze(time_dim), state, **given)
        return output.squeeze(time_dim), state

    def _run(
        self,
        path: Path,
        batch: Sequences,
        state: tuple[Tensor, ...],
        weights: Sequence[Sequence[Tensor]],
        masks: DropoutMasks | None,
        result: torch.dtype,
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Runs layer by layer, or all at once where torch can; returns the output (T, B, D * H) and the state."""
        x, lengths, reset = batch.x, batch.lengths, batch.reset
        if path == "torch" and masks is None:
            return self._on_torch(self.num_layers, x, state, weights, lengths, result)
        directions, finals = 2 if self.bidirectional else 1, []
        for layer in range(self.num_layers):
            mask = LayerMasks() if masks is None else masks.layers[layer]
            rows = slice(layer * directions, (layer + 1) * directions)
            if mask.input is not None:
                x = drop(x, mask.input)
            here = tuple(s[rows] for s in state)
            if path == "torch":
                x, final = self._on_torch(1, x, here, weights[rows], lengths, result)
            else:
                run = native_recurrence if path == "native" else recurrence
                x, final = self._on_ours(run, x, here, weights[rows], mask.state, lengths, reset, result)
            finals.append(final)
            if mask.output is not None:
                x = drop(x, mask.output)
            if layer < self.num_layers - 1:
                x = nn.functional.dropout(x, self.dropout, self.training)
        if len(finals) == 1:
            return x, finals[0]
        return x, tuple(torch.cat(parts) for parts in zip(*finals, strict=True))  # (L * D, B, H) each

    def _on_torch(
        self,
        count: int,
        x: Tensor,
        state: tuple[Tensor, ...],
        weights: Sequence[Sequence[Tensor]],
        lengths: Tensor | None,
        result: torch.dtype,
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Runs `count` layers on torch's kernels. x (T, B, F), state (count * D, B, H) each."""
        run = partial(run_kernel, self, count, lengths=lengths)
        flat = [weight for direction in weights for weight in direction]
        if torch_refuses(self.mode, x, lengths is not None):
            return in_working_precision(run, x, state, flat, result)
        output, final = run(x, state, flat)
        return output.to(result), tuple(part.to(result) for part in final)

    def _on_ours(
        self,
        run: Callable[..., tuple[Tensor, tuple[Tensor, ...]]],
        x: Tensor,
        state: tuple[Tensor, ...],
        weights: Sequence[Sequence[Tensor]],
        mask: Mask | None,
        lengths: Tensor | None,
        reset: Tensor | None,
        result: torch.dtype,
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Runs one layer on a path other than torch's. x (T, B, F), state (D, B, H) each, mask (T or 1, D, B, H)."""
        outputs, finals = [], []
        lengths, reset = (None if part is None else part.to(x.device) for part in (lengths, reset))
        for direction, own in enumerate(weights):
            of_direction = None if mask is None else mask._replace(keep=mask.keep[:, direction])

            def one(
                x: Tensor, state: Any, weights: Any, mask: Any = of_direction, reverse: bool = direction == 1
            ) -> Any:
                return run(self.mode, x, state, weights, mask, lengths, reverse, reset)

            output, final = in_working_precision(one, x, tuple(s[direction] for s in state), own, result)
            outputs.append(output)
            finals.append(final)
        if len(outputs) == 1:  # a single direction needs no joining, which would copy its output
            return outputs[0], tuple(part[None] for part in finals[0])
        return torch.cat(outputs, dim=2), tuple(torch.stack(parts) for parts in zip(*finals, strict=True))
