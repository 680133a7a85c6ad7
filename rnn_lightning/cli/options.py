"""Options of the command line that belong to neither the Trainer, the model nor the data."""

from argparse import SUPPRESS
from typing import get_type_hints

from jsonargparse.typing import NonNegativeFloat, NonNegativeInt, PositiveInt
from lightning.pytorch.cli import LightningArgumentParser

from rnn_lightning import runs
from rnn_lightning.callbacks import TENSORBOARD_CALLBACKS
from rnn_lightning.cli.arguments import HelpOf
from rnn_lightning.models import SequenceModule, TruncatedBPTT

_LOGGER = {"class_path": "TensorBoardLogger", "init_args": {"save_dir": runs.RUNS, "default_hp_metric": False}}

_INNER = {"tbptt": TruncatedBPTT} | {
    name: kind
    for name, kind in get_type_hints(SequenceModule.__init__).items()
    if name in ("optimizer", "lr_scheduler", "loss", "metrics")
}
"""Arguments of a model that have arguments of their own, and their types."""


def add_options(parser: LightningArgumentParser) -> None:
    """Adds the callbacks of TensorBoard by name, the run's name, and the options of predict."""
    for name, callback in TENSORBOARD_CALLBACKS.items():
        parser.add_lightning_class_args(callback, name)
    words = "The run's name; by default the data file's, else the first --config's, else those of model and data."
    parser.add_argument("--name", type=str | None, default=None, help=words)
    words = "predict only: steps to forecast after each sequence, feeding predictions back; 0 for the data's default."
    parser.add_argument("--horizon", type=NonNegativeInt, default=0, help=words)
    words = "predict only: also write the arrays, as predictions.npz."
    parser.add_argument("--arrays", type=bool, default=False, help=words)
    for key, kind in _INNER.items():
        parser.add_argument(f"--model.{key}.help", action=HelpOf, of=kind, key=f"model.{key}", help=SUPPRESS)
    words = "predict only: a text to continue, with a network trained on text; no data is read."
    parser.add_argument("--prompt", type=str | None, default=None, help=words)
    words = "With --prompt: characters, bytes or words to add, whichever the network was trained on."
    parser.add_argument("--length", type=NonNegativeInt, default=400, help=words)
    words = "With --prompt: values below 1 make likely continuations likelier; 0 always takes the likeliest."
    parser.add_argument("--temperature", type=NonNegativeFloat, default=1.0, help=words)
    words = "With --prompt: draw only among the k likeliest tokens."
    parser.add_argument("--top_k", type=PositiveInt | None, default=None, help=words)
    parser.set_defaults({"trainer.default_root_dir": runs.RUNS, "trainer.logger": _LOGGER})
