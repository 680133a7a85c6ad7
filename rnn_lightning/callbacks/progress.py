"""Shows the progress of a run: as a bar on a terminal, and as plain lines in a file or a CI log."""

import sys
import time
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ProgressBar, TQDMProgressBar
from typing_extensions import override


class PlainProgress(ProgressBar):
    """Prints one line per epoch, without control characters: the metrics, and how many seconds the epoch took."""

    def __init__(self) -> None:
        super().__init__()
        self._on, self._began = True, 0.0

    @override
    def enable(self) -> None:
        self._on = True

    @override
    def disable(self) -> None:
        self._on = False

    @override
    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._began = time.perf_counter()

    @override
    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        of_all = f"/{trainer.max_epochs}" if trainer.max_epochs and trainer.max_epochs > 0 else ""
        parts = [f"epoch {trainer.current_epoch + 1}{of_all}", f"step {trainer.global_step}"]
        for name, value in trainer.progress_bar_metrics.items():
            parts.append(f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}")
        parts.append(f"{time.perf_counter() - self._began:.1f} s")
        self.print("  ".join(parts))

    def print(self, *args: Any, **kwargs: Any) -> None:
        """Prints without buffering, so that a log file can be followed."""
        if self._on:
            print(*args, **{"flush": True, **kwargs})


def progress() -> ProgressBar:
    """Makes Lightning's progress bar if the output is a terminal, and otherwise a callback that prints plain lines."""
    # With an update at each batch instead of every 20, the bar would take 10 % of a small network's training time.
    return TQDMProgressBar(refresh_rate=20) if sys.stdout.isatty() else PlainProgress()
