"""What `predict` writes: a table of inputs, targets and predictions, the same as raw arrays, and a picture."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import BasePredictionWriter

from rnn_lightning.callbacks.prediction_files import Prediction, Table, save_arrays
from rnn_lightning.callbacks.prediction_picture import save_picture


class PredictionWriter(BasePredictionWriter):
    """Writes `predictions.csv` (`Table`), `predictions.npz` (`save_arrays`) and `predictions.png` (`save_picture`).

    With several devices each writes files of its own. Files are written beside and moved into place at the end.

    Args:
        folder: Where the files go; made if it is not there.
    """

    def __init__(self, folder: str | Path) -> None:
        super().__init__(write_interval="batch")
        self.folder = Path(folder)
        self.paths: list[Path] = []
        self._table: Table | None = None
        self._batches: list[Prediction] = []
        self._numbers: list[int] = []

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Opens the table beside its final place."""
        self.folder.mkdir(parents=True, exist_ok=True)
        suffix = "" if trainer.world_size == 1 else f"_rank{trainer.global_rank}"
        self._batches, self._numbers, self.paths = [], [], []
        self._table = Table(self.folder / f"predictions{suffix}.csv")

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
        assert self._table is not None, "opened in on_predict_start"
        begin = len(self._numbers)
        numbers = list(batch_indices or range(begin, begin + len(prediction["prediction"])))
        self._table.write(prediction, numbers)
        self._batches.append({name: values.cpu() for name, values in prediction.items()})
        self._numbers += numbers

    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Moves the table into place, and writes arrays and picture."""
        if self._table is None:
            return
        path = self._table.path
        self._table.close()
        self._table, self.paths = None, [path]
        if self._batches:
            save_arrays(self._batches, self._numbers, path.with_suffix(".npz"))
            self.paths.append(path.with_suffix(".npz"))
            data = getattr(trainer, "datamodule", None)
            self.paths += save_picture(self._batches, path.with_suffix(".png"), data)
        self._batches = []

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Leaves nothing half-written."""
        if self._table is not None:
            self._table.discard()
            self._table = None
