"""The command line: fit, validate, test, predict and export, with named recipes and sizes from the data."""

from rnn_lightning.cli.command_line import CLI
from rnn_lightning.cli.entry_point import main

__all__ = ["CLI", "main"]
