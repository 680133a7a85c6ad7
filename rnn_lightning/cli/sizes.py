"""Sizes of the model that follow from the data, so that a configuration need not set them."""

from functools import partial
from typing import TYPE_CHECKING

from lightning.pytorch import LightningDataModule
from lightning.pytorch.cli import LightningArgumentParser

from rnn_lightning.cli.signatures import maker_of, parameters_of
from rnn_lightning.errors import ArgumentError

if TYPE_CHECKING:
    from rnn_lightning.cli.command_line import CLI

SIZES = ("input_size", "output_size")
"""Arguments of the model that follow from the data."""


def link_sizes(parser: LightningArgumentParser, cli: "CLI") -> None:
    """Gives the model its sizes from the data."""
    for size in SIZES:
        compute = partial(_size_of, cli, size)
        compute.__name__ = size  # type: ignore[attr-defined] # as the help shows it
        parser.link_arguments("data", f"model.init_args.{size}", compute_fn=compute, apply_on="instantiate")


def _size_of(cli: "CLI", size: str, source: LightningDataModule) -> int | None:
    """The data's value for a size of the model, except an `output_size` typed for a loss, which may need more outputs.

    It may be None if the model has no such argument.

    Raises:
        ArgumentError: The data has no such size but the model needs it, or another value was typed.
    """
    model = cli.config[cli.subcommand].model
    arguments = model.get("init_args", {})
    typed, found = arguments.get(size), getattr(source, size, None)
    if size == "output_size" and arguments.get("loss") is not None and typed is not None:
        return int(typed)
    if found is None and size in parameters_of(maker_of(model.class_path)):
        raise ArgumentError(
            f"{type(source).__name__} has no {size}, which the model needs: set self.{size} in its __init__"
        )
    if typed not in (None, found):
        raise ArgumentError(f"model.{size}={typed}, but the data has {found}: leave it out")
    return found
