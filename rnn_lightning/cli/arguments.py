"""The arguments that were typed on the command line: the configurations, and everything else."""

import argparse
import re
import sys
from dataclasses import dataclass, is_dataclass
from typing import Any, NoReturn

from jsonargparse import ActionConfigFile, Namespace
from lightning.pytorch.cli import LightningArgumentParser

from rnn_lightning.errors import is_of_import
from rnn_lightning.recipes import check_data, recipe_or_file
from rnn_lightning.runs import RUNS, config_of

_ADDED_LOGGER = re.compile(r"--trainer\.logger\+=(.+\.)?(CSVLogger|TensorBoardLogger)")


def fail(message: str) -> NoReturn:
    """Prints one line, `error: ...`, and exits with 2."""
    print(f"error: {' '.join(message.split())}", file=sys.stderr)
    sys.exit(2)


class Parser(LightningArgumentParser):
    """A parser that reports each error in one line."""

    commands: Any = None
    """The subcommands, once they are added."""

    _is_draft = False

    def draft(self, arguments: list[str], defaults: bool = True) -> Namespace:
        """Parses arguments of which some may be missing, with or without the defaults of the others."""
        self._is_draft = True
        try:
            return self.parse_args(arguments, defaults=defaults)
        finally:
            self._is_draft = False

    def validate(self, *args: Any, **kwargs: Any) -> None:
        """Checks the values, and that none is missing, unless this is a draft."""
        if not self._is_draft:
            super().validate(*args, **kwargs)

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Prints `error: ...` and exits with 2, or raises the error of a module of yours that can't be imported."""
        cause: BaseException | None = ex
        while cause is not None:
            if is_of_import(cause):
                raise cause from cause.__cause__
            cause = cause.__cause__ or cause.__context__
        if "not accepted before subcommand" in message:
            message += ": put the subcommand first, as in `fit --config RECIPE`"
        for name in self.commands.choices if self.commands else ():
            message = message.replace(f" {name}.", " ")  # an argument is typed without the subcommand's name
        fail(message)

    def add_subcommands(self, *args: Any, **kwargs: Any) -> Any:
        """Keeps a reference to the subcommands, so that more can be added."""
        self.commands = super().add_subcommands(*args, **kwargs)
        return self.commands


class RecipeOrFile(ActionConfigFile):
    """`--config`: a YAML file, the name of a shipped recipe (if there is no such file), or a mapping on one line."""

    def __call__(self, parser: Any, cfg: Any, values: Any, option_string: str | None = None) -> None:
        """Turns a recipe's name into its path and reads it."""
        super().__call__(parser, cfg, recipe_or_file(values), option_string)


class HelpOf(argparse.Action):
    """A flag that prints the arguments of one part of a model. jsonargparse has such flags only at the top level.

    Args:
        of: A dataclass, or the type of an argument that takes classes, one of which the flag then names.
        key: The prefix of the part's arguments on the command line, such as `model.tbptt`.
    """

    def __init__(self, *, of: Any, key: str, **options: Any) -> None:
        nargs = 0 if is_dataclass(of) else "?"
        super().__init__(nargs=nargs, **{**options, "dest": argparse.SUPPRESS, "default": argparse.SUPPRESS})
        self.of, self.key = of, key

    def __call__(self, parser: Any, namespace: Any, values: Any, option_string: str | None = None) -> NoReturn:
        """Prints the help and exits."""
        shown = Parser(description="", usage=argparse.SUPPRESS, add_help=False)
        if is_dataclass(self.of):
            shown.add_class_arguments(self.of, self.key)
        else:
            shown.add_argument(f"--{self.key}", type=self.of)
        if values:
            shown.parse_args([f"--{self.key}.help={values}"])
        shown.print_help()
        sys.exit(0)


@dataclass(frozen=True)
class Arguments:
    """The arguments that a user typed, split into parts.

    Attributes:
        subcommand: The subcommand, or nothing if there is an option in its place.
        configs: The `--config`s, in order; if there are none, the configuration of the checkpoint's own run.
        ckpt_path: The last `--ckpt_path`.
        others: All other arguments; `--data`, if it was typed, comes before the arguments of the data.
    """

    subcommand: list[str]
    configs: list[str]
    ckpt_path: str | None
    others: list[str]

    @classmethod
    def of(cls, arguments: list[str]) -> "Arguments":
        """Splits a list of typed arguments."""
        subcommand = arguments[:1] if arguments and not arguments[0].startswith("-") else []
        parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
        parser.error = fail  # type: ignore[method-assign]
        parser.add_argument("-c", "--config", action="append", default=[])
        parser.add_argument("--ckpt_path")
        parser.add_argument("--data")
        found, rest = parser.parse_known_args(arguments[len(subcommand) :])
        configs: list[str | None] = found.config or [config_of(found.ckpt_path) if found.ckpt_path else None]
        if configs == [None] and any(argument.startswith("--prompt") for argument in rest):
            configs = ["chars"]  # continuing a text needs only the network; the recipe's model and data are not made
        check_data(found.data)
        others = [] if found.data is None else [f"--data={found.data}"]
        for argument in rest:
            others.append(argument)
            if _ADDED_LOGGER.fullmatch(argument):  # it needs a folder; the user may type another one after it
                others.append(f"--trainer.logger.save_dir={RUNS}")
        return cls(subcommand, [config for config in configs if config is not None], found.ckpt_path, others)

    @property
    def typed_of_model(self) -> set[str]:
        """The names of the model's arguments that were typed."""
        return {
            found[1] for argument in self.others if (found := re.match(r"--model\.(?:init_args\.)?(\w+)", argument))
        }

    @property
    def of_recipe(self) -> list[str]:
        """The subcommand and the configurations only."""
        return [*self.subcommand, *(f"--config={config}" for config in self.configs)]

    def parsed_after(self, *configs: str) -> list[str]:
        """All arguments, configurations first, so that typed arguments override them wherever they were typed.

        Args:
            *configs: More configurations, which override the others but not typed arguments.
        """
        path = [] if self.ckpt_path is None else [f"--ckpt_path={self.ckpt_path}"]
        return [*self.of_recipe, *(f"--config={config}" for config in configs), *path, *self.others]
