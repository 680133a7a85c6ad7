"""The recipes that ship with the package: one YAML file each in `configs/`, named on the command line without suffix."""

from importlib.resources import files
from pathlib import Path

import fsspec

from rnn_lightning.errors import ArgumentError


def recipes() -> dict[str, Path]:
    """The shipped recipes by name."""
    folder = Path(str(files("rnn_lightning") / "configs"))
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def recipe_or_file(config: str) -> str:
    """What `--config` means: a file, the text of one that is given by a URL, else the recipe of this name.

    JSON stays as it is.

    Raises:
        ArgumentError: There is no such file and no such recipe.
    """
    if config.startswith("{") or Path(config).is_file():
        return config
    if "://" in config:
        try:
            with fsspec.open(config, "rt", encoding="utf-8") as file:
                return file.read()
        except (OSError, ValueError) as error:  # a ValueError: no such protocol
            raise ArgumentError(f"--config {config} cannot be read ({error})") from error
    known = recipes()
    if config not in known:
        raise ArgumentError(
            f"--config {config}: there is no such file and no such recipe; the recipes are {', '.join(known)}"
        )
    return str(known[config])
