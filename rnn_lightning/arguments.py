"""The command line's arguments as a list, and what is put between the recipe and what was typed."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rnn_lightning.runs import run_folder

_CONFIG = re.compile(r"-c|--co(n(f(ig?)?)?)?")  # argparse takes abbreviations, too


class Arguments(list[str]):
    """Arguments as they were typed, subcommand first."""

    def configs_first(self) -> "Arguments":
        """With all `--config FILE` right after the subcommand, so that what is typed holds wherever it stands."""
        configs, others = [], []
        rest = iter(self[1:])
        for argument in rest:
            option, equals, value = argument.partition("=")
            if _CONFIG.fullmatch(option):
                configs += ["--config", value if equals else next(rest, "")]
            elif re.match(r"-c[^=]", argument):  # -cFILE
                configs += ["--config", argument[2:]]
            else:
                others.append(argument)
        return Arguments([*self[:1], *configs, *others]) if self and not self[0].startswith("-") else self

    def with_config_of_run(self) -> "Arguments":
        """With the configuration of the checkpoint's own run, if a checkpoint but no configuration was given."""
        checkpoint = self._value("--ckpt_path")
        if checkpoint is None or self._after_configs() > 0:
            return self
        config = run_folder(Path(checkpoint)) / "config.yaml"
        return Arguments([self[0], "--config", str(config), *self[1:]]) if config.is_file() else self

    def with_network(self, network: Mapping[str, Any]) -> "Arguments":
        """With a checkpoint's arguments of the network: they replace a recipe's, and what was typed replaces them."""
        place = max(self._after_configs(), 1)
        values = [f"--model.init_args.{name}={_plain(value)}" for name, value in network.items()]
        return Arguments([*self[:place], *values, *self[place:]])

    def _value(self, option: str) -> str | None:
        for i, argument in enumerate(self):
            if argument == option and i + 1 < len(self):
                return self[i + 1]
            if argument.startswith(f"{option}="):
                return argument.partition("=")[2]
        return None

    def _after_configs(self) -> int:
        """The place after the last `--config FILE`, or 0 if there is none."""
        place = 0
        for i, argument in enumerate(self):
            if argument == "--config":
                place = i + 2
        return place


def _plain(value: Any) -> str:
    """A value as YAML has it on one line: JSON is YAML, and a name needs no quotes."""
    return value if isinstance(value, str) else json.dumps(value, default=str)
