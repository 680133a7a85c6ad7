"""Reader for IDX files, the format of MNIST, gzipped or not.

IDX (Y. LeCun, http://yann.lecun.com/exdb/mnist/): two zero bytes, one byte for the type (0x08: unsigned bytes, the only
one read here), one byte for the number of dimensions, each dimension as a big-endian uint32, then the values, the last
dimension running fastest.
"""

import gzip
import hashlib
import math
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from rnn_lightning.errors import ArgumentError

_GZIP_MAGIC = b"\x1f\x8b"
_UNSIGNED_BYTES = 0x08
_REMEDY = "delete it (MNIST's own files are then downloaded again)"


@contextmanager
def _damage_named(path: Path) -> Iterator[None]:
    """Turns what goes wrong inside into one line that names the file."""
    try:
        yield
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ArgumentError(f"{path} is truncated or corrupted ({error}): {_REMEDY}") from error
    except OSError as error:
        raise ArgumentError(f"cannot read {path} ({error.strerror or error}): make it readable") from error


def _is_gzip(path: Path) -> bool:
    # by content: files get renamed, and some tools unpack without dropping the suffix
    with path.open("rb") as file:
        return file.read(2) == _GZIP_MAGIC


def _parse_header(head: bytes, n_dims: int, path: Path) -> tuple[int, ...]:
    size = 4 + 4 * n_dims
    if len(head) < size or head[:4] != bytes((0, 0, _UNSIGNED_BYTES, n_dims)):
        raise ArgumentError(
            f"{path} is not an IDX file of unsigned bytes in {n_dims} dimensions "
            f"(it begins with {head[:4].hex(' ') or 'nothing'}): {_REMEDY}"
        )
    return tuple(int(dim) for dim in np.frombuffer(head[4:size], dtype=">u4"))


def read_idx_shape(path: Path, n_dims: int) -> tuple[int, ...]:
    """Reads the header only.

    Args:
        path: the file, gzipped or not.
        n_dims: how many dimensions it must have.

    Returns:
        The dimensions; (count, rows, columns) for images, (count,) for labels.

    Raises:
        ArgumentError: if it cannot be read or is no such file.
    """
    with _damage_named(path), gzip.open(path) if _is_gzip(path) else path.open("rb") as file:
        head = file.read(4 + 4 * n_dims)
    return _parse_header(head, n_dims, path)


def read_idx(path: Path, n_dims: int, sha256: str | None = None) -> np.ndarray:
    """Reads a whole file.

    Args:
        path: the file, gzipped or not.
        n_dims: how many dimensions it must have.
        sha256: what the unpacked bytes must hash to, in hexadecimal; None to skip that check.

    Returns:
        uint8, read-only, in the shape that the header tells.

    Raises:
        ArgumentError: if it cannot be read, is truncated, no such file, or hashes to something else.
    """
    with _damage_named(path):
        packed = path.read_bytes()
        data = gzip.decompress(packed) if packed[:2] == _GZIP_MAGIC else packed
    shape = _parse_header(data, n_dims, path)
    start, count = 4 + 4 * n_dims, math.prod(shape)
    if len(data) != start + count:
        raise ArgumentError(
            f"{path} is truncated or corrupted ({len(data)} bytes unpacked, its header tells {start + count}): {_REMEDY}"
        )
    if sha256 is not None and (found := hashlib.sha256(data).hexdigest()) != sha256:
        raise ArgumentError(
            f"{path} is not the expected file (its unpacked bytes have SHA-256 {found[:12]}..., not {sha256[:12]}...): "
            "delete it and it is downloaded again, or set verify to false if it is another set in the same format"
        )
    return np.frombuffer(data, dtype=np.uint8, offset=start).reshape(shape)
