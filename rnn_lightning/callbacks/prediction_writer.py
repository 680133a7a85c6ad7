"""`PredictionWriter`: writes the files of `predict`: a table, a figure, and optionally arrays."""

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import BasePredictionWriter
from torch import Tensor
from typing_extensions import override

from rnn_lightning.predictions import (
    ClassTally,
    Prediction,
    PredictionArrays,
    PredictionTable,
    ShownSequence,
    merge_tables,
)
from rnn_lightning.predictions.table import as_prediction, one_output_a_step

_MISTAKES = 18


class PredictionWriter(BasePredictionWriter):
    """Writes the table `predictions.csv` (`PredictionTable`) and the figure `predictions.png`.

    Each batch is written at once, so batches do not stay in memory. For a regression with one output per step, the
    figure shows the inputs, targets and predictions of the first sequence, and its forecast. For a sequence classifier,
    it shows the confusion matrix; `predictions_mistakes.png` shows some misclassified sequences, if the data module can
    show sequences as images. Files appear when they are complete. Processes that share the folder write one table and
    one figure together.

    Args:
        folder: The folder of the files, which is created if missing.
        arrays: Whether to also write `predictions.npz` (`PredictionArrays`). Each process writes its own file.
    """

    def __init__(self, folder: str | Path, arrays: bool = False) -> None:
        super().__init__(write_interval="batch")
        self.folder, self.arrays = Path(folder), arrays
        self.paths: list[Path] = []
        self._open = ExitStack()
        self._writers: list[PredictionTable | PredictionArrays] = []
        self._count = 0
        self._first: tuple[int, Prediction] | None = None  # the first sequence and its number
        self._tally: ClassTally | None = None

    @override
    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self._count, self._first = 0, None
        self._writers = [PredictionTable(self._path(trainer, ".csv"))]
        if self.arrays:
            self._writers.append(PredictionArrays(self._path(trainer, ".npz")))
        for writer in self._writers:
            self._open.enter_context(writer)
        self._tally = ClassTally.of(pl_module, _MISTAKES)

    @override
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
        prediction = as_prediction(prediction, len(batch_indices) if batch_indices else None)
        rows = len(prediction["prediction"])
        numbers = list(batch_indices or range(self._count, self._count + rows))
        self._count += rows
        for writer in self._writers:
            writer.write(prediction, numbers)
        if self._first is None:
            reset = batch.get("reset") if isinstance(batch, dict) else None
            shown = {**prediction, "reset": reset} if isinstance(reset, Tensor) and reset.dim() == 2 else prediction
            self._first = numbers[0], {name: values[:1].cpu() for name, values in shown.items()}
        if self._tally is not None and "y" in prediction:
            self._tally.add(prediction["x"], prediction["y"], prediction["probability"])

    @override
    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._open.close()
        self.paths = [writer.path for writer in self._writers if writer.path.is_file()]
        if self._tally is not None:
            self._tally.reduce(trainer.strategy)
        if trainer.world_size > 1:
            trainer.strategy.barrier()
            parts = [self._path(trainer, ".csv", rank) for rank in range(trainer.world_size)]
            if trainer.is_global_zero and all(part.is_file() for part in parts):  # otherwise, it is not shared
                merge_tables(parts, self.folder / "predictions.csv")
                self.paths[0] = self.folder / "predictions.csv"
        if trainer.is_global_zero and self._first is not None:
            self.paths += self._draw(*self._first, getattr(trainer, "datamodule", None))

    @override
    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        self._open.__exit__(type(exception), exception, exception.__traceback__)

    def _path(self, trainer: Trainer, suffix: str, rank: int | None = None) -> Path:
        rank = trainer.global_rank if rank is None else rank
        return self.folder / f"predictions{f'_rank{rank}' if trainer.world_size > 1 else ''}{suffix}"

    def _draw(self, number: int, first: Prediction, data: Any) -> list[Path]:
        from rnn_lightning.figures import save

        path = self.folder / "predictions.png"
        if self._tally is not None and self._tally.counts.any():
            ends = {"confusion": "", "mistakes": "_mistakes"}
            figures = self._tally.figures(data).items()
            return [save(draw(), self.folder / f"predictions{ends[name]}.png") for name, draw in figures]
        if "probability" in first or "x" not in first or not one_output_a_step(first):
            return []
        is_example = number == 0 and hasattr(data, "example") and data.example() is not None
        shown = ShownSequence(first, data, is_example, first["forecast"].shape[1] if "forecast" in first else 0)
        predictions = first["prediction"][0, : len(shown.x)]
        if not shown.ahead:
            return [save(shown.window_figure(predictions, "Predictions on the first sequence"), path)]
        forecast = torch.cat((predictions[-1:], first["forecast"][0]))
        return [save(shown.forecast_figure(forecast, f"{shown.ahead} steps beyond the window"), path)]
