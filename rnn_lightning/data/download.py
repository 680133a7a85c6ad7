"""Downloads one gzipped file from the first mirror that has it, checked before it appears under its name."""

import gzip
import hashlib
import os
import secrets
import zlib
from collections.abc import Sequence
from http.client import HTTPException
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import urlopen

from tqdm import tqdm  # type: ignore[import-untyped, unused-ignore]

from rnn_lightning.errors import ArgumentError

_TIMEOUT = 20.0  # seconds without a byte before the next mirror is tried
_CHUNK = 1 << 16  # bytes between two moves of the progress bar


class _WrongFileError(Exception):
    """What a mirror sent is not the file."""


def _fetch(url: str) -> bytes:
    """The bytes at `url`, with a progress bar (silent where there is no terminal)."""
    with urlopen(url, timeout=_TIMEOUT) as response:
        total = int(response.headers.get("Content-Length") or 0) or None
        name = url.rpartition("/")[2]
        with tqdm(total=total, desc=name, unit="B", unit_scale=True, disable=None, leave=False) as bar:
            chunks = []
            while chunk := response.read(_CHUNK):
                chunks.append(chunk)
                bar.update(len(chunk))
    return b"".join(chunks)


def _unpack(packed: bytes, sha256: str) -> bytes:
    data = gzip.decompress(packed)
    if hashlib.sha256(data).hexdigest() != sha256:
        raise _WrongFileError("sent another file, by its SHA-256")
    return data


def _place(data: bytes, path: Path) -> None:
    """Writes beside `path`, then renames: under its name there is never a part of a file."""
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")  # other processes may write the same file
    try:
        part.write_bytes(data)
        os.replace(part, path)
    finally:
        # after a rename there is none; after an error or Ctrl-C it must not stay
        part.unlink(missing_ok=True)


def download(name: str, folder: Path, mirrors: Sequence[str], sha256: str, by_hand: str) -> Path:
    """Downloads `name`.gz and places it unpacked as `folder`/`name`.

    Args:
        name: of the unpacked file.
        folder: made if it does not exist.
        mirrors: addresses to which `name`.gz is appended, tried in order.
        sha256: of the unpacked bytes, in hexadecimal. What a mirror sends is checked before it is placed.
        by_hand: what to do without a network, for the error's text.

    Returns:
        The path of the file.

    Raises:
        ArgumentError: if no mirror gave the file, or it cannot be written.
    """
    failures = []
    for mirror in mirrors:
        try:
            data = _unpack(_fetch(f"{mirror}{name}.gz"), sha256)
            break
        except (OSError, HTTPException, EOFError, zlib.error, _WrongFileError) as error:
            reason = " ".join(str(getattr(error, "reason", error)).split()) or type(error).__name__
            failures.append(f"{urlsplit(mirror).netloc or mirror}: {reason}")
    else:
        raise ArgumentError(
            f"cannot download {name}, none of the mirrors could be reached or had it ({'; '.join(failures)}): {by_hand}"
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _place(data, folder / name)
    except OSError as error:
        raise ArgumentError(f"cannot write {folder / name} ({error.strerror or error}): {by_hand}") from error
    return folder / name
