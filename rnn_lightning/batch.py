"""`Batch`: the dict that data loaders yield and models take.

Legend: B batch, T time steps, I input features, O outputs.
"""

from typing import Any, TypeAlias

Batch: TypeAlias = dict[str, Any]
"""`x` (B, T, I), or for your own model (B, T, ...) such as tokens (B, T); `y` (B,), (B, O), (B, T) or (B, T, O).

The other entries are optional: `lengths` (B,) int64; `mask` (B, T) or (B, T, O) bool, true where the target counts;
`reset`, bool, true where row i begins a new sequence, at the batch's first step (B,) or at any step (B, T); `state`,
the initial state; `units` and `offset` (B, T, O): `y * units + offset` is in the data's own units, in which metrics and
predictions are given. A chunk of a batch is also a batch; in training it also has its dropout `masks`."""
