"""What a checkpoint needs besides Lightning's own, so that a resumed run equals an undisturbed one to the bit.

Every process has a generator of its own for dropout, and may have a state of its own that is carried from batch to batch.
The order of the data is the loader's matter (`rnn_lightning.data.loading`).
"""

from typing import Any

import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.trainer.states import TrainerFn

from rnn_lightning.errors import ArgumentError


class ResumableModule(LightningModule):
    """Its checkpoints hold, under "ranks", what each process needs to go on as if it had not stopped."""

    _generators: dict[str, torch.Tensor] | None = None  # from a checkpoint, until training goes on

    def rank_state(self) -> dict[str, Any]:
        """What this process adds to a checkpoint: plain values and tensors. Extend it with `super().rank_state()`."""
        return {"generators": _generator_states(self.device)}

    def load_rank_state(self, state: dict[str, Any]) -> None:
        """Takes up what `rank_state` gave; the generators wait for the first batch of training."""
        self._generators = state["generators"]

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Adds the state of every process."""
        checkpoint["ranks"] = [self.rank_state()]
        if self.trainer.world_size > 1:
            ranks: list[Any] = [None] * self.trainer.world_size
            torch.distributed.all_gather_object(ranks, self.rank_state())
            checkpoint["ranks"] = ranks

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Takes up what this process has saved."""
        ranks, trainer = checkpoint.get("ranks", []), self._trainer
        if trainer is None:  # load_from_checkpoint
            self._load_rank(ranks, 0)
        elif len(ranks) == trainer.world_size:
            self._load_rank(ranks, trainer.global_rank)
        elif ranks and trainer.state.fn == TrainerFn.FITTING:
            raise ArgumentError(
                f"the checkpoint is of a run on {len(ranks)} devices, this one has {trainer.world_size}: resume with "
                f"trainer.devices={len(ranks)}, or begin a new run from its weights (model.weights)"
            )

    def _load_rank(self, ranks: list[dict[str, Any]], rank: int) -> None:
        if rank < len(ranks):
            self.load_rank_state(ranks[rank])

    def on_fit_start(self) -> None:
        """Lets the processes draw different dropout masks; they are all seeded alike."""
        if self.trainer.global_rank > 0:
            torch.manual_seed(torch.initial_seed() + self.trainer.global_rank)

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        """After a resume, puts the generators where the checkpoint was taken."""
        if self._generators is not None:
            torch.set_rng_state(self._generators["cpu"].cpu())
            if self.device.type == "cuda" and "cuda" in self._generators:
                torch.cuda.set_rng_state(self._generators["cuda"].cpu(), self.device)
            self._generators = None


def _generator_states(device: torch.device) -> dict[str, torch.Tensor]:
    states = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        states["cuda"] = torch.cuda.get_rng_state(device)
    return states
