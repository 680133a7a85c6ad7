"""`CLI`: a LightningCLI with recipes, named runs, and sizes linked from data to model."""

import sys
from argparse import SUPPRESS
from typing import Any

from jsonargparse import Namespace
from lightning.pytorch import LightningDataModule, LightningModule, Trainer
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI
from lightning.pytorch.utilities.model_helpers import is_overridden

from rnn_lightning import (
    data,  # noqa: F401  # what is imported here goes by its short name in YAML: SyntheticSine, Seq2Seq
    models,  # noqa: F401
    runs,
    slurm,
)
from rnn_lightning.callbacks import TENSORBOARD_CALLBACKS, Forecasts, PredictionWriter
from rnn_lightning.cli.after_fit import after_fit
from rnn_lightning.cli.arguments import Arguments, Parser, RecipeOrFile
from rnn_lightning.cli.configurations import inline
from rnn_lightning.cli.every_run import callbacks_of, save_atomically
from rnn_lightning.cli.from_checkpoint import arguments_in
from rnn_lightning.cli.loggers import direct_loggers, root_of_runs
from rnn_lightning.cli.nulls import check_nulls
from rnn_lightning.cli.options import add_options
from rnn_lightning.cli.run_name import run_name
from rnn_lightning.cli.signatures import class_of
from rnn_lightning.continuation import exported_network, write_continuation
from rnn_lightning.data import SequenceDataModule, TimeSeries
from rnn_lightning.data.series.origins import check_future
from rnn_lightning.errors import ArgumentError
from rnn_lightning.export import export
from rnn_lightning.fitted import KEY
from rnn_lightning.models import Seq2Seq, SequenceModule
from rnn_lightning.saved import read_checkpoint

EXPORT = "Writes a checkpoint's network as plain weights, JSON and ONNX."

AT_LEAST_ONE = ("accumulate_grad_batches", "check_val_every_n_epoch")
"""Trainer settings by which Lightning divides."""


