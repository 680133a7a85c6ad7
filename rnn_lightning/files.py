"""Files that are either complete or absent: written under a temporary name, flushed to disk, then renamed."""

import errno
import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any

import fsspec
from fsspec.implementations.local import LocalFileSystem

from rnn_lightning import locks
from rnn_lightning.errors import ArgumentError, NotWrittenError, is_of_disk

PREFIX = ".part-"
"""The prefix of a file's name while the file is being written. The suffix is already the final one."""


def write_atomically(path: str | Path, content: bytes | str | Callable[[Path], object]) -> Path:
    """Writes a file that is never visible in part, even if the process is killed or other processes also write it.

    Args:
        path: The file; its folder is made if necessary.
        content: Bytes, or text (written as UTF-8 with its line ends unchanged), or a function that writes the file to a
            given path, which has the suffix of `path`.

    Returns:
        The path.

    Raises:
        NotWrittenError: The file cannot be written. Any existing file is left unchanged.
    """
    with written_beside(path) as part:
        if callable(content):
            content(part)
        else:
            part.write_bytes(content.encode() if isinstance(content, str) else content)
    return Path(path)


@contextmanager
def written_beside(path: str | Path) -> Iterator[Path]:
    """Yields a path to write to. At the end, the written file replaces `path`; after an error, it is removed.

    Args:
        path: The file; its folder is made if necessary.

    Yields:
        A path in the same folder, with the same suffix, that no other process uses.

    Raises:
        NotWrittenError: The file cannot be written. The error names `path`, and any existing file is left unchanged.
    """
    with _part_of(path, Path.touch) as part:
        os.utime(part, (0, 0))
        yield part
        if part.stat().st_mtime == 0:
            raise FileNotFoundError(errno.ENOENT, "nothing was written", str(part))
        put(part, path)


def put(part: Path, path: str | Path) -> None:
    """Renames a finished file once all of it is on disk."""
    _flush(part)
    os.replace(part, path)
    if os.name == "posix":
        _flush(Path(path).parent)  # also flush the new name


@contextmanager
def folder_written_beside(path: str | Path) -> Iterator[Path]:
    """Yields a new folder that becomes `path` at the end, or is removed after an error.

    Args:
        path: The new folder; it must not exist, or must be empty.

    Yields:
        A folder in the same parent folder.

    Raises:
        NotWrittenError: The folder cannot be written. The error names `path`.
    """
    with folder_beside(path) as part:
        yield part
        for file in part.iterdir():
            _flush(file)
        if Path(path).exists():
            Path(path).rmdir()
        part.rename(path)


def folder_beside(path: str | Path) -> AbstractContextManager[Path]:
    """Yields an empty folder beside `path`, for unfinished files, and removes the folder at the end.

    Raises:
        NotWrittenError: The folder cannot be made or written. The error names `path`.
    """
    return _part_of(path, Path.mkdir)


@contextmanager
def _part_of(path: str | Path, make: Callable[[Path], None]) -> Iterator[Path]:
    """Yields a new unfinished file or folder, and leaves nothing there at the end. Errors name `path`."""
    path = Path(path)
    part = path.with_name(f"{PREFIX}{secrets.token_hex(4)}-{path.name}")
    lock = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        make(part)
        lock = locks.take(part)  # tells `remove_leftovers` that it is being written
        yield part
    except OSError as error:
        at = Path(error.filename) if isinstance(error.filename, (str, Path)) else None
        own = is_of_disk(error) if at is None else at in (part, *path.parents) or part in at.parents
        if not own or error.errno is None:
            raise
        raise NotWrittenError(error.errno, error.strerror, str(path)) from error
    finally:
        if lock is not None:
            lock.release()
        _remove(part)  # nothing is there after renaming


def remove_leftovers(folder: str | Path, name: str = "*") -> None:
    """Removes unfinished files that killed processes left, but none that a process is writing now.

    Args:
        folder: The folder of the unfinished files.
        name: A pattern for the names of the finished files.
    """
    place = local_path(folder)
    for part in Path(place).glob(f"{PREFIX}*-{name}") if place is not None else ():
        if (lock := locks.take(part)) is not None:
            _remove(part)
            lock.release()


def file_system(path: str | Path) -> tuple[Any, str]:
    """Returns the file system of a path or URL, and the path on it.

    Raises:
        ArgumentError: The URL's protocol is unknown, or its package is not installed.
    """
    try:
        files, place = fsspec.core.url_to_fs(str(path))
    except (ValueError, ImportError) as error:
        raise ArgumentError(f"{path} cannot be opened ({error}): give a path, or a URL that fsspec knows") from error
    return files, str(place)


def local_path(path: str | Path) -> str | None:
    """Returns the local path of a path or URL; None if the file is on another machine."""
    files, place = file_system(path)
    return place if isinstance(files, LocalFileSystem) else None


def _remove(path: Path) -> None:
    with suppress(OSError):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()


def _flush(path: Path) -> None:
    """Waits until a file or folder is on disk and not only in the system's memory."""
    file = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(file)
    finally:
        os.close(file)
