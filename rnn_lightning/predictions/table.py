"""`PredictionTable`: writes predictions as CSV, one line per output.

Legend: B batch, T time steps, I input features, O outputs, N steps of a forecast.
"""

import csv
import heapq
from collections.abc import Sequence
from contextlib import ExitStack
from itertools import chain
from pathlib import Path
from typing import Any, TypeAlias

from torch import Tensor

from rnn_lightning.errors import ArgumentError
from rnn_lightning.files import written_beside

Prediction: TypeAlias = dict[str, Tensor]
"""The result of `predict_step`: `prediction`.

There may also be `x`, `y`, `lengths`, `probability`, `variance` and `forecast`."""


def as_prediction(found: Any, rows: int | None) -> Prediction:
    """Converts what the `predict_step` of any LightningModule returns for a batch to a `Prediction`.

    Args:
        found: A tensor, or a dict that has a tensor as `prediction`, with one row per sequence.
        rows: The number of sequences in the batch; None if it is not known.

    Raises:
        ArgumentError: `found` is something else.
    """
    values = found.get("prediction") if isinstance(found, dict) else found
    if not isinstance(values, Tensor) or values.dim() == 0 or rows not in (None, len(values)):
        what = f"a tensor of shape {tuple(values.shape)}" if isinstance(values, Tensor) else f"a {type(found).__name__}"
        raise ArgumentError(
            f"predict_step gave {what}{f' for {rows} sequences' if rows else ''}, which can't be written as a table: "
            "return a tensor with one row per sequence, or a dict with one as 'prediction'"
        )
    others = found if isinstance(found, dict) else {}
    kept = {k: v for k, v in others.items() if isinstance(v, Tensor) and v.dim() > 0 and len(v) == len(values)}
    found = {**kept, "prediction": values.flatten(1) if values.dim() > 3 else values}
    if one_output_a_step(found):  # in your own model, `y` may be per sequence, and `lengths` may mean something else
        steps = values.shape[1]
        if "y" in found and (found["y"].dim() < 2 or found["y"].shape[1] != steps):
            del found["y"]
        if "lengths" in found and (found["lengths"].dim() != 1 or int(found["lengths"].max()) > steps):
            del found["lengths"]
    return found


def one_output_a_step(prediction: Prediction) -> bool:
    """Returns whether there is one output per step, so that outputs have a time dimension."""
    values, x = prediction["prediction"], prediction.get("x")
    classes = "probability" in prediction and values.dim() < prediction["probability"].dim()
    return values.dim() - int(not classes) == 2 and (x is None or values.shape[1] == x.shape[1])


class PredictionTable:
    """Writes a CSV file with one line for each output of a sequence or of a time step.

    The first column is `sequence`. If there is one output per step, `step` and the inputs `x_0`, ... follow. Then come
    the targets `y`, if they are known; `prediction`; for classification, each class's probability, as `probability_0`,
    ...; and, for a Gaussian likelihood, `variance`. The lines of a forecast follow those of its sequence. Their inputs
    are the predictions of the previous line, and their targets are empty.

    Args:
        path: The path of the file, which appears when the `with` block ends without an error.
    """

    def __init__(self, path: Path) -> None:
        self.path, self._open, self._empty = path, ExitStack(), True

    def __enter__(self) -> "PredictionTable":
        part = self._open.enter_context(written_beside(self.path))
        self._writer = csv.writer(self._open.enter_context(open(part, "w", newline="")))
        return self

    def __exit__(self, *error: Any) -> None:
        self._open.__exit__(*error)

    def write(self, prediction: Prediction, numbers: Sequence[int]) -> None:
        """Writes the lines of a batch; `numbers` are the numbers of its sequences."""
        per_step, rows = one_output_a_step(prediction), len(numbers)
        if rows == 0:
            return
        steps = prediction["prediction"].shape[1] if per_step else 1
        names = (*["x"] * per_step, "y", "prediction", "probability", "variance")
        columns = {name: prediction[name].reshape(rows, steps, -1) for name in names if name in prediction}
        if self._empty:
            header = [name for column, values in columns.items() for name in _names(column, values.shape[-1])]
            self._writer.writerow(["sequence", *["step"] * per_step, *header])
            self._empty = False
        cells = [column.tolist() for column in columns.values()]  # by row and step
        lengths = prediction["lengths"].tolist() if per_step and "lengths" in prediction else [steps] * rows
        forecast = prediction["forecast"] if per_step and "forecast" in prediction else None
        unknown = [""] * columns["y"].shape[-1] if "y" in columns else []
        for row, (number, length) in enumerate(zip(numbers, lengths, strict=True)):
            for step in range(length):
                values = chain.from_iterable(column[row][step] for column in cells)
                self._writer.writerow([number, *[step] * per_step, *values])
            if forecast is not None:
                before = columns["prediction"][row, length - 1].tolist()
                for step, after in enumerate(forecast[row].tolist(), start=length):
                    self._writer.writerow([number, step, *before, *unknown, *after])
                    before = after


def merge_tables(parts: Sequence[Path], path: Path) -> None:
    """Joins the tables of several processes into one, ordered by sequence, and deletes the separate tables."""
    with ExitStack() as stack:
        tables = [stack.enter_context(open(part, newline="")) for part in parts]
        headers = [table.readline() for table in tables]  # empty for a process without sequences
        with written_beside(path) as beside, open(beside, "w", newline="") as file:
            file.write(max(headers))
            file.writelines(heapq.merge(*tables, key=lambda line: int(line.partition(",")[0])))
    for part in parts:
        part.unlink()


def _names(column: str, width: int) -> list[str]:
    return [column] if width == 1 and column != "x" else [f"{column}_{i}" for i in range(width)]
