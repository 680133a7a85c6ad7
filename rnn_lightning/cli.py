"""The command line: fit, validate, test and predict by LightningCLI, with recipes by name and sizes from the data."""

import importlib
import inspect
import logging
import sys
import warnings
from pathlib import Path
from typing import Any, NoReturn

import torch
from jsonargparse.typing import NonNegativeInt
from lightning.pytorch import LightningDataModule, LightningModule, Trainer
from lightning.pytorch.callbacks import ModelSummary, ProgressBar
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI, SaveConfigCallback
from lightning.pytorch.utilities.exceptions import MisconfigurationException

from rnn_lightning import (
    __version__,
    data,  # noqa: F401  # what is imported here goes by its short name in YAML: SyntheticSine, Seq2Seq
    models,  # noqa: F401
)
from rnn_lightning.arguments import Arguments
from rnn_lightning.callbacks import TENSORBOARD_CALLBACKS, BestAndLast, PredictionWriter, progress
from rnn_lightning.errors import ArgumentError, NonFiniteLossError
from rnn_lightning.export import command as export_command
from rnn_lightning.models import SequenceModule
from rnn_lightning.models.checkpoint import read_checkpoint
from rnn_lightning.recipes import RecipeOrFile
from rnn_lightning.runs import RUNS, find_checkpoint, run_folder

LINKED = ("input_size", "output_size")
"""Arguments of the model that follow from the data."""
EPILOG = "One subcommand more, export, turns a checkpoint into plain weights, JSON and ONNX; see export --help."


