"""`CLI`: a LightningCLI with recipes, named runs, and sizes linked from data to model; `main` runs it."""

import os
import signal
import sys
import threading
from argparse import SUPPRESS
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from jsonargparse import Namespace
from lightning.pytorch import LightningDataModule, LightningModule, Trainer
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI
from lightning.pytorch.utilities.model_helpers import is_overridden
from torch.multiprocessing import ProcessExitedException

from rnn_lightning import (
    __version__,
    claims,
    data,  # noqa: F401  # what is imported here goes by its short name in YAML: SyntheticSine, Seq2Seq
    models,  # noqa: F401
    runs,
    slurm,
)
from rnn_lightning.callbacks import TENSORBOARD_CALLBACKS, Forecasts, PredictionWriter
from rnn_lightning.cli.after_fit import after_fit
from rnn_lightning.cli.arguments import Arguments, Parser, RecipeOrFile, class_of, fail, maker_of
from rnn_lightning.cli.configurations import inline
from rnn_lightning.cli.every_run import callbacks_of, save_atomically
from rnn_lightning.cli.loggers import direct_loggers, root_of_runs
from rnn_lightning.cli.nulls import check_nulls
from rnn_lightning.cli.options import add_options
from rnn_lightning.cli.required import required_from_checkpoint
from rnn_lightning.cli.save_config import SaveConfig
from rnn_lightning.cli.settings import arguments_in, is_of_another_cell, run_name
from rnn_lightning.cli.sizes import check_sizes, link_sizes
from rnn_lightning.cli.terminal import quiet
from rnn_lightning.continuation import Continuation, exported_network
from rnn_lightning.data import SequenceDataModule, TimeSeries
from rnn_lightning.data.series.origins import check_future
from rnn_lightning.errors import ArgumentError, reason
from rnn_lightning.export import export
from rnn_lightning.fitted import KEY, takes_fitted
from rnn_lightning.models import SequenceModule
from rnn_lightning.recipes import check_data
from rnn_lightning.saved import read_checkpoint

EPILOG = "Each has its own help, as in: export --help"
EXPORT = "Writes a checkpoint's network as plain weights, JSON and ONNX."

AT_LEAST_ONE = ("accumulate_grad_batches", "check_val_every_n_epoch")
"""Trainer settings by which Lightning divides."""


