"""Locks on files and folders, with the system's own `flock`, that end with their process, however it ends.

The locks leave nothing behind, and need no file of their own. Where the system or the file system has no such locks
(Windows, some network disks), no process is kept out.
"""

import os
from contextlib import suppress
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]


class Lock:
    """A lock that is held until `release` or until the process ends."""

    def __init__(self, file: int | None) -> None:
        self._file = file  # None where there are no locks

    def release(self) -> None:
        """Releases the lock, even for processes that this one has forked since."""
        if self._file is not None:
            with suppress(OSError):
                fcntl.flock(self._file, fcntl.LOCK_UN)
            os.close(self._file)
            self._file = None


def take(path: str | Path) -> Lock | None:
    """Locks an existing file or folder; returns None at once if it is already locked."""
    if fcntl is None:
        return Lock(None)
    file = None
    try:
        file = os.open(path, os.O_RDONLY)
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if file is not None:
            os.close(file)
        return None if isinstance(error, BlockingIOError) else Lock(None)
    return Lock(file)
