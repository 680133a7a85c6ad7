"""The command line: fit, validate, test, predict and export by LightningCLI, with recipes by name, sizes from the data."""

import importlib
import inspect
import json
import logging
import os
import signal
import sys
import traceback
import warnings
from argparse import SUPPRESS
from functools import partial
from pathlib import Path
from typing import Any

import torch
import yaml
from jsonargparse import Namespace
from jsonargparse.typing import NonNegativeFloat, NonNegativeInt, PositiveInt
from lightning.pytorch import LightningDataModule, LightningModule, Trainer
from lightning.pytorch.callbacks import ModelSummary, ProgressBar
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI, SaveConfigCallback
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from lightning.pytorch.plugins.io import CheckpointIO, TorchCheckpointIO
from lightning.pytorch.strategies import Strategy
from lightning.pytorch.utilities.model_helpers import is_overridden
from torch.multiprocessing import ProcessExitedException

from rnn_lightning import (
    __version__,
    data,  # noqa: F401  # what is imported here goes by its short name in YAML: SyntheticSine, Seq2Seq
    models,  # noqa: F401
    runs,
)
from rnn_lightning.arguments import Arguments, HelpOf, Parser, RecipeOrFile, fail
from rnn_lightning.callbacks import (
    TENSORBOARD_CALLBACKS,
    BesideBaseline,
    BestAndLast,
    EventFile,
    Forecasts,
    PeriodicCheckpoint,
    PredictionWriter,
    StopOnSignal,
    progress,
)
from rnn_lightning.checkpoint_io import AtomicCheckpointIO
from rnn_lightning.continuation import Continuation, exported_network
from rnn_lightning.data import SequenceDataModule, TimeSeries
from rnn_lightning.errors import ArgumentError, reason
from rnn_lightning.export import export
from rnn_lightning.files import remove_leftovers
from rnn_lightning.fitted import KEY, takes_fitted
from rnn_lightning.models import SequenceModule, TruncatedBPTT
from rnn_lightning.recipes import check_data
from rnn_lightning.saved import check_parts, read_checkpoint

SIZES = ("input_size", "output_size")
"""Arguments of the model that follow from the data."""
EPILOG = "Each has a help of its own, as in: export --help"
LOGGER = {"class_path": "TensorBoardLogger", "init_args": {"save_dir": runs.RUNS, "default_hp_metric": False}}
UNNAMED = "lightning_logs"
"""The name that Lightning's loggers have by default."""
EXPORT = "Writes a checkpoint's network as plain weights, JSON and ONNX."


class SaveConfig(SaveConfigCallback):
    """Decides where a fit is saved, passes that on to the checkpoints, and writes the run's record and configuration."""

    def __init__(self, parser: LightningArgumentParser, config: Any, **kwargs: Any) -> None:
        super().__init__(parser, config, **kwargs)
        config = config.clone()
        self._resumed = runs.resumed_folder(config.ckpt_path)
        config.ckpt_path = None  # it was where this run began; a test by this file is of this run
        if KEY in config.data.get("init_args", {}):
            config.data.init_args.pop(KEY)  # the checkpoints have it
        self._text = parser.dump(config, skip_unset=False)
        size = config.model.get("init_args", {}).get("output_size")
        if size is not None:  # typed for a loss; the parser leaves out what it takes from the data
            values = yaml.safe_load(self._text)
            values["model"]["init_args"]["output_size"] = size
            self._text = yaml.safe_dump(values, sort_keys=False)
        self._run = {"name": config.name, "model": config.model.class_path, "data": config.data.class_path}
        del self.parser, self.config  # what is left can be pickled for spawned processes

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Does all of it, once and before the checkpoints' own `setup`."""
        if self.already_saved or stage != "fit":
            return
        self.already_saved = True
        folder = self._resumed or runs.new_folder(trainer, self._run["name"])
        for callback in trainer.callbacks:  # type: ignore[attr-defined]
            if isinstance(callback, (BestAndLast, PeriodicCheckpoint)) and callback.dirpath is None:
                callback.dirpath = f"{folder}/checkpoints"
        run = runs.Run.begin(folder, config=self._text, **self._run) if trainer.is_global_zero else None
        run = trainer.strategy.broadcast(run)
        assert run is not None, "the first process has begun it"
        if trainer.local_rank == 0:
            if runs.Run.read(folder) != run:  # this machine has a disk of its own
                run.write(folder, self._text)
            for place in (folder, f"{folder}/checkpoints"):
                remove_leftovers(place)


