"""`Means`: an epoch's values, as means over the valid targets of all batches, chunks and ranks.

These are the loss in validation and test and, in every stage, what `chunk_step` returns besides the loss.
"""

from collections.abc import Mapping
from typing import Any

from lightning.pytorch.strategies import Strategy
from torch import Tensor

from rnn_lightning.models.ranks import gather

TARGETS, WEIGHT = " targets", " weight"
"""Keys that no value of a model has."""


class Means:
    """Sums by stage and data loader. Updating a metric object at every chunk would cost more than a small chunk itself."""

    def __init__(self) -> None:
        self._sums: dict[str, dict[int, dict[str, Any]]] = {}

    def add(self, stage: str, targets: Tensor | int, sums: Mapping[str, Any], loader: int = 0) -> None:
        """Adds the sums of a chunk and the number of its valid targets; values that are not numbers are skipped.

        A pair is a sum with its own divisor, which is used instead of the number of targets.
        """
        into = self._sums.setdefault(stage, {}).setdefault(loader, {TARGETS: 0})
        into[TARGETS] = into[TARGETS] + targets
        for name, value in sums.items():
            if isinstance(value, tuple):
                value, weight = value
                into[name + WEIGHT] = into.get(name + WEIGHT, 0.0) + weight
            if not isinstance(value, Tensor):
                into[name] = into.get(name, 0.0) + value
            elif value.dim() == 0:
                into[name] = into.get(name, 0.0) + value.detach()

    def compute(self, stage: str, strategy: Strategy) -> dict[str, float]:
        """Computes the means of a stage over all ranks, by name.

        With several data loaders, they include each loader's means, as `NAME/loader_I`.
        """
        total: dict[int | str, dict[str, float]] = {}
        for ours in gather(strategy, {k: _floats(v) for k, v in self._sums.get(stage, {}).items()}):
            for loader, sums in ours.items():
                for name, value in sums.items():
                    for place in ("all", loader):
                        of = total.setdefault(place, {})
                        of[name] = of.get(name, 0.0) + value
        if len(total) == 2:
            del total[next(place for place in total if place != "all")]
        return {
            name if place == "all" else f"{name}/loader_{place}": value / weight
            for place, sums in total.items()
            for name, value in sums.items()
            if name != TARGETS and not name.endswith(WEIGHT) and (weight := sums.get(name + WEIGHT, sums[TARGETS]))
        }

    def clear(self, stage: str) -> None:
        """Resets a stage."""
        self._sums.pop(stage, None)

    def state_dict(self) -> dict[str, Any]:
        """Returns the sums of the training epoch so far."""
        return _floats(self._sums.get("train", {}).get(0, {}))

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Restores what `state_dict` returned."""
        self._sums = {"train": {0: dict(saved)}} if saved else {}


def _floats(sums: Mapping[str, Any]) -> dict[str, float]:
    return {name: float(value) for name, value in sums.items()}
