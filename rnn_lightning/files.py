"""Files that are whole or not there: written beside their place, flushed to the disk, then renamed."""

import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import fsspec
from fsspec.implementations.local import LocalFileSystem

PREFIX = ".part-"
"""How the name of a file begins that is still being written; it ends as the finished file's name does."""


def write_atomically(path: str | Path, content: bytes | str | Callable[[Path], object]) -> Path:
    """Writes a file so that no part of it is ever visible, even if the process is killed or others write it, too.

    Args:
        path: The file; its folder is made if it is not there.
        content: Bytes, or text (written as UTF-8, its line ends as they are), or a function that writes the file at the
            path that it is given. That path has the suffix of `path`.

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
    """Gives a path to write at, which takes the place of `path` at the end, or is removed if an error ends it.

    Args:
        path: The file; its folder is made if it is not there.

    Yields:
        A path in the same folder, of the same suffix, that no other process uses.

    Raises:
        OSError: The file cannot be written; it names `path`, and an earlier file there is unchanged.
    """
    path = Path(path)
    part = path.with_name(f"{PREFIX}{secrets.token_hex(4)}-{path.name}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield part
        _flush(part)
        os.replace(part, path)
        if os.name == "posix":
            _flush(path.parent)  # the new name, too
    except OSError as error:
        if error.errno is None or error.filename not in (None, str(part)):
            raise
        raise type(error)(error.errno, error.strerror, str(path)) from error
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)  # after the rename there is none


def remove_leftovers(folder: str | Path) -> None:
    """Removes unfinished files that a killed process has left; call it when no other process writes there."""
    place = local_path(folder)
    for part in Path(place).glob(f"{PREFIX}*") if place is not None else ():
        with suppress(OSError):
            part.unlink()


def local_path(path: str | Path) -> str | None:
    """The place of a path or URL on this machine's own file systems; None if it is elsewhere."""
    files, place = fsspec.core.url_to_fs(str(path))
    return str(place) if isinstance(files, LocalFileSystem) else None


def _flush(path: Path) -> None:
    """Waits until a file or folder is on the disk, not only in the system's memory."""
    file = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(file)
    finally:
        os.close(file)