class CLI(LightningCLI):
    """LightningCLI with recipes, sizes linked from data to model, named runs, and checkpoints found by a run's name.

    Precedence: command line, then checkpoint (which sets the architecture), then recipe (which says how to train).
    """

    checkpoint: str | None = None
    """The checkpoint that `--ckpt_path` means."""

    def init_parser(self, **kwargs: Any) -> LightningArgumentParser:
        """A parser whose `--config` takes a file or a recipe's name."""
        parser = Parser(**kwargs)
        parser.add_argument("-c", "--config", action=RecipeOrFile, help="A YAML file, or the name of a shipped recipe.")
        return parser

    def setup_parser(
        self, add_subcommands: bool, main_kwargs: dict[str, Any], subparser_kwargs: dict[str, Any]
    ) -> None:
        """Adds the subcommand `export`; what it takes besides its own arguments says which run's best or last."""
        super().setup_parser(add_subcommands, main_kwargs, subparser_kwargs)
        parser = self.init_parser(description=EXPORT)
        parser.add_function_arguments(export)
        self.add_default_arguments_to_parser(parser)
        parser.add_lightning_class_args(Trainer, "trainer")
        parser.add_lightning_class_args(LightningModule, "model", subclass_mode=True, required=False)
        parser.add_lightning_class_args(LightningDataModule, "data", subclass_mode=True, required=False)
        self.add_arguments_to_parser(parser)
        parser.add_argument("--weights_only", help=SUPPRESS)  # part of a fit's configuration
        assert isinstance(self.parser, Parser), "made by init_parser"
        self.parser.commands.add_subcommand("export", parser, help=EXPORT)

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Takes sizes from the data, names runs, and logs them to TensorBoard."""
        for name, callback in TENSORBOARD_CALLBACKS.items():
            parser.add_lightning_class_args(callback, name)
        words = "The run's name; that of the first --config if not given, else made of the model and the data."
        parser.add_argument("--name", type=str | None, default=None, help=words)
        words = "predict only: steps to forecast beyond each sequence, feeding predictions back; 0 for the data's own."
        parser.add_argument("--horizon", type=NonNegativeInt, default=0, help=words)
        words = "predict only: also write the arrays, as predictions.npz."
        parser.add_argument("--arrays", type=bool, default=False, help=words)
        parser.add_argument("--model.tbptt.help", action=HelpOf, of=TruncatedBPTT, key="model.tbptt", help=SUPPRESS)
        words = "predict only: a text to continue, with a network trained on text; no data is read."
        parser.add_argument("--prompt", type=str | None, default=None, help=words)
        words = "With --prompt: characters, bytes or words to add, as the network was trained."
        parser.add_argument("--length", type=NonNegativeInt, default=400, help=words)
        words = "With --prompt: below 1 likely continuations become likelier; 0 always takes the likeliest."
        parser.add_argument("--temperature", type=NonNegativeFloat, default=1.0, help=words)
        words = "With --prompt: draws among the k likeliest tokens only."
        parser.add_argument("--top_k", type=PositiveInt | None, default=None, help=words)
        for size in SIZES:
            compute = partial(_size_of, self, size)
            parser.link_arguments("data", f"model.init_args.{size}", compute_fn=compute, apply_on="instantiate")
        parser.set_defaults({"trainer.default_root_dir": runs.RUNS, "trainer.logger": LOGGER})

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        """Parses the arguments, with those of a checkpoint's network between the recipe's and the typed ones."""
        arguments = None
        if args is None or isinstance(args, list):
            arguments = Arguments.of(sys.argv[1:] if args is None else args).with_config_of_run()
            check_data(arguments.others)
            args = arguments.parsed_after()
        super().parse_arguments(parser, args)
        config, network = self.config[self.config.subcommand], {}
        exported = exported_network(config.get("ckpt_path")) if config.get("prompt") is not None else None
        if exported is not None:
            self.checkpoint = exported
        elif config.get("ckpt_path") is not None:
            model, source = (config[key].class_path if config.get(key) else None for key in ("model", "data"))
            self.checkpoint = runs.find_checkpoint(
                str(config.ckpt_path), _root(config.trainer), _name(config), model=model, data=source
            )
            if self.config.subcommand != "export":
                network = _network_in(self.checkpoint, config.model.class_path)
        elif config.get("model") and config.model.get("init_args", {}).get("cell", "rnn") != "rnn":
            network = {"nonlinearity": "tanh"}  # a recipe's is of its own cell; one that is typed is refused
        if arguments is not None and network:  # in a configuration as a dict, everything counts as typed
            between = {"model": {"class_path": config.model.class_path, "init_args": network}}
            super().parse_arguments(parser, arguments.parsed_after(json.dumps(between, default=str)))
        # Lightning would let the checkpoint win over what was typed; it finds the path again in what follows.
        self.config[self.config.subcommand].ckpt_path = None

    def before_instantiate_classes(self) -> None:
        """Names the run, and asks for a checkpoint where one is needed."""
        subcommand = self.config.subcommand
        config = self.config[subcommand]
        if self.checkpoint is not None:
            config.ckpt_path = self.checkpoint
        if subcommand == "export":
            return
        arguments = config.model.get("init_args", {})
        if self.checkpoint is not None and config.prompt is None and takes_fitted(_class(config.data.class_path)):
            config.data.init_args[KEY] = read_checkpoint(self.checkpoint).get(KEY)  # nothing is fitted again
        if self.checkpoint is not None and arguments.get("weights") is not None:
            arguments.weights = None  # the checkpoint has all of them
        if subcommand != "fit" and self.checkpoint is None and arguments.get("weights") is None:
            raise ArgumentError(f"{subcommand} needs trained weights: give --ckpt_path best, last, or a file")
        if config.horizon and subcommand != "predict":
            raise ArgumentError(f"--horizon={config.horizon} is for predict only: leave it out of {subcommand}")
        if config.prompt is not None and (subcommand != "predict" or self.checkpoint is None):
            raise ArgumentError(
                "--prompt is for predict only, and needs a checkpoint: give --ckpt_path best, last, or a file"
            )
        config.name = _name(config)
        if subcommand != "fit":
            config.trainer.logger = False  # results of an evaluation are printed, they open no new run
            return
        runs.check_root(root := _root(config.trainer))
        for number, logger in enumerate(_loggers(config.trainer)):
            if number == 0 and (folder := runs.resumed_folder(self.checkpoint)) and folder.count("/") > 1:
                init = logger.init_args
                init.save_dir, init.name, init.version = folder.rsplit("/", 2)
                if issubclass(_class(logger.class_path), CSVLogger):
                    runs.keep(f"{folder}/metrics.csv")
                continue
            if logger.init_args.get("name") == UNNAMED:
                logger.init_args.name = config.name
            if logger.init_args.save_dir == runs.RUNS:
                logger.init_args.save_dir = root

    def instantiate_classes(self) -> None:
        """Makes model, data and Trainer; an export needs none of them, and is done here."""
        config = self.config[self.subcommand]
        if self.subcommand == "predict" and config.prompt is not None:
            how = Continuation(config.prompt, config.length, config.temperature, config.top_k)
            into = runs.folder_of_predictions(self.checkpoint, config.name)
            print(f"Predictions: {how.write(config.ckpt_path, into)}")
            self.subcommand = None  # nothing is left to run
            return
        if self.subcommand != "export":
            super().instantiate_classes()
            return
        folder = export(self.config.export.ckpt_path, self.config.export.output, self.config.export.onnx)
        print(f"Exported: {', '.join(sorted(str(path) for path in folder.iterdir()))}")
        self.subcommand = None  # nothing is left to run

    def typed_size(self, size: str) -> int | None:
        """The size of the model that was typed, or set in a configuration."""
        return self.config[self.subcommand].model.get("init_args", {}).get(size)

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """Adds the callbacks that every run has."""
        config = self.config_init[self.subcommand]
        callbacks = list(config.trainer.callbacks or [])
        if config.trainer.enable_progress_bar is not False and not any(isinstance(c, ProgressBar) for c in callbacks):
            callbacks.append(progress())
        if config.trainer.enable_model_summary is not False and not any(isinstance(c, ModelSummary) for c in callbacks):
            callbacks.append(ModelSummary(max_depth=2))
        if self.subcommand == "fit" and config.trainer.enable_checkpointing is not False:
            callbacks.append(BestAndLast())
        if self.subcommand in ("fit", "test"):
            callbacks.append(BesideBaseline())
        callbacks += [EventFile(), StopOnSignal()]
        if not _has_checkpoint_io(config.trainer):
            if not isinstance(strategy := config.trainer.strategy, Strategy):
                kwargs["plugins"] = [*_as_list(config.trainer.plugins), AtomicCheckpointIO()]
            elif type(strategy.checkpoint_io) is TorchCheckpointIO:
                strategy.checkpoint_io = AtomicCheckpointIO()
        if self.subcommand == "predict":
            folder = runs.folder_of_predictions(self.checkpoint, config.name)
            if isinstance(self.datamodule, TimeSeries):
                self._forecasts().folder = folder
            else:
                callbacks.append(PredictionWriter(folder, config.arrays))
        return super().instantiate_trainer(callbacks=callbacks, **kwargs)

    def after_instantiate_classes(self) -> None:
        """Refuses an untrained head, and sizes that are not the data's."""
        if self.subcommand is None:
            return
        if self.subcommand != "fit" and self.checkpoint is None and getattr(self.model, "fresh_head", False):
            raise ArgumentError(
                f"{self.subcommand}: model.weights have no head of this size, it is untrained: fit first"
            )
        for size in SIZES:
            typed, found = self.typed_size(size), getattr(self.datamodule, size, None)
            if typed not in (None, found, getattr(self.model, "hparams", {}).get(size)):
                raise ArgumentError(f"model.{size}={typed}, but the data has {found}: leave it out")
        if isinstance(self.datamodule, SequenceDataModule):
            self.datamodule.check_model(self.model)
        self._forecasts().check(self.model, self.datamodule, self.subcommand)

    def after_fit(self) -> None:
        """Tests the best checkpoint, and says how to look at the run."""
        if self.config_init[self.subcommand].trainer.fast_dev_run or self.trainer.interrupted:
            return
        callbacks: list[Any] = self.trainer.callbacks  # type: ignore[attr-defined]
        kept = next((c for c in callbacks if isinstance(c, BestAndLast)), None)
        best = "" if kept is None else kept.best_model_path  # a test in spawned processes would name another
        if best:
            self._test(best)
        if not self.trainer.is_global_zero:
            return
        if kept is not None and best:
            score = kept.best_model_score  # spawned processes keep it to themselves
            print(f"Best checkpoint: {best}{'' if score is None else f' (val/loss {score:.4g})'}")
        elif kept is not None:
            print(f"Last checkpoint: {kept.last_model_path}")
        for logger in self.trainer.loggers:
            if isinstance(logger, TensorBoardLogger):
                print(f"Look at it: tensorboard --logdir {logger.root_dir}")

    def _test(self, checkpoint: str) -> None:
        """Tests a checkpoint after a fit; as the fit has succeeded, a test that can't be run is no failure."""
        own = (("test_step", self.model), ("test_dataloader", self.datamodule))
        missing = [f"{type(owner).__name__} has no {name}" for name, owner in own if not is_overridden(name, owner)]
        if missing:
            print(f"No test: {' and '.join(missing)}")
            return
        try:
            self.trainer.test(self.model, datamodule=self.datamodule, ckpt_path=checkpoint)
        except Exception as error:
            if self.trainer.world_size > 1:
                raise  # the other processes wait for this one
            line = reason(error)
            if line is None:
                traceback.print_exc()
            print(f"No test: {line or repr(error)}")

    def _forecasts(self) -> Forecasts:
        """The callback that writes forecasts of a `TimeSeries`."""
        return self.config_init[self.subcommand].forecasts

    def before_predict(self) -> None:
        """Sets how far the predictions go beyond the data."""
        horizon = self.config_init[self.subcommand].horizon
        if isinstance(self.datamodule, TimeSeries):
            self._forecasts().horizon = horizon = horizon or self.datamodule.horizon
            self.datamodule.check_future(horizon)
        elif horizon:
            if not isinstance(self.model, SequenceModule):
                raise ArgumentError(f"--horizon={horizon}: {type(self.model).__name__} has no forecast, leave it out")
            self.model.check_forecast()
            self.model.horizon = horizon

    def after_predict(self) -> None:
        """Says where the predictions are."""
        for callback in self.trainer.callbacks:  # type: ignore[attr-defined]
            if isinstance(callback, (PredictionWriter, Forecasts)) and callback.paths:
                print(f"Predictions: {', '.join(map(str, callback.paths))}")
        if self.checkpoint is not None and "://" in self.checkpoint:
            print(f"They are on this machine, their run is {runs.run_folder(self.checkpoint)}")


