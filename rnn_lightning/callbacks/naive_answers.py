"""The table that ends a test: a network beside the naive answers."""

import json
from pathlib import Path
from typing import Any

from lightning.pytorch import Trainer
from lightning.pytorch.loggers import TensorBoardLogger

from rnn_lightning.callbacks.tensorboard import as_code
from rnn_lightning.files import write_atomically
from rnn_lightning.runs import run_folder


def show_table(trainer: Trainer, name: str, text: str, values: Any) -> None:
    """Prints a table, and writes it to TensorBoard as `test/NAME` and to the folder of the tested checkpoint's run.

    Args:
        trainer: The Trainer, after a test and on rank zero.
        name: What the files and the entry are called.
        text: The table.
        values: The same numbers as plain values, for `NAME.json`.
    """
    print(text)
    for logger in trainer.loggers:
        if isinstance(logger, TensorBoardLogger):
            logger.experiment.add_text(f"test/{name}", as_code(text))
    checkpoint = getattr(trainer, "ckpt_path", None)
    if checkpoint and "://" not in str(checkpoint):
        folder = Path(run_folder(str(checkpoint)))
        write_atomically(folder / f"{name}.txt", f"{text}\n")
        write_atomically(folder / f"{name}.json", json.dumps(values, indent=1) + "\n")
