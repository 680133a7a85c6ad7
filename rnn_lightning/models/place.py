"""The place of a run at which a checkpoint is saved, and the counters that Lightning's loops need to continue there.

Lightning's loops take from their counters where a resumed run continues. For some places that is wrong: after a checkpoint
of an epoch's last batch the next epoch has no start, and its validation is left out; after one of an epoch's end, a run
that is limited by `max_steps` ends that epoch again. So a checkpoint names its place, and the counters follow from it.
"""

from typing import Any, Literal

from lightning.pytorch import LightningModule, Trainer

Place = Literal["batch", "validation", "validated", "epoch"]
"""Where a run continues: with the next batch; with a validation, from its start; after one; with the next epoch."""

_COUNTERS = ("ready", "started", "processed", "completed")


def place_of(trainer: Trainer) -> Place:
    """Where a run would continue if it were saved now."""
    loop = trainer.fit_loop
    batch, validation = loop.epoch_loop.batch_progress, loop.epoch_loop.val_loop.batch_progress
    if trainer.validating:
        done = validation.is_last_batch and validation.current.completed == validation.current.ready
        return "validated" if done else "validation"
    if loop.epoch_progress.current.processed >= loop.epoch_progress.current.started:  # type: ignore[attr-defined]
        return "epoch"
    ended = batch.current.processed == batch.current.ready  # type: ignore[attr-defined]
    return "validation" if ended and validation_follows(trainer) else "batch"


def within_step(trainer: Trainer, module: LightningModule) -> bool:
    """Whether gradients wait for further batches at a batch's end; they are not in checkpoints."""
    if module.automatic_optimization:
        return not trainer.is_last_batch and (trainer.fit_loop.batch_idx + 1) % trainer.accumulate_grad_batches != 0
    return getattr(module, "accumulating", False)


def steps_are_over(trainer: Trainer) -> bool:
    """Whether the last of `max_steps` is taken. Lightning resumes nothing from there, not even the epoch's end."""
    return trainer.max_steps != -1 and trainer.global_step >= trainer.max_steps


def validation_follows(trainer: Trainer) -> bool:
    """Whether Lightning validates after the batch that runs. Validation by the clock is not foreseen."""
    every, interval = trainer.check_val_every_n_epoch, trainer.val_check_batch
    if not trainer.enable_validation or (every is not None and (trainer.current_epoch + 1) % every != 0):
        return False
    if interval is None:
        return False
    if interval == float("inf"):
        return trainer.is_last_batch
    batches = trainer.fit_loop.total_batch_idx if every is None else trainer.fit_loop.batch_idx
    return (batches + 1) % interval == 0


def go_on(trainer: Trainer, loops: dict[str, Any], place: Place) -> None:
    """Sets the counters of `Trainer.fit_loop` in a checkpoint so that a fit continues at a place.

    Args:
        trainer: It has not read them yet.
        loops: The checkpoint's `["loops"]["fit_loop"]`; changed in place.
        place: Where the checkpoint was saved.
    """
    epoch, batch = loops["epoch_progress"], loops["epoch_loop.batch_progress"]
    validation = loops["epoch_loop.val_loop.batch_progress"]
    _set(validation["total"], validation["total"]["completed"])
    if place == "epoch":
        for counters in epoch.values():
            _set(counters, counters["processed"])
    if place != "batch":
        for counters in (batch["total"], batch["current"]):
            _set(counters, counters["ready"])
    if place == "validation":
        _set(validation["current"], 0)
        validation["total"] = {"ready": 1, "started": 1, "processed": 0, "completed": 0}  # one was interrupted
    if place == "epoch" and trainer.max_steps != -1 and batch["total"]["completed"] > 0:
        # Lightning then always restarts within an epoch. It begins a new one after an epoch's last batch, whose end it
        # counts itself; no epoch has more batches than this.
        _set(batch["current"], trainer.accumulate_grad_batches << 40)
        batch["current"]["completed"] -= 1
        batch["total"]["completed"] -= 1
        batch["is_last_batch"] = False
        loops["epoch_loop.state_dict"]["_batches_that_stepped"] -= 1


def _set(counters: dict[str, int], value: int) -> None:
    counters.update(dict.fromkeys(_COUNTERS, value))