def main(args: Any = None, cli: type[CLI] = CLI) -> None:
    """Runs the command line.

    Args:
        args: Arguments as a list, or a configuration as a dict; those of the process if None.
        cli: `CLI`, or a class of yours that does more before or after a subcommand.
    """
    _quiet()
    if args is None and os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())  # `rnn-lightning --data my_data.Sales` finds what `python -m` finds
    try:
        cli(
            LightningModule,
            LightningDataModule,
            subclass_mode_model=True,
            subclass_mode_data=True,
            save_config_callback=SaveConfig,
            seed_everything_default=0,
            parser_class=Parser,
            parser_kwargs={"version": __version__, "prog": "rnn_lightning", "epilog": EPILOG, "allow_abbrev": False},
            auto_configure_optimizers=False,
            load_from_checkpoint_support=False,  # checkpoints hold plain values, no class for a parser to build
            args=args,
        )
    except SystemExit:
        _leave_group()
        raise
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)  # before the fit, which has a handler of its own
    except ProcessExitedException as error:
        sys.exit(error.exit_code)  # a spawned process has said why
    except Exception as error:
        line = reason(error)
        if line is None:
            raise
        fail(line)
    _leave_group()


def _leave_group() -> None:
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()  # else its threads may outlive the interpreter, which then aborts


