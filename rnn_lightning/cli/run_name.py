"""Names a run after its configuration."""

import os
from pathlib import Path

from jsonargparse import Namespace

from rnn_lightning.errors import ArgumentError


def run_name(config: Namespace) -> str | None:
    """The run's name: `--name`, else the data's file, else the first `--config`, else the names of both classes.

    If an argument of the data is an existing file, its name replaces the name of the data's class.
    """
    if config.name is not None:
        check_name(config.name)
        return config.name
    arguments = config.data.get("init_args", {}) if config.get("data") else {}
    path = arguments.get("path")
    if isinstance(path, (str, Path)) and (name := name_of_file(path)) is not None:
        return name  # one of the user's files
    paths = [str(path) for path in config.get("config") or [] if path is not None]
    if paths:
        return Path(paths[0]).stem
    if not config.get("model") or not config.get("data"):
        return None
    file = next((Path(x).stem for x in arguments.values() if isinstance(x, str) and os.path.isfile(x)), None)
    return f"{config.model.class_path.rpartition('.')[2]}-{file or config.data.class_path.rpartition('.')[2]}"


def check_name(name: str) -> None:
    """Raises `ArgumentError` if a run's name would point outside the folder of all runs."""
    parts = name.replace("\\", "/").split("/")
    if not name or "://" in name or ":" in parts[0][1:2] or any(part in ("", ".", "..") for part in parts):
        raise ArgumentError(
            f"--name {name!r}: give a name such as small or team/small, without '..' and not an absolute path"
        )


def name_of_file(path: str | Path) -> str | None:
    """The run's name for a data file: the file's name without its suffixes, such as `.csv` and `.csv.gz`."""
    place = Path(path).expanduser()
    if place.name in ("", ".."):  # a folder such as `.`
        place = place.resolve()
    name = place.name
    for suffix in (".gz", ".dz"):
        name = name.removesuffix(suffix)
    return Path(name).stem or None if name else None
