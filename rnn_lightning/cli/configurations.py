"""How configurations are read and written: as YAML, in a file or, by `inline`, on one line."""

import math
import re
from typing import Any

import torch
import yaml
from jsonargparse import get_loader, set_dumper, set_loader
from jsonargparse.typing import register_type


def inline(content: dict[str, Any]) -> str:
    """Returns content as a `--config` on one line; values that are not plain are written as text."""
    return yaml.dump(content, Dumper=_Inline, default_flow_style=True, width=math.inf)


def _written(content: dict[str, Any]) -> str:
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

_load_yaml = get_loader("yaml")
# jsonargparse passes the null of a nested argument (`--model.tbptt.k2=null`) as the text "None".
set_loader("yaml", lambda text: None if text == "None" else _load_yaml(text), (yaml.YAMLError,))
set_dumper("yaml", _written)

# A loss's weights are lists in YAML.
register_type(
    torch.Tensor,
    serializer=torch.Tensor.tolist,
    deserializer=lambda values: torch.tensor(values, dtype=torch.get_default_dtype()),
    type_check=lambda value, type_: isinstance(value, type_),
)
