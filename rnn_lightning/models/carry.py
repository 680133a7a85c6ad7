"""The state that goes on from batch to batch: row i of a batch continues where row i of the batch before ended."""

from typing import Any, NamedTuple

from rnn_lightning.errors import ArgumentError
from rnn_lightning.models.batch import Batch
from rnn_lightning.nn import DropoutMasks, detach_state, map_state


class Carried(NamedTuple):
    """What a batch leaves to the next: the detached state, the sequences' variational masks, and the number of rows."""

    state: Any
    masks: DropoutMasks | None
    rows: int


class CarriedStates:
    """One `Carried` for each stage (`"train"`, `"val"`, ...), so that a validation does not disturb the training."""

    def __init__(self) -> None:
        self._stages: dict[str, Carried] = {}

    def get(self, stage: str, batch: Batch) -> tuple[Any, DropoutMasks | None]:
        """The state and masks that this batch goes on with; (None, None) at the beginning.

        Raises:
            ArgumentError: The batch has another number of rows than the one before.
        """
        carried, rows = self._stages.get(stage), len(batch["x"])
        if carried is None:
            return None, None
        if carried.rows != rows:
            raise ArgumentError(
                f"carry_state: this batch has {rows} rows, the one before had {carried.rows}; every row goes on where it "
                "ended, so give batches of one size (drop the last, shorter one)"
            )
        device = batch["x"].device  # a state from a checkpoint may lie elsewhere
        masks = carried.masks
        if masks is not None:
            masks = masks.to(device)
        return map_state(lambda s: s.to(device), carried.state), masks

    def put(self, stage: str, batch: Batch, state: Any, masks: DropoutMasks | None) -> None:
        """Keeps what the next batch of this stage goes on with."""
        self._stages[stage] = Carried(detach_state(state), masks, len(batch["x"]))

    def clear(self, stage: str) -> None:
        """Forgets a stage's state: its sequences begin anew."""
        self._stages.pop(stage, None)

    def state_dict(self) -> dict[str, Any]:
        """Plain lists, dicts and tensors, as a checkpoint holds them."""
        return {
            stage: {
                "state": carried.state,
                "rows": carried.rows,
                "masks": None if carried.masks is None else carried.masks.state_dict(),
            }
            for stage, carried in self._stages.items()
        }

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Takes up what `state_dict` gave."""
        self._stages = {}
        for stage, part in saved.items():
            masks = None if part["masks"] is None else DropoutMasks.from_state_dict(part["masks"])
            self._stages[stage] = Carried(part["state"], masks, part["rows"])