def _network_in(checkpoint: str, class_path: str) -> dict[str, Any]:
    """The arguments of a checkpoint's network that a model of this class takes, but for those that the data gives."""
    saved = read_checkpoint(checkpoint)
    if "state_dict" not in saved or "pytorch-lightning_version" not in saved:
        raise ArgumentError(
            f"{checkpoint} is no checkpoint of a run: give one that a fit has written, or weights alone as --model.weights"
        )
    check_parts(saved, checkpoint)
    wanted, found = class_path.rpartition(".")[2], saved.get("model")
    if found not in (None, wanted):
        raise ArgumentError(
            f"{checkpoint} holds a {found}, the configuration asks for a {wanted}: give the checkpoint of the same recipe"
        )
    accepted = set(inspect.signature(_class(class_path)).parameters) - set(SIZES)
    return {name: value for name, value in saved.get("hyper_parameters", {}).items() if name in accepted}


def _name(config: Any) -> str | None:
    """The run's name: what `--name` says, else the data's file, else the first `--config`, else of both classes."""
    if config.name is not None:
        runs.check_name(config.name)
        return config.name
    path = config.data.get("init_args", {}).get("path") if config.get("data") else None
    if isinstance(path, (str, Path)) and (name := runs.name_of_file(path)) is not None:
        return name  # a file of the user's
    paths = [str(path) for path in config.get("config") or [] if path is not None]
    if paths:
        return Path(paths[0]).stem
    if not config.get("model") or not config.get("data"):
        return None
    texts = [value for value in config.data.get("init_args", {}).values() if isinstance(value, str)]
    file = next((Path(text).stem for text in texts if Path(text).is_file()), None)
    return f"{config.model.class_path.rpartition('.')[2]}-{file or config.data.class_path.rpartition('.')[2]}"


