"""The recipes in the package: each is a YAML file in `configs/`, named on the command line without the suffix."""

from pathlib import Path

from rnn_lightning.errors import ArgumentError
from rnn_lightning.files import file_system


def recipes() -> dict[str, Path]:
    """Returns the paths of the shipped recipes by name."""
    return {path.stem: path for path in sorted(Path(__file__).with_name("configs").glob("*.yaml"))}


def recipe_or_file(config: str) -> str:
    """Resolves a `--config`: returns a file's path, the text at a URL, or the path of the recipe with this name.

    JSON is returned unchanged.

    Raises:
        ArgumentError: There is no such file and no such recipe, or the file is not text.
    """
    if config.startswith("{"):
        return config
    if "://" in config or Path(config).is_file():
        files, place = file_system(config)
        try:
            text = files.read_text(place, encoding="utf-8")
        except (OSError, UnicodeError) as error:
            raise ArgumentError(f"--config {config} cannot be read ({error}): give a file of text, in UTF-8") from error
        return text if "://" in config else config  # jsonargparse does not read all URLs
    known = recipes()
    if config not in known:
        raise ArgumentError(
            f"--config {config}: there is no such file and no such recipe; the recipes are {', '.join(known)}"
        )
    return str(known[config])


READERS = {".csv": "series", ".tsv": "series", ".parquet": "series", ".pq": "series", ".npz": "arrays", ".txt": "chars"}
"""For each suffix of a data file, the recipe that reads such files."""


def check_data(value: str | None) -> None:
    """Raises `ArgumentError` if the value typed as `--data` is a data file; the error names the recipe that reads it."""
    suffix = Path(value or "").suffix
    if suffix in (suffix.lower(), suffix.upper()) and (recipe := READERS.get(suffix.lower())):  # not my_data.Csv
        raise ArgumentError(f"--data takes a DataModule: to read this file, use --config {recipe} --data.path {value}")
