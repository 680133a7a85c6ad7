"""`SequenceMNIST`: handwritten digits read as sequences, row by row or pixel by pixel."""

from pathlib import Path
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from rnn_lightning.batch import Batch
from rnn_lightning.data.counter_hash import derive_key, splitmix64
from rnn_lightning.data.datamodule import SequenceDataModule
from rnn_lightning.data.loading import TensorBatches
from rnn_lightning.data.mnist_files import Part, download_missing, read_part, read_sizes
from rnn_lightning.errors import ArgumentError, check_ints

Layout = Literal["rows", "pixels", "permuted"]

_SHAPE, _CLASSES = (60_000, 28, 28), 10  # of the training images
_PERMUTATION_KEY = derive_key(784)


def pixel_permutation(n_pixels: int = 784) -> Tensor:
    """Returns the fixed order in which `layout="permuted"` reads pixels: (n_pixels,) int64, the pixel of each step.

    The order is the same for every seed, user and version. Pixels are sorted by their hash under a fixed key. The hash
    only uses integer arithmetic, so no library's random number generator can change the order.
    """
    return torch.argsort(splitmix64(torch.arange(n_pixels), _PERMUTATION_KEY))


def to_sequences(images: Tensor, layout: Layout) -> Tensor:
    """Turns images (N, rows, columns) into sequences: unchanged for "rows", else (N, rows * columns, 1)."""
    if layout == "rows":
        return images
    pixels = images.flatten(1)
    if layout == "permuted":
        pixels = pixels.index_select(1, pixel_permutation(pixels.shape[1]))
    return pixels[..., None]


def to_images(x: Tensor, layout: Layout, columns: int) -> Tensor:
    """Turns sequences (N, T, I) back into images (N, rows, columns); the inverse of `to_sequences`."""
    pixels = x.flatten(1)  # (N, rows * columns)
    if layout == "permuted":
        order = pixel_permutation(pixels.shape[1]).to(x.device)
        pixels = torch.empty_like(pixels).index_copy_(1, order, pixels)
    return pixels.unflatten(1, (-1, columns))


class DigitBatches(TensorBatches):
    """Images stored as bytes, which take a quarter of the memory of float32. Only batches are float32, in [0, 1]."""

    def __getitems__(self, indices: list[int]) -> Batch:
        batch = super().__getitems__(indices)
        return {**batch, "x": batch["x"].to(torch.float32).div_(255)}


class SequenceMNIST(SequenceDataModule):
    """MNIST's handwritten digits as sequences to classify.

    Of the 60,000 training images, the first `val_size` are the validation set, and the rest are the training set. The
    official 10,000 test images are the test set, and also the set of `predict`. The four files are read, gzipped or
    not, from `data_dir` or one of its folders MNIST/raw, MNIST and raw. Missing files are downloaded to MNIST/raw. With
    `verify`, the SHA-256 of every file is checked (by `mnist_files.read_idx`).

    A batch has `x` (B, T, I) float32 in [0, 1] and `y` (B,) int64, the digit.

    Args:
        data_dir: The folder of the files.
        layout: "rows" for 28 steps of 28 pixels; "pixels" for 784 steps of one pixel, row by row; "permuted" for 784
            pixels in the fixed order of `pixel_permutation`, in which neighbouring pixels are far apart.
        val_size: How many of the training images are used for validation.
        verify: Whether the files must be MNIST's own. Set it to false for another set in the same format and with the
            same file names. Its files must exist already. The image size and the number of classes are read from them.
        batch_size: Images per training batch and process.
        **settings: Arguments of `SequenceDataModule`.

    Raises:
        ArgumentError: A value is out of range, `data_dir` is a file, or files are missing with `verify=False`.
            `prepare_data` also raises it if a file cannot be downloaded, and `setup` if a file is damaged.
    """

    def __init__(
        self,
        data_dir: str | Path = "data",
        layout: Layout = "rows",
        val_size: int = 5000,
        verify: bool = True,
        batch_size: int = 150,
        **settings: Any,
    ) -> None:
        super().__init__(batch_size=batch_size, **settings)
        if layout not in get_args(Layout):
            raise ArgumentError(f"layout must be one of {', '.join(get_args(Layout))}, got {layout!r}: change layout")
        data_dir = str(data_dir)  # a Path in the hyperparameters would be pickled in checkpoints
        folder = Path(data_dir).expanduser()
        if folder.exists() and not folder.is_dir():
            raise ArgumentError(f"data_dir {data_dir} is a file: give the folder of the four files")
        check_ints(1, val_size=val_size)
        shape, classes = (_SHAPE, _CLASSES) if verify else read_sizes(folder)
        if val_size >= shape[0]:
            raise ArgumentError(
                f"val_size must be below the number of training images, {shape[0]}, got {val_size}: lower it"
            )
        self.save_hyperparameters()
        self.folder, self.layout, self.val_size, self.verify = folder, layout, val_size, verify
        self.columns = shape[2]
        self.input_size = shape[2] if layout == "rows" else 1
        self.output_size = classes

    def prepare_data(self) -> None:
        """Downloads missing files. Lightning calls this method in one process of each machine."""
        if self.verify:
            download_missing(self.folder)

    def setup(self, stage: str | None = None) -> None:
        """Reads and checks the files of a stage, unless they have been read already."""
        if self.trainer is None:  # a Trainer would have called it already
            self.prepare_data()
        if stage in ("fit", "validate", None) and "train" not in self.datasets:
            x, y = self._read("train")
            n = self.val_size
            self.datasets["val"] = DigitBatches({"x": x[:n], "y": y[:n]})
            self.datasets["train"] = DigitBatches({"x": x[n:], "y": y[n:]})
        if "test" not in self.datasets:  # even for a fit, so that a damaged file is found before training
            x, y = self._read("t10k")
            self.datasets["test"] = self.datasets["predict"] = DigitBatches({"x": x, "y": y})

    def images(self, x: Tensor) -> Tensor:
        """Turns sequences (N, T, input_size) back into images (N, rows, columns)."""
        return to_images(x, self.layout, self.columns)

    def _read(self, part: Part) -> tuple[Tensor, Tensor]:
        images, labels = read_part(self.folder, part, self.verify)
        return to_sequences(images, self.layout), labels