class CLI(LightningCLI):
    """A LightningCLI with recipes, sizes linked from data to model, named runs, and checkpoints found by a run's name.

    The command line overrides the checkpoint (which sets the network; see `cli.from_checkpoint`); both override the recipe.
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
        """Adds the options of the command line."""
        add_options(parser, self)

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        """Parses the arguments. A checkpoint's network overrides the recipe's, and typed arguments override both.

        With `--ckpt_path`, a first parse shows which checkpoint that is; only a second one needs to be complete.
        """
        assert isinstance(parser, Parser), "made by init_parser"
        if isinstance(args, (dict, Namespace)):
            super().parse_arguments(parser, args)
            self._find_checkpoint(parser)  # everything counts as typed, so what this returns is not needed
        else:
            typed = Arguments.of(sys.argv[1:] if args is None else args)
            is_draft = typed.ckpt_path is not None
            self.config = (parser.draft if is_draft else parser.parse_args)(typed.parsed_after())
            between = self._find_checkpoint(parser, typed)
            if is_draft and self.config.subcommand == "export":  # which makes neither a model nor data
                self.config = parser.parse_object({"export": {"model": None, "data": None}}, self.config)
            elif is_draft or between:
                self.config = parser.parse_args(typed.parsed_after(*([inline({"model": between})] if between else [])))
        # Lightning would let the checkpoint override typed arguments, so Lightning gets the path only later.
        self.config[self.config.subcommand].ckpt_path = None

    def _find_checkpoint(self, parser: Parser, typed: Arguments | None = None) -> dict[str, Any]:
        """Finds the checkpoint, if one is asked for.

        Returns:
            What overrides the recipe's model, but not typed arguments.
        """
        subcommand, config = self.config.subcommand, self.config[self.config.subcommand]
        model, source = config.get("model"), config.get("data")
        where = root_of_runs(config.trainer), run_name(config)
        if subcommand == "fit" and (saved := slurm.requeued(*where)):
            config.ckpt_path = saved
        if config.get("prompt") is not None and (exported := exported_network(config.get("ckpt_path"))):
            self.checkpoint = exported
            return {}
        if config.get("ckpt_path") is None:
            return _for_another_cell(model) if model else {}
        kinds = {"model": model and model.class_path, "data": source and source.class_path}
        self.checkpoint = runs.find_checkpoint(str(config.ckpt_path), *where, **kinds)
        if subcommand == "export" or model is None:
            return {}
        recipe = parser.draft(typed.of_recipe, defaults=False)[subcommand].get("model.init_args") if typed else None
        names = typed.typed_of_model if typed else set()
        network = arguments_in(self.checkpoint, model, set(vars(recipe or Namespace())), names, subcommand)
        return {"class_path": model.class_path, "init_args": network}

    def before_instantiate_classes(self) -> None:
        """Names the run, and requires a checkpoint if the subcommand needs one."""
        subcommand = self.config.subcommand
        config = self.config[subcommand]
        if self.checkpoint is not None:
            config.ckpt_path = self.checkpoint
        if subcommand == "export":
            return
        weights = config.model.get("init_args.weights")
        if subcommand != "fit" and self.checkpoint is None and weights is None:
            raise ArgumentError(f"{subcommand} needs trained weights: give --ckpt_path best, last, or a file")
        if self.checkpoint is not None and weights is not None:
            config.model.init_args.weights = None  # the checkpoint has all of them
        if self.checkpoint is not None and config.prompt is None and KEY in config.data.get("init_args", {}):
            config.data.init_args[KEY] = read_checkpoint(self.checkpoint).get(KEY)  # nothing is refitted
        if config.horizon and subcommand != "predict":
            raise ArgumentError(f"--horizon={config.horizon} is for predict only: leave it out of {subcommand}")
        if config.prompt is not None and (subcommand != "predict" or self.checkpoint is None):
            raise ArgumentError(
                "--prompt is for predict only, and needs a checkpoint: give --ckpt_path best, last, or a file"
            )
        for key, kind in {"model": Any, "data": Any, "trainer": Trainer, **TENSORBOARD_CALLBACKS}.items():
            check_nulls(key, kind, config.get(key))
        config.name = run_name(config)
        if subcommand == "fit":
            self.root = root_of_runs(config.trainer)
            for setting in AT_LEAST_ONE:
                if (value := config.trainer.get(setting)) is not None and value < 1:
                    raise ArgumentError(f"trainer.{setting}={value}: give at least 1")
            if config.trainer.val_check_interval == 0:
                raise ArgumentError("trainer.val_check_interval=0: give a share of the epoch, or a number of batches")
            direct_loggers(config, self.root, self.checkpoint)
        else:
            config.trainer.logger = False  # results of an evaluation are printed and do not begin a new run

    def instantiate_classes(self) -> None:
        """Makes the model, the data and the Trainer; or exports or continues a text, which needs none of them."""
        config = self.config[self.subcommand]
        if self.subcommand == "export":
            exported = export(config.ckpt_path, config.output, config.onnx)
            print(f"Exported: {', '.join(sorted(map(str, exported.iterdir())))}")
        elif self.subcommand == "predict" and config.prompt is not None:
            how = {name: config[name] for name in ("prompt", "length", "temperature", "top_k")}
            folder = runs.folder_of_predictions(self.checkpoint, config.name)
            print(f"Predictions: {write_continuation(config.ckpt_path, folder, **how)}")
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
            if self._writes_forecasts:
                config.forecasts.folder = folder
            else:
                callbacks.append(PredictionWriter(folder, config.arrays))
        trainer = super().instantiate_trainer(callbacks=callbacks, **kwargs)
        save_atomically(trainer, config.trainer.plugins)
        return trainer

    def after_instantiate_classes(self) -> None:
        """Refuses a model that is untrained or does not match the data."""
        if self.subcommand is None:
            return
        if self.subcommand != "fit" and self.checkpoint is None and getattr(self.model, "fresh_head", False):
            raise ArgumentError(
                f"{self.subcommand}: model.weights have no head of this size, so it is untrained: fit first"
            )
        if isinstance(self.datamodule, SequenceDataModule):
            self.datamodule.check_model(self.model)
        self.config_init[self.subcommand].forecasts.check(self.model, self.datamodule, self.subcommand)

    def before_fit(self) -> None:
        """Makes the loggers choose their folders, as processes spawned later would choose other folders for a test."""
        for logger in self.trainer.loggers:
            if isinstance(logger, runs.FOLDERS):
                _ = logger.version  # a logger remembers it

    def after_fit(self) -> None:
        """Tests the best checkpoint, and prints how to view the run."""
        if not self.config_init[self.subcommand].trainer.fast_dev_run and not self.trainer.interrupted:
            after_fit(self.trainer, self.model, self.datamodule)

    def before_predict(self) -> None:
        """Sets how far predictions continue beyond the data."""
        if not any(is_overridden(name, self.model, LightningModule) for name in ("predict_step", "forward")):
            raise ArgumentError(f"predict: {type(self.model).__name__} has neither predict_step nor forward: write one")
        config = self.config_init[self.subcommand]
        if self._writes_forecasts:
            if config.arrays:
                raise ArgumentError("--arrays: the forecasts of a TimeSeries are a table only: leave it out")
            config.forecasts.horizon = config.horizon or self.datamodule.horizon
            check_future(self.datamodule, config.forecasts.horizon)
        elif config.horizon:
            if not isinstance(self.model, SequenceModule):
                raise ArgumentError(
                    f"--horizon={config.horizon}: {type(self.model).__name__} makes no forecasts: leave it out"
                )
            self.model.check_forecast()
            self.model.horizon = config.horizon

    @property
    def _writes_forecasts(self) -> bool:
        """Whether `predict` writes the files of `Forecasts`, instead of what the model's `predict_step` returns."""
        return isinstance(self.datamodule, TimeSeries) and isinstance(self.model, Seq2Seq)

    def after_predict(self) -> None:
        """Prints where the predictions are."""
        for callback in self.trainer.callbacks:  # type: ignore[attr-defined]
            if isinstance(callback, (PredictionWriter, Forecasts)) and callback.paths:
                print(f"Predictions: {', '.join(map(str, callback.paths))}")
        if self.checkpoint is not None and "://" in self.checkpoint:
            print(f"They are on this machine; their run is {runs.run_folder(self.checkpoint)}")


def _for_another_cell(model: Namespace) -> dict[str, Any]:
    """Overrides a recipe's nonlinearity, which is for its own cell, if the model has a cell with none to choose."""
    arguments = model.get("init_args", {})
    ours = issubclass(class_of(model.class_path), SequenceModule) and "nonlinearity" in arguments
    if not ours or arguments.get("cell", "rnn") == "rnn":
        return {}
    return {"class_path": model.class_path, "init_args": {"nonlinearity": "tanh"}}
