"""Finds, downloads, checks and reads the four files of MNIST.

All functions raise `ArgumentError` if a file is missing, damaged or unexpected, or cannot be downloaded.

MNIST and its file format IDX: Y. LeCun, C. Cortes and C. Burges, http://yann.lecun.com/exdb/mnist/ (CC BY-SA 3.0).
"""

import gzip
import hashlib
import math
import zlib
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from rnn_lightning.data.download import download
from rnn_lightning.errors import ArgumentError

Part = Literal["train", "t10k"]

# SHA-256 of the unpacked bytes. `read_idx` checks these, as gzipped bytes differ from tool to tool.
SHA256 = {
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}
# SHA-256 of the gzipped files, which are the same on both mirrors; checked after a download.
PACKED_SHA256 = {
    "train-images-idx3-ubyte": "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
    "train-labels-idx1-ubyte": "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
    "t10k-images-idx3-ubyte": "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
    "t10k-labels-idx1-ubyte": "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
}
MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
)
_REMEDY = "delete it (MNIST's own files are then downloaded again)"
_RAW = Path("MNIST", "raw")  # where torchvision puts the files, below its root


def find_file(data_dir: Path, name: str) -> Path | None:
    """Finds one of the four files, unpacked or gzipped.

    The file may have MNIST's own name, or the name that some mirrors use (`train-images.idx3-ubyte`). The function
    looks in `data_dir`, `data_dir`/MNIST/raw and `data_dir`/MNIST. It also looks in `data_dir`/raw, in case `data_dir`
    is the MNIST folder itself, and in folders named like the files, which some archives have.
    """
    folders = (data_dir, data_dir / _RAW, data_dir / _RAW.parent, data_dir / _RAW.name)
    names = (name, name.replace("-idx", ".idx"), f"{name}/{name}")
    candidates = (folder / f"{n}{suffix}" for folder in folders for n in names for suffix in ("", ".gz"))
    return next((path for path in candidates if path.is_file()), None)


def download_missing(data_dir: Path) -> None:
    """Downloads missing files to `data_dir`/MNIST/raw."""
    by_hand = f"put the four files, gzipped or not, into {data_dir} by hand ({', '.join(SHA256)}), or change data_dir"
    for name, sha256 in PACKED_SHA256.items():
        if find_file(data_dir, name) is None:
            download(f"{name}.gz", data_dir / _RAW, MIRRORS, sha256, by_hand)


def read_sizes(data_dir: Path) -> tuple[tuple[int, ...], int]:
    """Reads the training images' shape (N, rows, columns), and the number of classes: the highest label plus 1."""
    (train, train_labels), (test, test_labels) = (read_part(data_dir, part, verify=False) for part in ("train", "t10k"))
    if train.shape[1:] != test.shape[1:]:
        raise ArgumentError(
            f"training images {tuple(train.shape)} and test images {tuple(test.shape)} in data_dir {data_dir} differ in "
            "size: put files from one set there"
        )
    return tuple(train.shape), 1 + max(int(labels.max()) for labels in (train_labels, test_labels))


def read_part(data_dir: Path, part: Part, verify: bool) -> tuple[Tensor, Tensor]:
    """Reads one part's images (N, rows, columns) uint8 and labels (N,) int64. With `verify`, they must be MNIST's."""
    images, labels = (
        _read(data_dir, f"{part}-{kind}-ubyte", n, verify) for kind, n in (("images-idx3", 3), ("labels-idx1", 1))
    )
    if len(images) != len(labels):
        raise ArgumentError(
            f"{len(images)} {part} images but {len(labels)} labels in data_dir {data_dir}: put files from one set there"
        )
    # Copies, as torch needs writable memory.
    return torch.from_numpy(images.copy()), torch.from_numpy(labels.astype(np.int64))


def _read(data_dir: Path, name: str, n_dims: int, verify: bool) -> np.ndarray:
    path = find_file(data_dir, name)
    if path is None:
        raise ArgumentError(
            f"there is no {name} or {name}.gz in data_dir {data_dir} or in {data_dir / _RAW}: put the four files there "
            f"({', '.join(SHA256)}), or leave verify at true to have MNIST downloaded"
        )
    return read_idx(path, n_dims, SHA256[name] if verify else None)  # `read_idx` compares the hash


def read_idx(path: Path, n_dims: int, sha256: str | None = None) -> np.ndarray:
    """Reads an IDX file, gzipped or not, into a read-only uint8 array.

    An IDX file begins with two zero bytes, one byte for the type (0x08 for unsigned bytes, the only type read here),
    one byte for the number of dimensions, and each dimension as a big-endian uint32. Then come the values, with the
    last dimension varying fastest.

    `n_dims` is 3 for images (count, rows, columns), and 1 for labels (count,). `sha256` is the expected hash of the
    unpacked bytes, in hexadecimal; with None, the hash is not checked.
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
