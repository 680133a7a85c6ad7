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
        self._per_step: set[str] = set()

    def __enter__(self) -> "PredictionArrays":
        return self

    def write(self, prediction: Prediction, numbers: Sequence[int]) -> None:
        """Keeps a batch for the file; `numbers` are the numbers of its sequences."""
        per_step = one_output_a_step(prediction)
        along = "x" if "x" in prediction else "prediction" if per_step else None  # a tensor with a time dimension
        self._per_step = {"x", *(prediction if per_step else ())} - {"lengths", "forecast"}
        batch = {**prediction, "sequence": torch.tensor(numbers)}
        if along is not None:
            rows, steps = prediction[along].shape[:2]
            batch = {"lengths": torch.full((rows,), steps), **batch}
        for name, values in batch.items():
            array = (values.float() if values.dtype in (torch.bfloat16, torch.float16) else values).cpu().numpy()
            if name not in self._files:
                self._files[name] = self._open.enter_context(TemporaryFile(dir=self.path.parent))  # noqa: SIM115
                self._shapes[name] = []
            np.save(self._files[name], array)
            self._shapes[name].append(array.shape)
        lengths = {shape[1] for shape in self._shapes[along]} if along is not None else set()
        self._ragged = "lengths" in prediction or len(lengths) > 1

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
        longest = max(shape[1] for shape in shapes) if name in self._per_step else None
        for number in range(len(shapes)):
            array = np.load(file)
            if longest is not None:
                fill = np.nan if np.issubdtype(array.dtype, np.floating) else 0
                width = [(0, longest - array.shape[1] if axis == 1 else 0) for axis in range(array.ndim)]
                array = np.pad(array, width, constant_values=fill)
            if number == 0:
                whole = (sum(shape[0] for shape in shapes), *array.shape[1:])
                header = {"descr": np.lib.format.dtype_to_descr(array.dtype), "fortran_order": False, "shape": whole}
                np.lib.format.write_array_header_1_0(member, header)
            member.write(array.tobytes())
