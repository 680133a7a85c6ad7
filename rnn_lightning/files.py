"""Files that are complete or absent: written under a temporary name, flushed to the disk, then renamed."""

import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import fsspec
from fsspec.implementations.local import LocalFileSystem

PREFIX = ".part-"
"""The prefix of a file's name while it is being written; it keeps the final suffix."""


def write_atomically(path: str | Path, content: bytes | str | Callable[[Path], object]) -> Path:
    """Writes a file so that it is never visible in part, even if the process is killed or others write it, too.

    Args:
        path: The file; its folder is made if necessary.
        content: Bytes, or text (written as UTF-8 with its line ends unchanged), or a function that writes the file to a
            given path, which has the suffix of `path`.

    Returns:
        The path.

    Raises:
        OSError: The file cannot be written; an earlier file there is unchanged.
    """
    with written_beside(path) as part:
        if callable(content):
            content(part)
        else:
            part.write_bytes(content.encode() if isinstance(content, str) else content)
    return Path(path)


@contextmanager
def written_beside(path: str | Path) -> Iterator[Path]:
    """Yields a path to write to. At the end it replaces `path`; after an error it is removed.

    Args:
        path: The file; its folder is made if necessary.

    Yields:
        A path in the same folder, with the same suffix, that no other process uses.

    Raises:
        OSError: The file cannot be written. The error names `path`, and an earlier file there is unchanged.
    """
    path = Path(path)
    part = path.with_name(f"{PREFIX}{secrets.token_hex(4)}-{path.name}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield part
        _flush(part)
        os.replace(part, path)
        if os.name == "posix":
            _flush(path.parent)  # flush the new name, too
    except OSError as error:
        if error.errno is None or error.filename not in (None, str(part)):
            raise
        raise type(error)(error.errno, error.strerror, str(path)) from error
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)  # after renaming there is none


def remove_leftovers(folder: str | Path) -> None:
    """Removes unfinished files that a killed process has left. Call it when no other process writes there."""
    place = local_path(folder)
    for part in Path(place).glob(f"{PREFIX}*") if place is not None else ():
        with suppress(OSError):
            part.unlink()


def local_path(path: str | Path) -> str | None:
    """The local path of a path or URL; None if it is on another machine."""
    files, place = fsspec.core.url_to_fs(str(path))
    return str(place) if isinstance(files, LocalFileSystem) else None


def _flush(path: Path) -> None:
    """Waits until a file or folder is on the disk, not only in the system's memory."""
    file = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(file)
    finally:
        os.close(file)
