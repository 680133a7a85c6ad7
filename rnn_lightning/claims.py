"""Only one fit at a time writes into a run's folder: a second fit, started by accident, would overwrite files."""

import time

from lightning.pytorch.utilities.rank_zero import rank_zero_info, rank_zero_only

from rnn_lightning import locks
from rnn_lightning.errors import ArgumentError
from rnn_lightning.files import local_path

_PATIENCE = 60.0
"""How many seconds to wait for another fit, which may still be saving after it was told to end."""

_held: list[locks.Lock] = []


def try_claim(folder: str) -> bool:
    """Claims a folder for this process; returns whether it was free. Folders on other machines always count as free."""
    place = local_path(folder)
    lock = locks.Lock(None) if place is None else locks.take(place)
    if lock is None:
        return False
    _held.append(lock)
    return True


@rank_zero_only
def claim(folder: str) -> None:
    """Claims a folder for this run, on the run's first process, and waits for a fit there that is about to end.

    Raises:
        ArgumentError: Another fit still writes there.
    """
    end = time.monotonic() + _PATIENCE
    said = False
    while not try_claim(folder):
        if time.monotonic() > end:
            raise ArgumentError(
                f"another fit is writing into {folder}: let it end, or stop it, and start this one again"
            )
        if not said:
            rank_zero_info(f"Another fit is writing into {folder}: waiting up to {_PATIENCE:.0f} seconds for it to end")
            said = True
        time.sleep(0.1)


def release_all() -> None:
    """Releases all claims of this process."""
    while _held:
        _held.pop().release()
