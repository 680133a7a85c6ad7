"""Options of the command line that belong to neither the Trainer, the model nor the data."""

from argparse import SUPPRESS
from typing import get_type_hints

from jsonargparse.typing import NonNegativeInt
from lightning.pytorch.cli import LightningArgumentParser

from rnn_lightning import runs
from rnn_lightning.callbacks import TENSORBOARD_CALLBACKS
from rnn_lightning.cli.arguments import HelpOf
from rnn_lightning.continuation import write_continuation
from rnn_lightning.models import SequenceModule, TruncatedBPTT

_LOGGER = {"class_path": "TensorBoardLogger", "init_args": {"save_dir": runs.RUNS, "default_hp_metric": False}}

_INNER = {"tbptt": TruncatedBPTT} | {
    name: kind
    for name, kind in get_type_hints(SequenceModule.__init__).items()
    if name in ("optimizer", "lr_scheduler", "loss", "metrics")
}
"""Arguments of a model that have arguments of their own, and their types."""


_HELP = {
    "name": "The run's name; by default the data file's, else the first --config's, else those of model and data.",
    "horizon": "predict only: steps to forecast after each sequence, feeding predictions back; 0 for the data's default.",
    "arrays": "predict only: also write the arrays, as predictions.npz.",
}


def add_options(parser: LightningArgumentParser) -> None:
    """Adds the callbacks of TensorBoard by name, the run's name, and the options of predict."""
    for name, callback in TENSORBOARD_CALLBACKS.items():
        parser.add_lightning_class_args(callback, name)
    parser.add_argument("--name", type=str | None, default=None, help=_HELP["name"])
    parser.add_argument("--horizon", type=NonNegativeInt, default=0, help=_HELP["horizon"])
    parser.add_argument("--arrays", type=bool, default=False, help=_HELP["arrays"])
    parser.add_function_arguments(write_continuation, skip={"checkpoint", "folder"})
    for key, of in _INNER.items():
        parser.add_argument(f"--model.{key}.help", action=HelpOf, of=of, key=f"model.{key}", help=SUPPRESS)
    parser.set_defaults({"trainer.default_root_dir": runs.RUNS, "trainer.logger": _LOGGER})
