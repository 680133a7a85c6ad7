"""Saves checkpoints so that every machine has them, whether or not the machines share a folder."""

from pathlib import Path

from lightning.pytorch import Trainer

from rnn_lightning.files import local_path, write_atomically
from rnn_lightning.models.ranks import reduce


def save(trainer: Trainer, path: str) -> None:
    """Saves a checkpoint, and copies it to the machines that cannot see it. Call this function on all ranks."""
    trainer.save_checkpoint(path, weights_only=False)
    copy_to_nodes(trainer, path)


def copy_to_nodes(trainer: Trainer, path: str) -> None:
    """Copies rank 0's file to the same path on each machine that cannot see it. Call this function on all ranks."""
    if trainer.num_nodes == 1 or (place := local_path(path)) is None:
        return
    strategy = trainer.strategy
    stamp = strategy.broadcast(_stamp(place))
    lacks = trainer.local_rank == 0 and stamp != _stamp(place)
    if reduce(strategy, lacks, "max"):
        content = strategy.broadcast(Path(place).read_bytes() if trainer.is_global_zero else b"")
        if lacks and not trainer.is_global_zero:
            write_atomically(place, content)
        strategy.barrier()


def _stamp(path: str) -> tuple[int, int] | None:
    """Returns a stamp that identifies a version of a file on any machine; None if there is no file."""
    try:
        status = Path(path).stat()
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns
