"""Sizes of the model that follow from the data, so that a configuration need not set them."""

from functools import partial
from typing import TYPE_CHECKING, Any

from lightning.pytorch import LightningDataModule
from lightning.pytorch.cli import LightningArgumentParser

from rnn_lightning.cli.arguments import maker_of
from rnn_lightning.cli.signatures import parameters_of
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


def check_sizes(cli: "CLI") -> None:
    """Raises `ArgumentError` if a typed size is neither the data's nor the model's own."""
    for size in SIZES:
        typed, found = _typed(cli, size), getattr(cli.datamodule, size, None)
        if typed not in (None, found, getattr(cli.model, "hparams", {}).get(size)):
            raise ArgumentError(f"model.{size}={typed}, but the data has {found}: leave it out")


def _typed(cli: "CLI", size: str) -> Any:
    """The model's size, if it was typed or set in a configuration."""
    return cli.config[cli.subcommand].model.get("init_args", {}).get(size)


def _size_of(cli: "CLI", size: str, source: LightningDataModule) -> int | None:
    """The data's value for a size of the model, except an `output_size` typed for a loss, which may need more outputs.

    It may be None if the model has no such argument.
    """
    typed, arguments = _typed(cli, size), cli.config[cli.subcommand].model.get("init_args", {})
    if size == "output_size" and arguments.get("loss") is not None and typed is not None:
        return int(typed)
    value = getattr(source, size, None)
    if value is None and _takes(cli, size):
        raise ArgumentError(
            f"{type(source).__name__} has no {size}, which the model needs: set self.{size} in its __init__"
        )
    return value


def _takes(cli: "CLI", size: str) -> bool:
    class_path = cli.config[cli.subcommand].model.class_path
    return any(parameter.name == size for parameter in parameters_of(maker_of(class_path)))