class Parser(LightningArgumentParser):
    """Says in one line what is wrong with the arguments."""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Prints `error: ...` and exits with 2."""
        if "not accepted before subcommand" in message:
            message += ": put the subcommand first, as in `fit --config RECIPE`"
        fail(message)


class SaveConfig(SaveConfigCallback):
    """Writes `config.yaml` into the run's folder; a run without a logger has none."""

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Writes the file once, beside and then renamed."""
        if self.already_saved or trainer.logger is None:
            return
        folder = trainer.log_dir  # asked for on every rank, as they agree on it
        if trainer.is_global_zero and folder is not None:
            path = Path(folder, self.config_filename)
            path.parent.mkdir(parents=True, exist_ok=True)
            part = path.with_name(f"{path.name}.part")
            config = self.config.clone()
            config.ckpt_path = None  # it was where this run began; a test by this file is of this run
            self.parser.save(config, part, skip_unset=False, overwrite=True, multifile=self.multifile)
            part.replace(path)
        self.already_saved = True


class CLI(LightningCLI):
    """LightningCLI with recipes, sizes linked from data to model, run folders, and checkpoints found by name.

    What is typed holds over the checkpoint, which fixes the network, and that over the recipe, which says how to train.
    """

    checkpoint: Path | None = None
    """The checkpoint that `--ckpt_path` means."""
    started = False
    """Whether everything is made and the subcommand runs."""

    def init_parser(self, **kwargs: Any) -> LightningArgumentParser:
        """A parser whose `--config` takes a file or a recipe's name."""
        parser = Parser(**kwargs)
        parser.add_argument("-c", "--config", action=RecipeOrFile, help="A YAML file, or the name of a shipped recipe.")
        return parser

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Sizes follow from the data; runs are logged to TensorBoard, which tells their story."""
        for name, callback in TENSORBOARD_CALLBACKS.items():
            parser.add_lightning_class_args(callback, name)
        words = "Of predict: steps to go on after each sequence, every prediction being the next input."
        parser.add_argument("--horizon", type=NonNegativeInt, default=0, help=words)
        words = "predict only: also write the arrays, as predictions.npz."
        parser.add_argument("--arrays", type=bool, default=False, help=words)
        for size in LINKED:
            parser.link_arguments(
                "data", f"model.init_args.{size}", compute_fn=_size_of_data(size), apply_on="instantiate"
            )
        logger = {"save_dir": RUNS, "name": None, "default_hp_metric": False}
        parser.set_defaults({"trainer.logger": {"class_path": "TensorBoardLogger", "init_args": logger}})

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        """Parses the arguments, with those of a checkpoint's network between the recipe's and the typed ones."""
        arguments = None
        if args is None or isinstance(args, list):
            args = arguments = Arguments(sys.argv[1:] if args is None else args).configs_first().with_config_of_run()
        super().parse_arguments(parser, args)
        config = self.config[self.config.subcommand]
        if config.get("ckpt_path") is None:
            return
        self.checkpoint = find_checkpoint(str(config.ckpt_path), _recipe(config), _root(config))
        saved = read_checkpoint(self.checkpoint)
        if "state_dict" not in saved or "pytorch-lightning_version" not in saved:
            raise ArgumentError(
                f"{self.checkpoint} is no checkpoint of a run: give one that a fit has written, or weights alone as "
                "--model.weights"
            )
        wanted, found = config.model.class_path.rpartition(".")[2], saved.get("model")
        if found not in (None, wanted):
            raise ArgumentError(
                f"{self.checkpoint} holds a {found}, the configuration asks for a {wanted}: "
                "give the checkpoint of the same recipe"
            )
        if arguments is not None:  # in a configuration as a dict, everything counts as typed
            accepted = _arguments_of(config.model.class_path) - set(LINKED)
            network = {k: v for k, v in saved.get("hyper_parameters", {}).items() if k in accepted}
            super().parse_arguments(parser, arguments.with_network(network))
        # Lightning would let the checkpoint win over what was typed; it finds the path again in what follows.
        self.config[self.config.subcommand].ckpt_path = None

    def before_instantiate_classes(self) -> None:
        """Names the run, and asks for a checkpoint where one is needed."""
        subcommand = self.config.subcommand
        config = self.config[subcommand]
        if self.checkpoint is not None:
            config.ckpt_path = str(self.checkpoint)
            if config.model.get("init_args", {}).get("weights") is not None:
                config.model.init_args.weights = None  # the checkpoint has all of them
        weights = config.model.get("init_args", {}).get("weights")
        if subcommand != "fit" and self.checkpoint is None and weights is None:
            raise ArgumentError(f"{subcommand} needs trained weights: give --ckpt_path best, last, or a file")
        if config.horizon and subcommand != "predict":
            raise ArgumentError(f"--horizon={config.horizon} is of predict: leave it out of {subcommand}")
        logger = config.trainer.logger
        if subcommand != "fit":
            config.trainer.logger = False  # results of an evaluation are printed, they open no new run
        elif hasattr(logger, "get") and logger.get("init_args", {}).get("name", "") is None:
            logger.init_args.name = _recipe(config)

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """Adds the callbacks that every run has."""
        config = self.config_init[self.subcommand].trainer
        callbacks = list(config.callbacks or [])
        if config.enable_progress_bar is not False and not any(isinstance(c, ProgressBar) for c in callbacks):
            callbacks.append(progress())
        if config.enable_model_summary is not False and not any(isinstance(c, ModelSummary) for c in callbacks):
            callbacks.append(ModelSummary(max_depth=2))  # the module, its network, layers and head
        if self.subcommand == "fit" and config.enable_checkpointing is not False:
            callbacks.append(BestAndLast())
        if self.subcommand == "predict":
            folder = run_folder(self.checkpoint) if self.checkpoint else RUNS
            callbacks.append(PredictionWriter(folder, self.config_init[self.subcommand].arrays))
        return super().instantiate_trainer(callbacks=callbacks, **kwargs)

    def after_instantiate_classes(self) -> None:
        """Refuses to evaluate an untrained head; what fails from here on is not the configuration's fault alone."""
        if self.subcommand != "fit" and self.checkpoint is None and getattr(self.model, "fresh_head", False):
            raise ArgumentError(
                f"{self.subcommand}: model.weights have no head of this size, it is untrained: fit first"
            )
        type(self).started = True

    def after_fit(self) -> None:
        """Tests the best checkpoint, and says how to look at the run."""
        callbacks: list[Any] = self.trainer.callbacks  # type: ignore[attr-defined]
        best = next((c.best_model_path for c in callbacks if isinstance(c, BestAndLast)), "")
        folder = self.trainer.log_dir  # asked for on every rank, as they agree on it
        if self.config_init[self.subcommand].trainer.fast_dev_run or self.trainer.interrupted:
            return
        if best:
            self.trainer.test(self.model, datamodule=self.datamodule, ckpt_path=best)
        if self.trainer.is_global_zero and folder and self.trainer.logger:
            if best:
                score = next(c.best_model_score for c in callbacks if isinstance(c, BestAndLast))
                print(f"Best checkpoint: {best} (val/loss {score:.4g})")
            elif Path(folder, "checkpoints").is_dir():
                print(f"Checkpoints: {Path(folder, 'checkpoints')}")
            print(f"Look at it: tensorboard --logdir {Path(folder).parent}")

    def before_predict(self) -> None:
        """Sets how far the predictions go beyond the data."""
        horizon = self.config_init[self.subcommand].horizon
        if horizon:
            if not isinstance(self.model, SequenceModule):
                raise ArgumentError(f"--horizon={horizon}: {type(self.model).__name__} has no forecast, leave it out")
            self.model.check_forecast()
            self.model.horizon = horizon

    def after_predict(self) -> None:
        """Says where the predictions are."""
        for callback in self.trainer.callbacks:  # type: ignore[attr-defined]
            if isinstance(callback, PredictionWriter):
                print(f"Predictions: {', '.join(map(str, callback.paths))}")


