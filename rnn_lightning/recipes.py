"""The recipes in the package: each is a YAML file in `configs/`, named on the command line without the suffix."""

from importlib.resources import files
from pathlib import Path
from typing import Any

import fsspec

from rnn_lightning.errors import ArgumentError


def recipes() -> dict[str, Path]:
    """Returns the paths of the shipped recipes by name."""
    folder = Path(str(files("rnn_lightning") / "configs"))
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def recipe_or_file(config: str) -> str:
    """Resolves a `--config`: returns a file's path, the text at a URL, or the path of the recipe with this name.

    JSON is returned unchanged.

    Raises:
        ArgumentError: There is no such file and no such recipe, or the file is not text.
    """
    if config.startswith("{"):
        return config
    if Path(config).is_file():
        try:
            Path(config).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ArgumentError(f"--config {config} cannot be read ({error}): save it as UTF-8") from error
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


READERS = {".csv": "series", ".tsv": "series", ".parquet": "series", ".pq": "series", ".npz": "arrays", ".txt": "chars"}
"""For each suffix of a data file, the recipe that reads such files."""


def check_data(arguments: list[str]) -> None:
    """Raises an error if `--data` is a data file; the error names the recipe that reads it.

    Args:
        arguments: The typed arguments.

    Raises:
        ArgumentError: The value of `--data` is a data file.
    """
    pairs: list[Any] = [argument.partition("=")[::2] for argument in arguments]
    for (name, value), after in zip(pairs, [*arguments, ""][1:], strict=True):
        file = value or after
        suffix = Path(file).suffix
        recipe = READERS.get(suffix.lower()) if suffix in (suffix.lower(), suffix.upper()) else None  # not my_data.Csv
        if name == "--data" and recipe is not None:
            raise ArgumentError(
                f"--data takes a DataModule: to read this file, use --config {recipe} --data.path {file}"
            )
