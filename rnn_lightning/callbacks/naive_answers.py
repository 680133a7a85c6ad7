"""Shows and writes the table that compares a network with the naive answers after a test."""

import json
from pathlib import Path
from typing import Any

from lightning.pytorch import Trainer

from rnn_lightning.callbacks.tensorboard import as_code, tensorboard_loggers
from rnn_lightning.files import write_atomically
from rnn_lightning.runs import run_folder


def show_table(trainer: Trainer, name: str, text: str, values: Any) -> None:
    """Prints a table, and writes it to TensorBoard as `test/NAME` and to the folder of the run that was tested.

    Args:
        trainer: The Trainer. It must have run a test, and must be on rank zero.
        name: NAME in TensorBoard and in the file names.
        text: The table.
        values: The numbers of the table as plain values, for `NAME.json`.
    """
    print(text)
    for logger in tensorboard_loggers(trainer):
        logger.experiment.add_text(f"test/{name}", as_code(text))
    checkpoint = getattr(trainer, "ckpt_path", None)
    if checkpoint and "://" not in str(checkpoint):
        folder = Path(run_folder(str(checkpoint)))
        write_atomically(folder / f"{name}.txt", f"{text}\n")
        write_atomically(folder / f"{name}.json", json.dumps(values, indent=1) + "\n")
