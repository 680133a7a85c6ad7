"""The files of predictions: a table with a line for each output, the raw arrays, and a picture.

Legend: B batch, T time steps, I input features, O outputs, N steps of a forecast.
"""

import csv
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

Prediction = dict[str, Tensor]
"""What `predict_step` gives: `prediction`, and `x`, `y`, `lengths`, `probability`, `forecast` as far as there are such."""


class Table:
    """`predictions.csv`: one line for each output, a sequence's or a time step's.

    Columns: `sequence`, for one output a step also `step` and the inputs `x_0`, ...; targets `y` where known,
    `prediction`, and for classification the classes' `probability_0`, ... A forecast's lines go on where the sequence
    ends: their inputs are the predictions of the line before, their targets are empty.

    Args:
        path: The file. It is written beside and moved into place by `close`.
    """

    def __init__(self, path: Path) -> None:
        self.path, self._beside = path, path.with_name(f"{path.name}.part")
        self._file = open(self._beside, "w", newline="")  # noqa: SIM115  # closed by close or discard
        self._empty = True

    def write(self, prediction: Prediction, numbers: Sequence[int]) -> None:
        """Writes a batch's lines; `numbers` are those of its sequences."""
        writer = csv.writer(self._file)
        if self._empty:
            writer.writerow(_header(prediction))
            self._empty = False
        writer.writerows(_lines(prediction, numbers))

    def close(self) -> None:
        """Moves the file into place."""
        self._file.close()
        os.replace(self._beside, self.path)

    def discard(self) -> None:
        """Leaves nothing half-written."""
        self._file.close()
        self._beside.unlink(missing_ok=True)


def save_arrays(batches: Sequence[Prediction], numbers: Sequence[int], path: Path) -> None:
    """Writes `predictions.npz`: each of the predictions' tensors over all sequences, and their numbers as `sequence`.

    Sequences of batches of different lengths are filled up with NaN (whole numbers with 0); where any is, `lengths`
    says how long each is.

    Args:
        batches: What `predict_step` gave.
        numbers: The sequences' numbers, batch after batch.
        path: The file, written beside and moved into place.
    """
    per_step = [name for name in batches[0] if name != "lengths" and _has_time(batches[0], name)]
    steps = [batch["x"].shape[1] for batch in batches]
    ragged = len(set(steps)) > 1 or "lengths" in batches[0]
    arrays: dict[str, np.ndarray] = {"sequence": np.asarray(numbers)}
    for name in batches[0]:
        parts = [batch[name].cpu() for batch in batches]
        parts = [part.float() if part.dtype in (torch.bfloat16, torch.float16) else part for part in parts]
        if name in per_step and len(set(steps)) > 1:
            parts = [_fill_up(part, max(steps)) for part in parts]
        arrays[name] = torch.cat(parts).numpy()
    if ragged:
        lengths = [b.get("lengths", torch.full((len(b["x"]),), t)).cpu() for b, t in zip(batches, steps, strict=True)]
        arrays["lengths"] = torch.cat(lengths).numpy()
    part = path.with_name(f"{path.name}.part")
    with open(part, "wb") as file:
        np.savez_compressed(file, **arrays)  # type: ignore[arg-type]  # numpy's stub takes them for allow_pickle
    os.replace(part, path)


def one_output_a_step(prediction: Prediction) -> bool:
    """Whether the outputs have a time dimension."""
    return prediction["prediction"].dim() - int("probability" not in prediction) == 2


def _has_time(prediction: Prediction, name: str) -> bool:
    return name == "x" or (name != "forecast" and one_output_a_step(prediction))


def _fill_up(part: Tensor, steps: int) -> Tensor:
    filled = part.new_full((part.shape[0], steps, *part.shape[2:]), float("nan") if part.is_floating_point() else 0)
    filled[:, : part.shape[1]] = part
    return filled


def _columns(name: str, values: Tensor) -> list[str]:
    width = values.shape[-1]
    return [name] if width == 1 and name != "x" else [f"{name}_{i}" for i in range(width)]


def _wide(prediction: Prediction) -> dict[str, Tensor]:
    """The columns' tensors, each (B, width) for one output a sequence, (B, T, width) for one a step."""
    per_step = one_output_a_step(prediction)
    dims = 3 if per_step else 2
    names = ("x", "y", "prediction", "probability") if per_step else ("y", "prediction", "probability")
    present = {name: prediction[name] for name in names if name in prediction}
    return {name: values if values.dim() == dims else values[..., None] for name, values in present.items()}


def _header(prediction: Prediction) -> list[str]:
    wide = _wide(prediction)
    step = ["step"] if "x" in wide else []
    return ["sequence", *step, *(column for name, values in wide.items() for column in _columns(name, values))]


def _lines(prediction: Prediction, numbers: Sequence[int]) -> Iterator[list[Any]]:
    wide = _wide(prediction)
    values = {name: tensor.cpu().tolist() for name, tensor in wide.items()}
    lengths = prediction["lengths"].tolist() if "lengths" in prediction else None
    forecast = prediction["forecast"].cpu().tolist() if "forecast" in prediction else None
    unknown = [""] * wide["y"].shape[-1] if "y" in wide else []
    for row, number in enumerate(numbers):
        columns = [column[row] for column in values.values()]
        if "x" not in wide:
            yield [number, *(value for column in columns for value in column)]
            continue
        length = len(columns[0]) if lengths is None else lengths[row]
        for step in range(length):
            yield [number, step, *(value for column in columns for value in column[step])]
        if forecast is not None:
            before = values["prediction"][row][length - 1]
            for step, after in enumerate(forecast[row], start=length):
                yield [number, step, *before, *unknown, *after]
                before = after
