"""The recipes that ship with the package: one YAML file each in `configs/`, named on the command line without suffix."""

from importlib.resources import files
from pathlib import Path
from typing import Any

from jsonargparse import ActionConfigFile


def recipes() -> dict[str, Path]:
    """The shipped recipes by name."""
    folder = Path(str(files("rnn_lightning") / "configs"))
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


class RecipeOrFile(ActionConfigFile):
    """`--config`: a YAML file, or the name of a shipped recipe; a file of that name wins."""

    def __call__(self, parser: Any, cfg: Any, values: Any, option_string: str | None = None) -> None:
        """Turns a recipe's name into its path and reads it."""
        if isinstance(values, str) and not Path(values).is_file():
            known = recipes()
            if values not in known:
                parser.error(
                    f"--config {values}: there is no such file and no such recipe; the recipes are {', '.join(known)}"
                )
            values = str(known[values])
        super().__call__(parser, cfg, values, option_string)
