"""`CarriedStates`: row i of a batch continues row i of the previous batch."""

from typing import Any

from lightning.pytorch.utilities.rank_zero import rank_zero_warn

from rnn_lightning.errors import ArgumentError
from rnn_lightning.models.plain import listed, plain, rebuilt
from rnn_lightning.nn import detach_state
from rnn_lightning.nn.state import first_rows, map_state


class CarriedStates:
    """Keeps a detached state for each stage (`"train"`, `"val"`, ...), so that validation does not disturb training."""

    def __init__(self) -> None:
        self._stages: dict[str, tuple[Any, int, int]] = {}  # state, rows, data loader

    def take(self, stage: str, rows: int, device: Any = None, loader: int = 0) -> Any:
        """Returns the initial state for a batch of `rows` rows; None at the beginning of a data loader.

        A batch with fewer rows than the previous one continues its first rows; the missing rows have ended.

        Raises:
            ArgumentError: The batch has more rows than the previous one.
        """
        state, before, of = self._stages.get(stage, (None, rows, loader))
        if of != loader:
            return None
        if rows > before:
            raise ArgumentError(
                f"carry_state: this batch has {rows} rows, but the previous one had {before}; each row continues where "
                "it ended, so within an epoch rows may end, but none can begin: give batches of equal size"
            )
        if rows < before:
            state = first_rows(state, rows)
        return map_state(lambda s: s.to(device), state)  # a state from a checkpoint may be on another device

    def put(self, stage: str, rows: int, state: Any, loader: int = 0) -> None:
        """Keeps the state for the next batch of this stage."""
        self._stages[stage] = (detach_state(state), rows, loader)

    def clear(self, stage: str) -> None:
        """Forgets a stage's state, so that its next batch begins new sequences."""
        self._stages.pop(stage, None)

    def state_dict(self) -> dict[str, Any]:
        """Returns plain values, for a checkpoint. A state that can't be made plain is left out, with a warning."""
        saved = {}
        for stage, (state, *place) in self._stages.items():
            value, lost = plain(state, "state", types=True)
            if lost:
                rank_zero_warn(
                    f"carry_state: the checkpoint leaves out the {stage} state, as {listed(lost)} is neither a "
                    "tensor nor a plain value; a resumed run will begin with zeros"
                )
            else:
                saved[stage] = [value, *place]
        return saved

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Restores what `state_dict` returned."""
        self._stages = {stage: (rebuilt(state), *place) for stage, (state, *place) in saved.items()}
