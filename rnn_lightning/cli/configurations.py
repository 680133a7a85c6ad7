"""`content_of` merges several configurations, without defaults; `inline` and `written` turn content into text."""

import math
import re
from collections.abc import Sequence
from typing import Any

import yaml

from rnn_lightning.recipes import recipe_or_file


def content_of(configs: Sequence[str]) -> dict[str, Any]:
    """Returns the content of all `--config`s, where later files override earlier ones."""
    content: dict[str, Any] = {}
    for config in configs:
        _merge(content, _read(config))
    return content


def inline(content: dict[str, Any]) -> str:
    """Returns content as a `--config` on one line; values that are not plain are written as text."""
    return yaml.dump(content, Dumper=_Inline, default_flow_style=True, width=math.inf)


def written(content: dict[str, Any]) -> str:
    """Returns content as the text of a configuration file."""
    return yaml.dump(content, Dumper=_Written, default_flow_style=False, allow_unicode=True, sort_keys=False)


class _Written(yaml.SafeDumper):
    """Quotes texts such as "1e3", which are texts in YAML 1.1, but numbers to the parser."""


_Written.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?[0-9][0-9_]*(\.[0-9_]*)?[eE][-+]?[0-9]+$"), list("-+0123456789")
)


class _Inline(yaml.SafeDumper):
    """Writes YAML with all strings quoted, as an unquoted "1e3" may be read as a number. JSON could not hold infinity."""

    def ignore_aliases(self, data: Any) -> bool:
        """Always true: a repeated value is written out again."""
        return True


def _quoted(dumper: yaml.SafeDumper, value: Any) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", str(value), style='"')


_Inline.add_representer(str, _quoted)
_Inline.add_multi_representer(object, _quoted)


def _read(config: str) -> Any:
    """Returns the content of a `--config`, or None if it is unreadable, which the parser reports."""
    found = recipe_or_file(config)
    try:
        if found != config or not config.startswith("{"):
            with open(found, encoding="utf-8") as file:
                found = file.read()
        return yaml.safe_load(found)
    except (OSError, yaml.YAMLError):
        return None


def _merge(into: dict[str, Any], other: Any) -> None:
    for key, value in other.items() if isinstance(other, dict) else ():
        if key == "model" and isinstance(value, str):
            value = {"class_path": value}
        if isinstance(value, dict) and isinstance(into.get(key), dict):
            _merge(into[key], value)
        else:
            into[key] = value
