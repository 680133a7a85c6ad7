"""Reads texts from a file or a folder, and a text that comes with Python."""

import gzip
import os
import zlib
from pathlib import Path

from rnn_lightning.errors import ArgumentError

GZIP = b"\x1f\x8b"
COMPRESSED = (GZIP, b"PK\x03\x04", b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd")
"""The first bytes of gzip, zip, bzip2, xz and zstd files."""
SUFFIXES = (".gz", ".dz")
"""Suffixes of files written by gzip or dictzip."""
PACKAGES = {"/usr/share/dictd/jargon.dict.dz": "dict-jargon"}
"""The texts of recipes, and the Debian package of each."""


def read_text(path: str | Path, argument: str = "path") -> str:
    """Reads a UTF-8 file, or all files in a folder except hidden ones, in order of path.

    Files written by gzip or dictzip (.gz, .dz) are decompressed.

    Args:
        path: The file or folder.
        argument: The name of the argument that gave the path, for error messages.

    Raises:
        ArgumentError: There is no such file or folder, or it can't be read, is not text in UTF-8, or has no text.
    """
    if not str(path):
        raise ArgumentError(f"{argument} is empty: give a file or a folder")
    place = Path(path).expanduser()
    files = [place]
    if os.path.isdir(place):
        found = (file for file in sorted(place.rglob("*")) if file.is_file())
        files = [file for file in found if not any(part.startswith(".") for part in file.relative_to(place).parts)]
    elif not os.path.isfile(place):  # also false for a name that no file system allows
        package = PACKAGES.get(str(path))
        hint = (
            f"; it is part of the Debian package {package}: run `apt install {package}`, or give a text of your own as "
            f"--data.{argument}"
        )
        raise ArgumentError(f"{argument}={path}: there is no such file or folder{hint if package else ''}")
    text = "".join(_read(file) for file in files)
    if not text:
        raise ArgumentError(f"{argument}={path} contains no text: give a file with text")
    return text


def _read(file: Path) -> str:
    try:
        data = file.read_bytes()
        if file.suffix.lower() in SUFFIXES or data.startswith(GZIP):
            data = gzip.decompress(data)
        if data.startswith(COMPRESSED):
            raise ArgumentError(f"{file} is compressed: unpack it first")
        if b"\0" in data:
            raise ArgumentError(f"{file} is not text, or not in UTF-8: it has a zero byte at {data.index(0)}")
        return data.decode("utf-8-sig")
    except (OSError, EOFError, zlib.error) as error:  # the last two mean that a compressed file is damaged
        raise ArgumentError(f"{file} cannot be read ({getattr(error, 'strerror', None) or error})") from error
    except UnicodeDecodeError as error:
        raise ArgumentError(
            f"{file} is not UTF-8, from byte {error.start} on: convert it first, with `iconv -f ENCODING -t UTF-8`"
        ) from error


def python_topics() -> str:
    """Returns the help texts in Python's `pydoc_data.topics`: some 465,000 characters, which vary with the version."""
    from pydoc_data.topics import topics

    return "\n".join(topics[name] for name in sorted(topics))