def _loggers(trainer: Any) -> list[Any]:
    """The configured loggers that keep a folder for each run."""
    loggers = trainer.logger if isinstance(trainer.logger, list) else [trainer.logger]
    return [x for x in loggers if isinstance(x, Namespace) and issubclass(_class(x.class_path), runs.FOLDERS)]


def _has_checkpoint_io(trainer: Any) -> bool:
    """Whether the user brings a plugin that saves checkpoints, or a strategy that saves them in its own way."""
    strategy = trainer.strategy if isinstance(trainer.strategy, str) else type(trainer.strategy).__name__
    own = any(word in strategy.lower() for word in ("fsdp", "deepspeed", "xla", "modelparallel"))
    return own or any(isinstance(plugin, CheckpointIO) for plugin in _as_list(trainer.plugins))


def _as_list(value: Any) -> list[Any]:
    return [] if value is None else list(value) if isinstance(value, (list, tuple)) else [value]


def _root(trainer: Any) -> str:
    """The folder of all runs: that of the first logger which keeps one for each run, else the Trainer's."""
    folder = trainer.default_root_dir or "."
    for logger in _loggers(trainer)[:1]:
        folder = folder if logger.init_args.save_dir == runs.RUNS else logger.init_args.save_dir
    return str(folder)


def _class(class_path: str) -> type:
    module, _, name = class_path.rpartition(".")
    return getattr(importlib.import_module(module), name)


