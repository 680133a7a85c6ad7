"""The four files of MNIST: their names, hashes and mirrors, where they are looked for, and their tensors.

MNIST: Y. LeCun, C. Cortes and C. Burges, http://yann.lecun.com/exdb/mnist/ (CC BY-SA 3.0).
"""

from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from rnn_lightning.data.download import download
from rnn_lightning.data.idx import read_idx, read_idx_shape
from rnn_lightning.errors import ArgumentError

Part = Literal["train", "t10k"]
PARTS: tuple[Part, ...] = ("train", "t10k")

# SHA-256 of the unpacked bytes. Gzip bytes differ from packer to packer.
SHA256 = {
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}
MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
)
_RAW = Path("MNIST", "raw")  # torchvision's place below its root


def find_file(data_dir: Path, name: str) -> Path | None:
    """The file `name`, unpacked or gzipped, in `data_dir` or in `data_dir`/MNIST/raw; None if there is none."""
    folders = (data_dir, data_dir / _RAW)
    candidates = (folder / f"{name}{suffix}" for folder in folders for suffix in ("", ".gz"))
    return next((path for path in candidates if path.is_file()), None)


def _existing(data_dir: Path, name: str) -> Path:
    path = find_file(data_dir, name)
    if path is None:
        raise ArgumentError(
            f"there is no {name} or {name}.gz in data_dir {data_dir} or in {data_dir / _RAW}: put the four files there "
            f"({', '.join(SHA256)}), or leave verify at true to have MNIST downloaded"
        )
    return path


def _names(part: Part) -> tuple[str, str]:
    return f"{part}-images-idx3-ubyte", f"{part}-labels-idx1-ubyte"


def download_missing(data_dir: Path) -> None:
    """Downloads those of the four files that are not there, to `data_dir`/MNIST/raw.

    Raises:
        ArgumentError: if one cannot be downloaded or written.
    """
    by_hand = f"put the four files, gzipped or not, into {data_dir} by hand ({', '.join(SHA256)}), or change data_dir"
    for name, sha256 in SHA256.items():
        if find_file(data_dir, name) is None:
            download(name, data_dir / _RAW, MIRRORS, sha256, by_hand)


def read_sizes(data_dir: Path) -> tuple[tuple[int, ...], int]:
    """Sizes of a set in MNIST's format, from the images' headers and from all labels.

    Returns:
        The training images' shape (N, rows, columns), and the number of classes: the highest label plus 1.

    Raises:
        ArgumentError: if a file is missing or damaged, or the test images have another size.
    """
    shapes = {part: read_idx_shape(_existing(data_dir, _names(part)[0]), n_dims=3) for part in PARTS}
    if shapes["train"][1:] != shapes["t10k"][1:]:
        raise ArgumentError(
            f"training images {shapes['train']} and test images {shapes['t10k']} in data_dir {data_dir} differ in size: "
            "put files of one set there"
        )
    labels = [read_idx(_existing(data_dir, _names(part)[1]), n_dims=1) for part in PARTS]
    return shapes["train"], 1 + max(int(part.max(initial=0)) for part in labels)


def read_part(data_dir: Path, part: Part, verify: bool) -> tuple[Tensor, Tensor]:
    """Images and labels of one part.

    Args:
        data_dir: where the files are.
        part: "train" or "t10k".
        verify: whether the unpacked bytes must have MNIST's SHA-256.

    Returns:
        Images (N, rows, columns) uint8, and labels (N,) int64.

    Raises:
        ArgumentError: if a file is missing, damaged or not the expected one, or the counts differ.
    """
    arrays = [
        read_idx(_existing(data_dir, name), n_dims, SHA256[name] if verify else None)
        for name, n_dims in zip(_names(part), (3, 1), strict=True)
    ]
    images, labels = arrays
    if len(images) != len(labels):
        raise ArgumentError(
            f"{len(images)} {part} images but {len(labels)} labels in data_dir {data_dir}: put files of one set there"
        )
    # Copies: torch wants memory that may be written.
    return torch.from_numpy(images.copy()), torch.from_numpy(labels.astype(np.int64))
