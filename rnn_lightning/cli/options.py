"""What the command line adds to Lightning's parser: options of its own, and sizes of the model from the data."""

from argparse import SUPPRESS
from functools import partial
from typing import TYPE_CHECKING, get_type_hints

from jsonargparse.typing import NonNegativeInt
from lightning.pytorch import LightningDataModule
from lightning.pytorch.cli import LightningArgumentParser

from rnn_lightning import runs
from rnn_lightning.callbacks import TENSORBOARD_CALLBACKS
from rnn_lightning.cli.arguments import HelpOf
from rnn_lightning.cli.signatures import maker_of, parameters_of
from rnn_lightning.continuation import write_continuation
from rnn_lightning.errors import ArgumentError
from rnn_lightning.models import SequenceModule, TruncatedBPTT

if TYPE_CHECKING:
    from rnn_lightning.cli.command_line import CLI

_LOGGER = {"class_path": "TensorBoardLogger", "init_args": {"save_dir": runs.RUNS, "default_hp_metric": False}}

_INNER = {"tbptt": TruncatedBPTT} | {
    name: kind
    for name, kind in get_type_hints(SequenceModule.__init__).items()
    if name in ("optimizer", "lr_scheduler", "loss", "metrics")
}
"""Arguments of a model that have arguments of their own, and their types."""

_HELP = {
    "name": "The run's name; by default the data file's, else the first --config's, else those of model and data.",
    "horizon": "predict only: steps to forecast after each sequence; 0 for none, or for the horizon of a TimeSeries.",
    "arrays": "predict only: also write the arrays, as predictions.npz.",
}

SIZES = ("input_size", "output_size")
"""Arguments of the model that follow from the data, so that a configuration need not set them."""


def add_options(parser: LightningArgumentParser, cli: "CLI") -> None:
    """Adds the callbacks of TensorBoard by name, the run's name, the options of predict, and the links of the sizes."""
    for name, callback in TENSORBOARD_CALLBACKS.items():
        parser.add_lightning_class_args(callback, name)
    parser.add_argument("--name", type=str | None, default=None, help=_HELP["name"])
    parser.add_argument("--horizon", type=NonNegativeInt, default=0, help=_HELP["horizon"])
    parser.add_argument("--arrays", type=bool, default=False, help=_HELP["arrays"])
    parser.add_function_arguments(write_continuation, skip={"checkpoint", "folder"})
    for key, of in _INNER.items():
        parser.add_argument(f"--model.{key}.help", action=HelpOf, of=of, key=f"model.{key}", help=SUPPRESS)
    parser.set_defaults({"trainer.default_root_dir": runs.RUNS, "trainer.logger": _LOGGER})
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
    typed = arguments.get(size)
    # A property of your own may raise AttributeError because of a bug.
    found = getattr(source, size) if hasattr(type(source), size) else getattr(source, size, None)
    if size == "output_size" and arguments.get("loss") is not None and typed is not None:
        return int(typed)
    if found is None and size in parameters_of(maker_of(model.class_path)):
        raise ArgumentError(
            f"{type(source).__name__} has no {size}, which the model needs: set self.{size} in its __init__"
        )
    if typed not in (None, found):
        raise ArgumentError(f"model.{size}={typed}, but the data has {found}: leave it out")
    return found
