"""Downloads one file from the first mirror that has it, and checks it before it appears under its name."""

import socket
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.client import HTTPException
from pathlib import Path
from urllib.parse import urlsplit

from torch.hub import download_url_to_file

from rnn_lightning.errors import ArgumentError

_TIMEOUT = 20.0  # seconds without a byte before the next mirror is tried


def download(name: str, folder: Path, mirrors: Sequence[str], sha256: str, by_hand: str) -> Path:
    """Downloads `name` to `folder`, with a progress bar on a terminal, and returns its path.

    Args:
        name: The file's name.
        folder: The folder; it is made if it does not exist.
        mirrors: Addresses to which `name` is appended, tried in order.
        sha256: The file's hash, in hexadecimal; a download is checked before it is moved to its place.
        by_hand: What to do without a network; part of the `ArgumentError`'s message if no mirror has the file.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ArgumentError(f"cannot write {folder / name} ({error.strerror or error}): {by_hand}") from error
    failures = []
    for mirror in mirrors:
        try:
            with _timeout():
                download_url_to_file(f"{mirror}{name}", str(folder / name), sha256, progress=sys.stderr.isatty())
            return folder / name
        except (OSError, HTTPException, RuntimeError) as error:  # torch raises RuntimeError if the hash differs
            reason = " ".join(str(getattr(error, "reason", error)).split()) or type(error).__name__
            failures.append(f"{urlsplit(mirror).netloc or mirror}: {reason}")
    raise ArgumentError(f"cannot download {name} from any of the mirrors ({'; '.join(failures)}): {by_hand}")


@contextmanager
def _timeout() -> Iterator[None]:
    """A timeout for all sockets of the process; without it the download could wait forever."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(_TIMEOUT)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
