"""`ExactResume`: what a checkpoint needs besides Lightning's data, so that a resumed run equals an uninterrupted one.

Every process has its own generator for dropout, and may have its own states. The loader takes care of the order of the
data (`rnn_lightning.data.loading`).
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.trainer.states import TrainerFn

from rnn_lightning.errors import ArgumentError
from rnn_lightning.models.place import continue_at, place_of
from rnn_lightning.models.ranks import gather

if TYPE_CHECKING:
    from torch.distributed.checkpoint.stateful import Stateful


class ExactResume:
    """Keeps every process's generators and parts in the checkpoint, under "ranks".

    Args:
        parts: Other parts that differ between processes, by name.
    """

    def __init__(self, parts: "Mapping[str, Stateful]") -> None:
        self.parts = parts
        self._generators: dict[str, torch.Tensor] | None = None  # from a checkpoint, until training continues
        self._metrics: dict[str, torch.Tensor] = {}  # likewise

    def seed(self, trainer: Trainer) -> None:
        """Lets the processes, which are all seeded alike, draw different dropout masks."""
        if trainer.global_rank > 0:
            torch.manual_seed(torch.initial_seed() + trainer.global_rank)

    def restore_generators(self, module: LightningModule) -> None:
        """Restores the generators' states from the checkpoint after a resume."""
        if self._generators is not None:
            torch.set_rng_state(self._generators["cpu"].cpu())
            if module.device.type == "cuda" and "cuda" in self._generators:
                torch.cuda.set_rng_state(self._generators["cuda"].cpu(), module.device)
            self._generators = None

    def restore_metrics(self, module: LightningModule) -> None:
        """Gives callbacks the earlier metrics after a resume; early stopping reads them at the epoch's end."""
        module.trainer.callback_metrics.update({name: value.to(module.device) for name, value in self._metrics.items()})
        self._metrics = {}

    def save(self, module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Adds the state of every process, the newest metrics, and the place at which the run continues."""
        checkpoint["place"] = place_of(module.trainer)
        checkpoint["metrics"] = dict(module.trainer.callback_metrics)
        generators = {"cpu": torch.get_rng_state()}
        if module.device.type == "cuda":
            generators["cuda"] = torch.cuda.get_rng_state(module.device)
        parts = {name: part.state_dict() for name, part in self.parts.items()}
        checkpoint["ranks"] = gather(module.trainer.strategy, {"generators": generators, **parts})

    def load(self, trainer: Trainer, checkpoint: dict[str, Any]) -> None:
        """Restores what this process saved; the generators follow with the first training batch."""
        if trainer.state.fn != TrainerFn.FITTING:
            return
        if "place" in checkpoint:
            continue_at(trainer, checkpoint["loops"]["fit_loop"], checkpoint["place"])
        self._metrics = checkpoint.get("metrics", {})
        ranks = checkpoint.get("ranks", [])
        if ranks and len(ranks) != trainer.world_size:
            raise ArgumentError(
                f"the checkpoint is from a run on {len(ranks)} devices, but this one has {trainer.world_size}: resume with "
                f"trainer.devices={len(ranks)}, or begin a new run from its weights (model.weights)"
            )
        if ranks:
            state = ranks[trainer.global_rank]
            self._generators = state["generators"]
            for name, part in self.parts.items():
                part.load_state_dict(state.get(name, {}))