class CLI(LightningCLI):
    """A LightningCLI with recipes, sizes linked from data to model, named runs, and checkpoints found by a run's name.

    The command line overrides the checkpoint (which sets the network; see `cli.training`); both override the recipe.
    """

    checkpoint: str | None = None
    """The checkpoint that `--ckpt_path` means, or from which a requeued job continues."""

    root = runs.RUNS
    """The folder of all runs."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        given = kwargs.get("args")
        given = sys.argv[1:] if given is None else given
        self.first = given[0] if isinstance(given, list) and given else None
        super().__init__(*args, **kwargs)

    def subcommands(self) -> dict[str, set[str]]:  # type: ignore[override]  # a static method in Lightning
        """Lightning's subcommands, or only the one that was typed first, as each parser takes 0.1 s to make."""
        found = LightningCLI.subcommands()
        if self.first == "export":
            return {}
        return {self.first: found[self.first]} if self.first in found else found

    def init_parser(self, **kwargs: Any) -> LightningArgumentParser:
        """A parser whose `--config` takes a file or a recipe's name."""
        parser = Parser(**kwargs)
        parser.add_argument("-c", "--config", action=RecipeOrFile, help="A YAML file, or the name of a shipped recipe.")
        return parser

    def setup_parser(
        self, add_subcommands: bool, main_kwargs: dict[str, Any], subparser_kwargs: dict[str, Any]
    ) -> None:
        """Adds the subcommand `export`. Its other arguments say which run's best or last checkpoint to export."""
        super().setup_parser(add_subcommands, main_kwargs, subparser_kwargs)
        if self.first in self.subcommands():
            return
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
        """Links the model's sizes to the data, and adds the options of the command line."""
        add_options(parser)
        link_sizes(parser, self)

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        """Parses the arguments. A checkpoint's network overrides the recipe's, and typed arguments override both."""
        arguments, first = None, None
        if args is None or isinstance(args, list):
            arguments = Arguments.of(sys.argv[1:] if args is None else args)
            arguments = arguments.with_config_of_run().with_folders_of_loggers()
            check_data(arguments.others)
            first = required_from_checkpoint(arguments)
            args = arguments.parsed_after(*([] if first is None else [inline(first)]))
        super().parse_arguments(parser, args)
        config, network = self.config[self.config.subcommand], {}
        if self.config.subcommand == "fit" and (
            saved := slurm.requeued(root_of_runs(config.trainer), run_name(config))
        ):
            config.ckpt_path = saved
        exported = exported_network(config.get("ckpt_path")) if config.get("prompt") is not None else None
        if exported is not None:
            self.checkpoint = exported
        elif config.get("ckpt_path") is not None:
            model, source = (config[key].class_path if config.get(key) else None for key in ("model", "data"))
            self.checkpoint = runs.find_checkpoint(
                str(config.ckpt_path), root_of_runs(config.trainer), run_name(config), model=model, data=source
            )
            if self.config.subcommand != "export":
                network = arguments_in(self.checkpoint, config.model, arguments, self.config.subcommand)
        elif is_of_another_cell(config.get("model")):
            network = {"nonlinearity": "tanh"}  # the recipe's value is for another cell; a typed value raises an error
        # With a configuration as a dict, everything counts as typed. Arguments that only the first parse needed are now
        # left out, unless no model is made.
        is_made = exported is None and self.config.subcommand != "export"
        if arguments is not None and (network or (first is not None and is_made)):
            between = {"model": {"class_path": config.model.class_path, "init_args": network}}
            super().parse_arguments(parser, arguments.parsed_after(inline(between)))
        # Lightning would let the checkpoint override typed arguments, so Lightning gets the path only later.
        self.config[self.config.subcommand].ckpt_path = None

    def before_instantiate_classes(self) -> None:
        """Names the run, and requires a checkpoint if the subcommand needs one."""
        subcommand = self.config.subcommand
        config = self.config[subcommand]
        if self.checkpoint is not None:
            config.ckpt_path = self.checkpoint
        if subcommand == "export":
            return
        arguments = config.model.get("init_args", {})
        if self.checkpoint is not None and config.prompt is None and takes_fitted(class_of(config.data.class_path)):
            config.data.init_args[KEY] = read_checkpoint(self.checkpoint).get(KEY)  # nothing is refitted
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
        self._check_nulls(config)
        config.name = run_name(config)
        if subcommand == "fit":
            self.root = root_of_runs(config.trainer)
            for setting in AT_LEAST_ONE:
                if (value := config.trainer.get(setting)) is not None and value < 1:
                    raise ArgumentError(f"trainer.{setting}={value}: give at least 1")
            direct_loggers(config, self.root, self.checkpoint)
        else:
            config.trainer.logger = False  # results of an evaluation are printed and do not begin a new run

    def _check_nulls(self, config: Namespace) -> None:
        for key in ("model", "data"):
            check_nulls(key, maker_of(config[key].class_path), config[key].get("init_args", Namespace()))
        check_nulls("trainer", Trainer, config.trainer)
        for name, callback in TENSORBOARD_CALLBACKS.items():
            check_nulls(name, callback, config.get(name))

    def instantiate_classes(self) -> None:
        """Makes the model, the data and the Trainer; or exports or continues a text, which needs none of them."""
        config = self.config[self.subcommand]
        if self.subcommand == "export":
            folder = export(config.ckpt_path, config.output, config.onnx)
            print(f"Exported: {', '.join(sorted(str(path) for path in folder.iterdir()))}")
        elif self.subcommand == "predict" and config.prompt is not None:
            how = Continuation(config.prompt, config.length, config.temperature, config.top_k)
            into = runs.folder_of_predictions(self.checkpoint, config.name)
            print(f"Predictions: {how.write(config.ckpt_path, into)}")
        else:
            super().instantiate_classes()
            return
        self.subcommand = None  # nothing is left to run

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """Adds the callbacks that every run has."""
        config = self.config_init[self.subcommand]
        callbacks = callbacks_of(config.trainer, self.subcommand)
        if self.subcommand == "fit" and (job := slurm.folder(self.root, config.name)) is not None:
            kwargs["default_root_dir"] = job
        if self.subcommand == "predict":
            folder = runs.folder_of_predictions(self.checkpoint, config.name)
            if isinstance(self.datamodule, TimeSeries):
                config.forecasts.folder = folder
            else:
                callbacks.append(PredictionWriter(folder, config.arrays))
        return super().instantiate_trainer(callbacks=callbacks, **kwargs, **save_atomically(config.trainer))

    def after_instantiate_classes(self) -> None:
        """Refuses a model that is untrained or does not match the data."""
        if self.subcommand is None:
            return
        if self.subcommand != "fit" and self.checkpoint is None and getattr(self.model, "fresh_head", False):
            raise ArgumentError(
                f"{self.subcommand}: model.weights have no head of this size, so it is untrained: fit first"
            )
        check_sizes(self)
        if isinstance(self.datamodule, SequenceDataModule):
            self.datamodule.check_model(self.model)
        self.config_init[self.subcommand].forecasts.check(self.model, self.datamodule, self.subcommand)

    def before_fit(self) -> None:
        """Chooses the run's number, before any process is spawned."""
        runs.number_run(self.trainer)

    def after_fit(self) -> None:
        """Tests the best checkpoint, and prints how to view the run."""
        if not self.config_init[self.subcommand].trainer.fast_dev_run and not self.trainer.interrupted:
            after_fit(self.trainer, self.model, self.datamodule)

    def before_predict(self) -> None:
        """Sets how far predictions continue beyond the data."""
        if not any(is_overridden(name, self.model, LightningModule) for name in ("predict_step", "forward")):
            raise ArgumentError(f"predict: {type(self.model).__name__} has neither predict_step nor forward: write one")
        config = self.config_init[self.subcommand]
        if isinstance(self.datamodule, TimeSeries):
            config.forecasts.horizon = config.horizon or self.datamodule.horizon
            check_future(self.datamodule, config.forecasts.horizon)
        elif config.horizon:
            if not isinstance(self.model, SequenceModule):
                raise ArgumentError(
                    f"--horizon={config.horizon}: {type(self.model).__name__} makes no forecasts: leave it out"
                )
            self.model.check_forecast()
            self.model.horizon = config.horizon

    def after_predict(self) -> None:
        """Prints where the predictions are."""
        for callback in self.trainer.callbacks:  # type: ignore[attr-defined]
            if isinstance(callback, (PredictionWriter, Forecasts)) and callback.paths:
                print(f"Predictions: {', '.join(map(str, callback.paths))}")
        if self.checkpoint is not None and "://" in self.checkpoint:
            print(f"They are on this machine; their run is {runs.run_folder(self.checkpoint)}")


