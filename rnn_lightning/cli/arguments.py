"""The arguments that were typed on the command line: the configurations, and everything else."""

import argparse
import pkgutil
import re
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, is_dataclass, replace
from functools import cached_property
from typing import Any, NoReturn, get_type_hints

import torch
import yaml
from jsonargparse import ActionConfigFile, ArgumentParser, get_loader, set_dumper, set_loader
from jsonargparse.typing import register_type
from lightning.pytorch.cli import LightningArgumentParser

from rnn_lightning.cli.configurations import content_of, written
from rnn_lightning.recipes import recipe_or_file
from rnn_lightning.runs import BEST, LAST, RUNS, config_of, find_checkpoint

_load_yaml = get_loader("yaml")
# jsonargparse passes the null of a nested argument (`--model.tbptt.k2=null`) as the text "None".
set_loader("yaml", lambda text: None if text == "None" else _load_yaml(text), (yaml.YAMLError,))
set_dumper("yaml", written)

# A loss's weights are lists in YAML.
register_type(
    torch.Tensor,
    serializer=torch.Tensor.tolist,
    deserializer=lambda values: torch.tensor(values, dtype=torch.get_default_dtype()),
    type_check=lambda value, type_: isinstance(value, type_),
)


_ADDED_LOGGER = re.compile(r"--trainer\.logger\+=(.+\.)?(CSVLogger|TensorBoardLogger)")


def fail(message: str) -> NoReturn:
    """Prints one line, `error: ...`, and exits with 2."""
    print(f"error: {' '.join(message.split())}", file=sys.stderr)
    sys.exit(2)


def maker_of(class_path: str) -> Callable[..., Any]:
    """The callable that makes a configured object: its class, or a function or class method that returns the object."""
    return pkgutil.resolve_name(class_path)


def class_of(class_path: str) -> type:
    """The class of a configured object; `object` if a function has no return annotation."""
    maker = maker_of(class_path)
    if not isinstance(maker, type):
        with suppress(NameError, TypeError, AttributeError):  # types that only a type checker imports
            maker = get_type_hints(maker).get("return", object)
    return maker if isinstance(maker, type) else object


class Parser(LightningArgumentParser):
    """A parser that reports each error in one line."""

    commands: Any = None
    """The subcommands, once they are added."""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Prints `error: ...` and exits with 2."""
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
        shown = _Shown(usage=argparse.SUPPRESS, add_help=False)
        if is_dataclass(self.of):
            shown.add_class_arguments(self.of, self.key)
        else:
            shown.add_argument(f"--{self.key}", type=self.of)
        if values:
            shown.parse_args([f"--{self.key}.help={values}"])
        shown.print_help()
        sys.exit(0)


class _Shown(ArgumentParser):
    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        fail(message)


@dataclass(frozen=True)
class Arguments:
    """The arguments that a user typed, split into parts.

    Attributes:
        subcommand: The subcommand, or nothing if there is an option in its place.
        configs: The `--config`s, in order.
        ckpt_path: The last `--ckpt_path`.
        others: All other arguments, in order.
    """

    subcommand: list[str]
    configs: list[str]
    ckpt_path: str | None
    others: list[str]

    @classmethod
    def of(cls, arguments: list[str]) -> "Arguments":
        """Splits a list of typed arguments."""
        subcommand = arguments[:1] if arguments and not arguments[0].startswith("-") else []
        parser = _FirstParser(add_help=False, allow_abbrev=False)
        parser.add_argument("-c", "--config", action="append", default=[])
        parser.add_argument("--ckpt_path")
        found, others = parser.parse_known_args(arguments[len(subcommand) :])
        return cls(subcommand, found.config, found.ckpt_path, others)

    @cached_property
    def content(self) -> dict[str, Any]:
        """The merged content of the configurations, without defaults."""
        return content_of(self.configs)

    @property
    def typed_of_model(self) -> set[str]:
        """The names of the model's arguments that were typed."""
        return {
            found[1] for argument in self.others if (found := re.match(r"--model\.(?:init_args\.)?(\w+)", argument))
        }

    def last_of(self, option: str) -> str | None:
        """The last value that was typed for an option, as `--option=value` or `--option value`; None if there is none."""
        found = None
        for argument, after in zip(self.others, [*self.others[1:], None], strict=False):
            name, equals, value = argument.partition("=")
            if name == option:
                found = value if equals else after
        return found

    def with_config_of_run(self) -> "Arguments":
        """Adds the configuration of the checkpoint's own run, if a checkpoint but no configuration was given."""
        config = config_of(self.ckpt_path) if self.ckpt_path is not None and not self.configs else None
        if config is None and not self.configs and any(argument.startswith("--prompt") for argument in self.others):
            config = "chars"  # continuing a text needs only the network; the recipe's model and data are not made
        if config is None and self.ckpt_path is not None and not self._asks_for_help:
            given = self.ckpt_path in (BEST, LAST) and self._names_a_run
            if not (self.configs or given):
                find_checkpoint(self.ckpt_path, RUNS, None)  # raises an error if there is no such checkpoint
        return self if config is None else replace(self, configs=[config])

    @property
    def _asks_for_help(self) -> bool:
        return any(re.match(r"(-h|--help|--print_config|--(model|data).*\.help)\b", x) for x in self.others)

    @property
    def _names_a_run(self) -> bool:
        return any(x.startswith(("--model", "--data", "--name")) for x in self.others)

    def with_folders_of_loggers(self) -> "Arguments":
        """These arguments, with the folder of all runs for each logger that needs one, unless another was typed."""
        others: list[str] = []
        for argument in self.others:
            others += (
                [argument, f"--trainer.logger.save_dir={RUNS}"] if _ADDED_LOGGER.fullmatch(argument) else [argument]
            )
        return replace(self, others=others)

    def parsed_after(self, *configs: str) -> list[str]:
        """All arguments, configurations first, so that typed arguments override them wherever they were typed.

        Args:
            *configs: More configurations, which override the others but not typed arguments.
        """
        path = [] if self.ckpt_path is None else [f"--ckpt_path={self.ckpt_path}"]
        return [*self.subcommand, *(f"--config={config}" for config in (*self.configs, *configs)), *path, *self.others]


class _FirstParser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        fail(message)
