"""`ExactResume`: what a checkpoint needs besides Lightning's own, so that a resumed run equals an undisturbed one.

Every process has a generator of its own for dropout, and may have states of its own. The order of the data is the
loader's matter (`rnn_lightning.data.loading`).
"""

from collections.abc import Mapping
from typing import Any, Protocol

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.trainer.states import TrainerFn

from rnn_lightning.errors import ArgumentError
from rnn_lightning.models.ranks import gather


class Stateful(Protocol):
    """A part of a module that differs by process."""

    def state_dict(self) -> dict[str, Any]:
        """Plain values and tensors."""

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Takes up what `state_dict` gave."""


class ExactResume(Callback):
    """Keeps generators and parts of every process in the checkpoint, under "ranks".

    Args:
        parts: By name, what else differs by process.
    """

    def __init__(self, parts: Mapping[str, Stateful]) -> None:
        self.parts = parts
        self._generators: dict[str, torch.Tensor] | None = None  # from a checkpoint, until training goes on

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Lets the processes draw different dropout masks; they are all seeded alike."""
        if trainer.global_rank > 0:
            torch.manual_seed(torch.initial_seed() + trainer.global_rank)

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """After a resume, puts the generators where the checkpoint was taken."""
        if self._generators is not None:
            torch.set_rng_state(self._generators["cpu"].cpu())
            if pl_module.device.type == "cuda" and "cuda" in self._generators:
                torch.cuda.set_rng_state(self._generators["cuda"].cpu(), pl_module.device)
            self._generators = None

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Adds the state of every process."""
        generators = {"cpu": torch.get_rng_state()}
        if pl_module.device.type == "cuda":
            generators["cuda"] = torch.cuda.get_rng_state(pl_module.device)
        parts = {name: part.state_dict() for name, part in self.parts.items()}
        checkpoint["ranks"] = gather(trainer.strategy, {"generators": generators, **parts})

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Takes up what this process has saved; the generators wait for the first batch of training."""
        ranks = checkpoint.get("ranks", []) if trainer.state.fn == TrainerFn.FITTING else []
        if ranks and len(ranks) != trainer.world_size:
            raise ArgumentError(
                f"the checkpoint is of a run on {len(ranks)} devices, this one has {trainer.world_size}: resume with "
                f"trainer.devices={len(ranks)}, or begin a new run from its weights (model.weights)"
            )
        if ranks:
            state = ranks[trainer.global_rank]
            self._generators = state["generators"]
            for name, part in self.parts.items():
                part.load_state_dict(state.get(name, {}))
