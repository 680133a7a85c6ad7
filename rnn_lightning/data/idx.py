"""Reads IDX files, the format of MNIST, gzipped or not.

An IDX file (Y. LeCun, http://yann.lecun.com/exdb/mnist/) begins with two zero bytes, one byte for the type (0x08 for
unsigned bytes, the only type read here), one byte for the number of dimensions, and each dimension as a big-endian
uint32. Then come the values, with the last dimension varying fastest.
"""

import gzip
import hashlib
import math
import zlib
from pathlib import Path

import numpy as np

from rnn_lightning.errors import ArgumentError

_REMEDY = "delete it (MNIST's own files are then downloaded again)"


def read_idx(path: Path, n_dims: int, sha256: str | None = None) -> np.ndarray:
    """Reads a file, gzipped or not, into a read-only uint8 array.

    Args:
        path: The file.
        n_dims: How many dimensions the file must have: 3 for images (count, rows, columns), 1 for labels (count,).
        sha256: The expected hash of the unpacked bytes, in hexadecimal; None to skip this check.

    Raises:
        ArgumentError: The file cannot be read, is truncated, is not an IDX file, or has a different hash.
    """
    try:
        data = path.read_bytes()
        # recognised by content, as some tools unpack a file without dropping the suffix
        data = gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ArgumentError(f"{path} is truncated or corrupted ({error}): {_REMEDY}") from error
    except OSError as error:
        raise ArgumentError(f"cannot read {path} ({error.strerror or error}): make it readable") from error
    start = 4 + 4 * n_dims
    if len(data) < start or data[:4] != bytes((0, 0, 0x08, n_dims)):
        raise ArgumentError(
            f"{path} is not an IDX file of unsigned bytes in {n_dims} dimensions "
            f"(it begins with {data[:4].hex(' ') or 'nothing'}): {_REMEDY}"
        )
    shape = np.frombuffer(data[4:start], dtype=">u4").tolist()
    if len(data) != start + math.prod(shape):
        raise ArgumentError(
            f"{path} is truncated or corrupted ({len(data)} bytes unpacked, but its header says "
            f"{start + math.prod(shape)}): {_REMEDY}"
        )
    if sha256 is not None and (found := hashlib.sha256(data).hexdigest()) != sha256:
        raise ArgumentError(
            f"{path} is not the expected file (its unpacked bytes have SHA-256 {found[:12]}..., not {sha256[:12]}...): "
            "delete it and it is downloaded again, or set verify to false if it is another set in the same format"
        )
    return np.frombuffer(data, dtype=np.uint8, offset=start).reshape(shape)
