"""Converts every form of a layer's input (unbatched, batch first, time first, packed) to time first with lengths.

Also finds invalid inputs; torch.nn's own forward then raises the error.

Legend: B batch, T time steps, F input features, L layers, D directions.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from rnn_lightning.errors import ArgumentError
from rnn_lightning.nn.dropout import DropoutMasks
from rnn_lightning.nn.precision import under_autocast

Restore = Callable[[Tensor, tuple[Tensor, ...]], tuple[Any, tuple[Tensor, ...]]]


class Sequences(NamedTuple):
    """A batch in the form in which the layers compute.

    Attributes:
        x: (T, B, F).
        state: (h,) or (h, c), each (L * D, B, ...); None for zeros.
        lengths: (B,), int64 on the CPU, where torch's packing needs them; None if all rows have T steps.
        reset: (T, B) bool, or None.
        restore: Turns an output (T, B, ...) and a state back into the form that was given.
    """

    x: Tensor
    state: tuple[Tensor, ...] | None
    lengths: Tensor | None
    reset: Tensor | None
    restore: Restore


def state_parts(mode: str, hx: Any) -> tuple[Tensor, ...]:
    """Converts a state to a tuple: (h,), or for an LSTM (h, c), which may be given as any pair."""
    return (hx[0], hx[1]) if mode == "LSTM" else (hx,)


def state_shapes(layers: nn.RNNBase, batch: int) -> tuple[tuple[int, int, int], ...]:
    """Returns the shape of h, or for an LSTM the shapes of h and c."""
    count = layers.num_layers * (2 if layers.bidirectional else 1)
    h = (count, batch, layers.proj_size or layers.hidden_size)
    return (h, (count, batch, layers.hidden_size)) if layers.mode == "LSTM" else (h,)


def size_of(layers: nn.RNNBase, input: Tensor | PackedSequence, hx: Any) -> tuple[int, int] | None:
    """Returns T and B of an input; None if torch.nn's forward would refuse the input or its state."""
    if isinstance(input, PackedSequence):
        x, size, batched = input.data, (len(input.batch_sizes), int(input.batch_sizes[0])), True
        if x.dim() != 2:
            return None
    else:
        x, batched = input, input.dim() == 3
        if x.dim() not in (2, 3):
            return None
        batch, steps = (x.shape[:2] if layers.batch_first else x.shape[1::-1]) if batched else (1, x.shape[0])
        size = (steps, batch)
    if x.shape[-1] != layers.input_size or not size[0]:
        return None
    if x.dtype != layers.weight_hh_l0.dtype and not under_autocast(x):
        return None
    if hx is None:
        return size
    if isinstance(hx, Tensor) == (layers.mode == "LSTM") or (layers.mode == "LSTM" and len(hx) != 2):
        return None
    for part, shape in zip(state_parts(layers.mode, hx), state_shapes(layers, size[1]), strict=True):
        if part.shape != (shape if batched else (shape[0], shape[2])):
            return None
    return size


def sequences(
    layers: nn.RNNBase,
    input: Tensor | PackedSequence,
    hx: Any,
    size: tuple[int, int],
    lengths: Tensor | None,
    reset: Tensor | None,
) -> Sequences:
    """Converts an input that `size_of` has accepted.

    Raises:
        ArgumentError: `lengths` or `reset` does not fit the input.
    """
    state = None if hx is None else state_parts(layers.mode, hx)
    if isinstance(input, PackedSequence):
        if lengths is not None:
            raise ArgumentError("lengths given with packed input, which has its own: leave lengths out")
        x, lengths = pad_packed_sequence(input)
        reset = _time_first_reset(reset, size, layers.batch_first)
        return Sequences(x, state, lengths, reset, _packer(input, lengths))
    batched = input.dim() == 3
    if batched:
        turn = layers.batch_first
        x = input.transpose(0, 1) if turn else input
        reset = _time_first_reset(reset, size, layers.batch_first)
    else:
        x, turn = input.unsqueeze(1), False
        state = None if state is None else tuple(s.unsqueeze(1) for s in state)
        lengths = lengths.unsqueeze(0) if lengths is not None and lengths.dim() == 0 else lengths
        if reset is not None:
            reset = reset.unsqueeze(1) if reset.dim() == 1 else reset
            reset = _time_first_reset(reset, size, False)

    def restore(output: Tensor, final: tuple[Tensor, ...]) -> tuple[Tensor, tuple[Tensor, ...]]:
        if batched:
            return (output.transpose(0, 1) if turn else output), final
        return output.squeeze(1), tuple(s.squeeze(1) for s in final)

    return Sequences(x, state, _check_lengths(lengths, size), reset, restore)


def _packer(given: PackedSequence, lengths: Tensor) -> Restore:
    """Packs an output in the way the input was packed."""

    def restore(output: Tensor, final: tuple[Tensor, ...]) -> tuple[PackedSequence, tuple[Tensor, ...]]:
        ends = lengths
        if given.sorted_indices is not None:
            output = output.index_select(1, given.sorted_indices)
            ends = lengths[given.sorted_indices.cpu()]
        data = pack_padded_sequence(output, ends).data
        return PackedSequence(data, given.batch_sizes, given.sorted_indices, given.unsorted_indices), final

    return restore


def _check_lengths(lengths: Tensor | None, size: tuple[int, int]) -> Tensor | None:
    """Checks lengths, and converts them to int64 on the CPU."""
    if lengths is None:
        return None
    steps, batch = size
    if lengths.shape != (batch,) or lengths.is_floating_point() or lengths.dtype == torch.bool:
        raise ArgumentError(
            f"lengths is {lengths.dtype} of shape {tuple(lengths.shape)}: give integers of shape ({batch},), one per row"
        )
    if lengths.is_meta:
        return lengths
    lengths = lengths.to("cpu", torch.int64)
    if batch and not 0 <= int(lengths.min()) <= int(lengths.max()) <= steps:
        raise ArgumentError(
            f"lengths are in [{int(lengths.min())}, {int(lengths.max())}]: give 0 to {steps}, the input's number of steps"
        )
    return lengths


def _time_first_reset(reset: Tensor | None, size: tuple[int, int], batch_first: bool) -> Tensor | None:
    """Returns `reset` as (T, B)."""
    if reset is None:
        return None
    shape = size[::-1] if batch_first else size
    if reset.shape != shape or reset.dtype != torch.bool:
        raise ArgumentError(
            f"reset is {reset.dtype} of shape {tuple(reset.shape)}: give bool of shape {shape}, true where a new sequence "
            "begins"
        )
    return reset.t() if batch_first else reset


def check_masks(masks: DropoutMasks, shapes: Sequence[Sequence[tuple[int, ...]]], size: tuple[int, int]) -> None:
    """Raises `ArgumentError` if masks do not have these shapes, given for each layer's input, output and state.

    The first dimension of each shape is T; variational masks have 1 instead of T.
    """
    steps, batch = size
    if len(masks.layers) != len(shapes):
        raise ArgumentError(f"masks are for {len(masks.layers)} layers, but there are {len(shapes)}: use sample_masks")
    for layer, expected in zip(masks.layers, shapes, strict=True):
        for mask, shape in zip(layer, expected, strict=True):
            if mask is None or mask.keep.shape == (1 if masks.variational else steps, *shape[1:]):
                continue
            time, rows = mask.keep.shape[0], mask.keep.shape[-2]
            raise ArgumentError(
                f"masks are for {time} steps of {rows} rows, {tuple(mask.keep.shape)}, but the input has {steps} "
                f"steps of {batch} rows: draw them with sample_masks({batch}, {steps})"
            )
