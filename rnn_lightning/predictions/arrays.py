"""`PredictionArrays`: writes predictions as numpy arrays.

Legend: B batch, T time steps.
"""

import zipfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any

import numpy as np
import torch

from rnn_lightning.files import written_beside
from rnn_lightning.predictions.table import Prediction, one_output_a_step


class PredictionArrays:
    """Writes an `.npz` file with the predictions for all sequences; the array `sequence` has the sequences' numbers.

    If batches differ in length, sequences are padded with NaN, or with 0 for whole numbers, and the array `lengths` has
    the length of each sequence. Batches are kept in temporary files, not in memory, until the shape of each whole array
    is known.

    Args:
        path: The path of the file, which appears when the `with` block ends without an error.
    """

    def __init__(self, path: Path) -> None:
        self.path, self._open = path, ExitStack()
        self._files: dict[str, IO[bytes]] = {}
        self._shapes: dict[str, list[tuple[int, ...]]] = {}
        self._lengths: set[int] = set()  # the values of T
        self._ragged = False

    def __enter__(self) -> "PredictionArrays":
        return self

    def write(self, prediction: Prediction, numbers: Sequence[int]) -> None:
        """Keeps a batch for the file; `numbers` are the numbers of its sequences."""
        batch = {**prediction, "sequence": torch.tensor(numbers)}
        if "x" in prediction or one_output_a_step(prediction):
            rows, steps = prediction["x" if "x" in prediction else "prediction"].shape[:2]
            self._lengths.add(steps)
            batch = {"lengths": torch.full((rows,), steps), **batch}
        self._ragged |= "lengths" in prediction or len(self._lengths) > 1
        for name, values in batch.items():
            array = (values.float() if values.dtype in (torch.bfloat16, torch.float16) else values).cpu().numpy()
            if name not in self._files:
                self._files[name] = self._open.enter_context(TemporaryFile(dir=self.path.parent))  # noqa: SIM115
            np.save(self._files[name], array)
            self._shapes.setdefault(name, []).append(array.shape)

    def __exit__(self, error: Any, *_: Any) -> None:
        with self._open:
            if error is None and self._files:
                if not self._ragged:
                    self._files.pop("lengths", None)
                with written_beside(self.path) as part, zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED) as archive:
                    for name in self._files:
                        with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                            self._copy(name, member)

    def _copy(self, name: str, member: IO[bytes]) -> None:
        """Writes a header with the shape of a whole array, and then the array, batch by batch."""
        file, shapes = self._files[name], self._shapes[name]
        file.seek(0)
        longest = [max(sizes) for sizes in zip(*shapes, strict=True)]
        for number, shape in enumerate(shapes):
            array = np.load(file)
            fill = np.nan if np.issubdtype(array.dtype, np.floating) else 0
            width = [(0, 0), *((0, most - size) for most, size in zip(longest[1:], shape[1:], strict=True))]
            array = np.pad(array, width, constant_values=fill)
            if number == 0:
                whole = (sum(shape[0] for shape in shapes), *longest[1:])
                header = {"descr": np.lib.format.dtype_to_descr(array.dtype), "fortran_order": False, "shape": whole}
                np.lib.format.write_array_header_1_0(member, header)
            member.write(array.tobytes())