def _size_of(cli: CLI, size: str, source: LightningDataModule) -> int:
    """A size of the model: the data's, but a loss may need more outputs than there are values to predict."""
    arguments = cli.config[cli.subcommand].model.get("init_args", {})
    if size == "output_size" and arguments.get("loss") is not None and cli.typed_size(size) is not None:
        return int(arguments[size])
    value = getattr(source, size, None)
    if value is None:
        raise ArgumentError(
            f"{type(source).__name__} has no {size}, which the model needs: set self.{size} in its __init__"
        )
    return value


def _quiet() -> None:
    """Drops what Lightning and torch say on every run that no user can act on."""
    for name in ("pytorch.utilities.rank_zero", "fabric.utilities.rank_zero", "fabric.utilities.seed"):
        logging.getLogger(f"lightning.{name}").addFilter(_is_news)
    warnings.filterwarnings("ignore", message=".*`isinstance\\(treespec, LeafSpec\\)` is deprecated.*")
    warnings.filterwarnings("ignore", message=".*does not have many workers.*")  # batches are drawn as whole tensors
    warnings.filterwarnings("ignore", message="Checkpoint directory .* exists and is not empty")  # a resumed run's
    warnings.filterwarnings("ignore", message="Detected call of `lr_scheduler.step")  # of an epoch's end after a resume
    warnings.filterwarnings("ignore", message="LightningCLI's args parameter is intended")
    warnings.filterwarnings("ignore", message="Be aware that when using `ckpt_path`")  # callbacks of fit, in test


def _is_news(record: logging.LogRecord) -> bool:
    message = record.getMessage()
    return not any(
        noise in message for noise in ("Tip:", "available: False", "Seed set to", "Trainer already configured")
    )
