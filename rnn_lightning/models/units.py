"""Predictions and targets in the data's own units, if its batches say what they are.

Legend: B batch, T time steps, D values of a target.
"""

from torch import Tensor

from rnn_lightning.batch import Batch


def in_units(values: Tensor, batch: Batch) -> Tensor:
    """Converts values (B, T, D) to the data's own units: times the batch's `units`, plus its `offset`, if given."""
    units, offset = batch.get("units"), batch.get("offset")
    values = values if units is None else values * units
    return values if offset is None else values + offset


def found_in_units(found: dict[str, Tensor], batch: Batch) -> dict[str, Tensor]:
    """Converts what `Objective.predictions` returns to the data's own units."""
    if batch.get("units") is None:
        return found
    raw = {**found, "prediction": in_units(found["prediction"], batch)}
    if "variance" in found:
        raw["variance"] = found["variance"] * batch["units"].square()
    return raw
