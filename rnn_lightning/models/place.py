"""Where in a run a checkpoint was saved, and the counters that Lightning's loops need to continue there.

Lightning's loops continue a resumed run from their counters. For some checkpoints that is wrong: after an epoch's last
batch, the validation and the start of the next epoch are skipped; after an epoch's end, a run limited by `max_steps`
ends that epoch again. So a checkpoint records its place, and the counters are set from it.
"""

from typing import Any, Literal

from lightning.pytorch import LightningModule, Trainer

Place = Literal["batch", "validation", "validated", "epoch"]
"""Where a run continues: with the next batch, at the start of a validation, after a validation, or with the next
epoch."""

_COUNTERS = ("ready", "started", "processed", "completed")


def place_of(trainer: Trainer) -> Place:
    """Returns where a run would continue if it were saved now."""
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
    """Whether gradients wait for further batches after this one; checkpoints do not contain gradients."""
    if module.automatic_optimization:
        return not trainer.is_last_batch and (trainer.fit_loop.batch_idx + 1) % trainer.accumulate_grad_batches != 0
    return getattr(module, "accumulating", False)


def steps_are_over(trainer: Trainer) -> bool:
    """Whether the last of `max_steps` has been taken. Lightning resumes nothing after it, not even the epoch's end."""
    return trainer.max_steps != -1 and trainer.global_step >= trainer.max_steps


def waits_for_epoch_end(trainer: Trainer) -> bool:
    """Whether a checkpoint after the current batch must wait for the epoch's end.

    After an epoch's last batch, a run can resume with the validation, but not with what comes between the validation
    and the next epoch.
    """
    return steps_are_over(trainer) or (trainer.is_last_batch and place_of(trainer) == "batch")


def validation_follows(trainer: Trainer) -> bool:
    """Whether Lightning validates after the current batch. Validation at time intervals is not supported."""
    every, interval = trainer.check_val_every_n_epoch, trainer.val_check_batch
    if not trainer.enable_validation or (every is not None and (trainer.current_epoch + 1) % every != 0):
        return False
    if interval is None:
        return False
    if interval == float("inf"):
        return trainer.is_last_batch
    batches = trainer.fit_loop.total_batch_idx if every is None else trainer.fit_loop.batch_idx
    return (batches + 1) % interval == 0


def continue_at(trainer: Trainer, loops: dict[str, Any], place: Place) -> None:
    """Sets the counters of `Trainer.fit_loop` in a checkpoint so that a fit continues at a place.

    Args:
        trainer: A Trainer that has not read the counters yet.
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
        # In this case Lightning always restarts within an epoch. It counts the epoch's last batch as ended and begins a
        # new epoch. No epoch has more batches than the number set here.
        _set(batch["current"], trainer.accumulate_grad_batches << 40)
        batch["current"]["completed"] -= 1
        batch["total"]["completed"] -= 1
        batch["is_last_batch"] = False
        loops["epoch_loop.state_dict"]["_batches_that_stepped"] -= 1


def _set(counters: dict[str, int], value: int) -> None:
    counters.update(dict.fromkeys(_COUNTERS, value))
