"""What `predict` writes: a table of inputs, targets and predictions."""

import csv
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TextIO

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import BasePredictionWriter
from torch import Tensor


class PredictionWriter(BasePredictionWriter):
    """Writes `predictions.csv`: one line for each output, a sequence's or a time step's.

    Columns: `sequence`, for one output a step also `step` and the inputs `x_0`, ...; targets `y` where known,
    `prediction`, and for classification the classes' `probability_0`, ... With several devices each writes a file of its
    own. The file is written beside and moved into place at the end.

    Args:
        folder: Where the file goes; made if it is not there.
    """

    def __init__(self, folder: str | Path) -> None:
        super().__init__(write_interval="batch")
        self.folder, self.path = Path(folder), Path(folder, "predictions.csv")
        self._file: TextIO | None = None
        self._sequence = 0

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Opens the file beside its final place."""
        self.folder.mkdir(parents=True, exist_ok=True)
        suffix = "" if trainer.world_size == 1 else f"_rank{trainer.global_rank}"
        self.path, self._sequence = self.folder / f"predictions{suffix}.csv", 0
        self._file = open(self._beside, "w", newline="")  # noqa: SIM115  # closed at the end of the epoch

    def write_on_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        prediction: Any,
        batch_indices: Sequence[int] | None,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int,
    ) -> None:
        """Writes a batch's lines."""
        assert self._file is not None, "opened in on_predict_start"
        writer = csv.writer(self._file)
        if batch_idx == 0 and dataloader_idx == 0:
            writer.writerow(_header(prediction))
        rows = len(prediction["prediction"])
        numbers = batch_indices or range(self._sequence, self._sequence + rows)
        writer.writerows(_lines(prediction, numbers))
        self._sequence += rows

    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Moves the file into place."""
        if self._file is not None:
            self._file.close()
            os.replace(self._beside, self.path)
            self._file = None

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Leaves nothing half-written."""
        if self._file is not None:
            self._file.close()
            self._beside.unlink(missing_ok=True)
            self._file = None

    @property
    def _beside(self) -> Path:
        return self.path.with_suffix(".csv.part")


def _columns(name: str, values: Tensor) -> list[str]:
    width = values.shape[-1]
    return [name] if width == 1 and name != "x" else [f"{name}_{i}" for i in range(width)]


def _wide(prediction: dict[str, Tensor]) -> dict[str, Tensor]:
    """The columns' tensors, each (B, width) for one output a sequence, (B, T, width) for one a step."""
    outputs = prediction["prediction"]
    per_step = outputs.dim() - int("probability" not in prediction) == 2
    dims = 3 if per_step else 2
    names = ("x", "y", "prediction", "probability") if per_step else ("y", "prediction", "probability")
    present = {name: prediction[name] for name in names if name in prediction}
    return {name: values if values.dim() == dims else values[..., None] for name, values in present.items()}


def _header(prediction: dict[str, Tensor]) -> list[str]:
    wide = _wide(prediction)
    step = ["step"] if "x" in wide else []
    return ["sequence", *step, *(column for name, values in wide.items() for column in _columns(name, values))]


def _lines(prediction: dict[str, Tensor], numbers: Sequence[int]) -> Iterator[list[Any]]:
    wide = {name: values.cpu().tolist() for name, values in _wide(prediction).items()}
    lengths = prediction["lengths"].tolist() if "lengths" in prediction else None
    for row, number in enumerate(numbers):
        columns = [values[row] for values in wide.values()]
        if "x" not in wide:
            yield [number, *(value for column in columns for value in column)]
            continue
        for step in range(len(columns[0]) if lengths is None else lengths[row]):
            yield [number, step, *(value for column in columns for value in column[step])]
