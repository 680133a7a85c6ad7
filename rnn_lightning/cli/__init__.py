"""The command line: fit, validate, test, predict and export, with named recipes and sizes from the data."""

from rnn_lightning.cli.command_line import CLI, main

__all__ = ["CLI", "main"]