def main(args: Any = None, cli: type[CLI] = CLI) -> None:
    """Runs the command line.

    Args:
        args: The arguments as a list, or a configuration as a dict; None for the arguments of the process.
        cli: `CLI`, or your own subclass that does more before or after a subcommand.
    """
    quiet()
    if args is None and os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())  # `rnn-lightning --data my_data.Sales` finds the same modules as `python -m`
    try:
        with _ends_on_sigint():
            cli(
                LightningModule,
                LightningDataModule,
                subclass_mode_model=True,
                subclass_mode_data=True,
                save_config_callback=SaveConfig,
                seed_everything_default=0,
                parser_class=Parser,
                parser_kwargs={
                    "version": __version__,
                    "prog": "rnn_lightning",
                    "epilog": EPILOG,
                    "allow_abbrev": False,
                },
                auto_configure_optimizers=False,
                load_from_checkpoint_support=False,  # checkpoints contain plain values, no classes
                args=args,
            )
    except SystemExit:
        _leave_group()
        raise
    except ProcessExitedException as error:
        sys.exit(error.exit_code)  # a spawned process has already said why
    except Exception as error:
        line = reason(error)
        if line is None:
            raise
        fail(line)
    finally:
        claims.release_all()
    _leave_group()


@contextmanager
def _ends_on_sigint() -> Iterator[None]:
    """Exits with 130 on Ctrl-C whenever `StopOnSignal` is not active; Lightning would exit with 1."""
    came = False

    def note(number: int, frame: Any) -> None:
        nonlocal came
        came = True
        raise KeyboardInterrupt  # Lightning then ends the processes that it has started

    before = signal.getsignal(signal.SIGINT)
    mine = before is signal.default_int_handler and threading.current_thread() is threading.main_thread()
    if mine:
        signal.signal(signal.SIGINT, note)
    try:
        yield
    except (KeyboardInterrupt, SystemExit) as end:
        if came or isinstance(end, KeyboardInterrupt):
            raise SystemExit(128 + signal.SIGINT) from None
        raise
    finally:
        if mine:
            signal.signal(signal.SIGINT, before)


def _leave_group() -> None:
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()  # otherwise its threads may outlive the interpreter, which then aborts