def main(args: Any = None, cli: type[CLI] = CLI) -> None:
    """Runs the command line.

    Args:
        args: Arguments as a list, or a configuration as a dict; those of the process if None.
        cli: `CLI`, or a class of yours that does more before or after a subcommand.
    """
    _quiet()
    cli.started = False
    typed = sys.argv[1:] if args is None else args
    try:
        if isinstance(typed, list) and typed[:1] == ["export"]:
            export_command(typed[1:])
            return
        cli(
            LightningModule,
            LightningDataModule,
            subclass_mode_model=True,
            subclass_mode_data=True,
            save_config_callback=SaveConfig,
            save_config_kwargs={"overwrite": True},
            seed_everything_default=0,
            parser_class=Parser,
            parser_kwargs={"version": __version__, "prog": "rnn_lightning", "epilog": EPILOG},
            auto_configure_optimizers=False,
            load_from_checkpoint_support=False,  # checkpoints hold plain values, no class for a parser to build
            args=args,
        )
    except Exception as error:
        own = _own_reason(error)
        reason = None if own is None else str(own)
        if reason is None and not cli.started:  # nothing has run yet: what is wrong is in the configuration
            reason = f"{type(error).__name__}: {error}"
        if reason is None:
            raise
        fail(reason)
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()  # else its threads may outlive the interpreter, which then aborts


def fail(message: str) -> NoReturn:
    """Prints one line, `error: ...`, and exits with 2."""
    print(f"error: {' '.join(message.split())}", file=sys.stderr)
    sys.exit(2)


def _own_reason(error: BaseException | None) -> BaseException | None:
    """The innermost error that speaks to the user; jsonargparse wraps what a constructor raises."""
    own = None
    while error is not None:
        if isinstance(error, (ArgumentError, NonFiniteLossError, MisconfigurationException, OSError)):
            own = error
        error = error.__cause__ or error.__context__
    return own


def _recipe(config: Any) -> str:
    """The recipe's name: that of the first `--config`, or for a run's saved one the name saved in it."""
    logger = config.trainer.logger
    saved = logger.get("init_args", {}).get("name") if hasattr(logger, "get") else None
    paths = config.get("config") or []
    return saved or (Path(str(paths[0])).stem if paths else "unnamed")


def _root(config: Any) -> str:
    """The folder of all runs: where the logger writes."""
    logger = config.trainer.logger
    return (logger.get("init_args", {}).get("save_dir") if hasattr(logger, "get") else None) or RUNS


def _arguments_of(class_path: str) -> set[str]:
    """The names of a model's own arguments; a subclass may have fewer than its checkpoint."""
    module, _, name = class_path.rpartition(".")
    return set(inspect.signature(getattr(importlib.import_module(module), name)).parameters)


def _size_of_data(size: str) -> Any:
    def compute(source: LightningDataModule) -> int:
        value = getattr(source, size, None)
        if value is None:
            raise ArgumentError(
                f"{type(source).__name__} has no {size}, which the model needs: set self.{size} in its __init__"
            )
        return value

    return compute


def _quiet() -> None:
    """Drops what Lightning and torch say on every run that no user can act on."""
    for name in ("pytorch.utilities.rank_zero", "fabric.utilities.rank_zero", "fabric.utilities.seed"):
        logging.getLogger(f"lightning.{name}").addFilter(_is_news)
    warnings.filterwarnings("ignore", message=".*`isinstance\\(treespec, LeafSpec\\)` is deprecated.*")
    warnings.filterwarnings("ignore", message=".*does not have many workers.*")  # batches are drawn as whole tensors
    warnings.filterwarnings("ignore", message="LightningCLI's args parameter is intended")
    warnings.filterwarnings("ignore", message="Be aware that when using `ckpt_path`")  # callbacks of fit, in test


def _is_news(record: logging.LogRecord) -> bool:
    message = record.getMessage()
    return not any(
        noise in message for noise in ("Tip:", "available: False", "Seed set to", "Trainer already configured")
    )
