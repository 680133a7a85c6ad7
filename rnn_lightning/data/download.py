"""Downloads a file from the first mirror that has it, and checks it before it appears under its name."""

import socket
import sys
from collections.abc import Sequence
from http.client import HTTPException
from pathlib import Path
from urllib.parse import urlsplit

from torch.hub import download_url_to_file

from rnn_lightning.errors import ArgumentError, NotWrittenError, is_of_disk
from rnn_lightning.files import folder_beside, put, remove_leftovers

_TIMEOUT = 20.0  # seconds without a byte before the next mirror is tried


def download(name: str, folder: Path, mirrors: Sequence[str], sha256: str, by_hand: str) -> Path:
    """Downloads `name` to `folder`, with a progress bar on a terminal, and returns the path of the file.

    Args:
        name: The file's name.
        folder: The folder, which is created if missing.
        mirrors: Addresses to which `name` is appended. They are tried in order.
        sha256: The file's hash, in hexadecimal. It is checked before the file is moved into place.
        by_hand: What to do without a network: the end of the `ArgumentError`'s message if no mirror has the file.
    """
    path = folder / name
    remove_leftovers(folder, name)
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(_TIMEOUT)  # of the whole process; without it, the download could wait forever
    try:
        with folder_beside(path) as beside:  # a killed process would leave torch's own temporary file behind
            put(_from_any(mirrors, beside / name, sha256, by_hand), path)
    except NotWrittenError as error:
        raise ArgumentError(f"cannot write {path} ({error.strerror}): {by_hand}") from error
    finally:
        socket.setdefaulttimeout(before)
    return path


def _from_any(mirrors: Sequence[str], path: Path, sha256: str, by_hand: str) -> Path:
    """Downloads a file from the first mirror that has it."""
    name, failures = path.name, []
    for mirror in mirrors:
        try:
            download_url_to_file(f"{mirror}{name}", str(path), sha256, progress=sys.stderr.isatty())
            return path
        except (OSError, HTTPException, RuntimeError) as error:  # torch raises RuntimeError if the hash differs
            if is_of_disk(error):
                raise
            reason = " ".join(str(getattr(error, "reason", error)).split()) or type(error).__name__
            failures.append(f"{urlsplit(mirror).netloc or mirror}: {reason}")
    raise ArgumentError(f"cannot download {name} from any of the mirrors ({'; '.join(failures)}): {by_hand}")
