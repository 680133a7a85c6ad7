"""Reads the plan of fits from `reproduction.yaml`, and their results from `docs/reproduction.json`."""

import hashlib
import itertools
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from string import Template
from typing import Any

import yaml

from rnn_lightning.recipes import recipes

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "docs" / "reproduction.json"
OWN_RESULTS = ROOT / "docs" / "own_data.json"
"""Results of `own_data.py`, by name and seed."""
PLAN: dict[str, Any] = yaml.safe_load(Path(__file__).with_name("reproduction.yaml").read_text())
OWN_DATA = ("chars", "words", "arrays", "series")
"""Recipes for your own files, which `own_data.py` measures."""

Result = dict[str, Any]


@dataclass(frozen=True)
class Run:
    """One fit on the command line: a system and a seed.

    Attributes:
        name: The system's name.
        seed: The value of `seed_everything`.
        arguments: The arguments after `fit`; `--config=RECIPE` comes first.
        predicts: Whether the predictions are kept for a figure.
        full: Whether the fit only runs with `--full`.
        group: The name of the system's group in `reproduction.yaml`.
    """

    name: str
    seed: int
    arguments: tuple[str, ...]
    predicts: bool = False
    full: bool = False
    group: str = ""

    @property
    def key(self) -> str:
        """The key of the run's result."""
        return f"{self.name}/{self.seed}"

    @property
    def recipe(self) -> dict[str, Any]:
        """The content of the run's recipe."""
        return recipe_values(self.arguments[0].removeprefix("--config="))

    @property
    def settings(self) -> str:
        """A digest of all settings, from the recipe and the arguments. A result counts only for the same settings."""
        text = json.dumps([self.recipe, self.arguments], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    @property
    def mnist(self) -> bool:
        """Whether the run reads MNIST."""
        return str(self.recipe["data"]["class_path"]).endswith("SequenceMNIST")


@cache
def recipe_values(name: str) -> dict[str, Any]:
    """The content of a shipped recipe, without the seed, which the plan chooses."""
    values: dict[str, Any] = yaml.safe_load(recipes()[name].read_text())
    return {key: value for key, value in values.items() if key != "seed_everything"}


def combinations(group: dict[str, Any], axes: list[str] | None = None) -> Iterator[dict[str, Any]]:
    """Yields the words of every combination of a group's axes; `arguments` has the entries' additional arguments."""
    axes = list(group["axes"]) if axes is None else axes
    for keys in itertools.product(*(group["axes"][axis] for axis in axes)):
        words: dict[str, Any] = {"arguments": []}
        for axis, key in zip(axes, keys, strict=True):
            entry = group["axes"][axis][key]
            more = words["arguments"] + entry.get("arguments", [])
            words |= {axis: key, **entry, "arguments": more}
        yield words


@cache
def plan(full: bool = True) -> tuple[Run, ...]:
    """Returns all runs, seed by seed; without `full`, only those that do not need `--full`."""
    runs = []
    for seed in PLAN["seeds"]:
        for group in PLAN["systems"]:
            for words in combinations(group):
                needs_full = group.get("full", False) or words.get("full", False)
                if seed in PLAN["seeds"][: group.get("seeds")] and (full or not needs_full):
                    name = Template(group["name"]).substitute(words)
                    arguments = (Template(text).substitute(words) for text in group["arguments"] + words["arguments"])
                    predicts = words.get("predicts", False)
                    runs.append(Run(name, seed, tuple(arguments), predicts, needs_full, group["name"]))
    return tuple(runs)


def load(path: Path = RESULTS) -> dict[str, Any]:
    """Returns the results so far, if any: `machines`, and `runs` by name and seed."""
    try:
        return json.loads(path.read_text()) if path.exists() else {"machines": [], "runs": {}}
    except (OSError, ValueError) as error:
        sys.exit(f"error: cannot read the results in {path} ({error}): correct or delete it")


def load_own() -> dict[str, Result]:
    """Returns the results of `own_data.py` so far, if any."""
    found: dict[str, Result] = json.loads(OWN_RESULTS.read_text()) if OWN_RESULTS.is_file() else {}
    return found


def lines(results: dict[str, Result], indent: str) -> str:
    """Returns results as JSON, one fit per line."""
    return ",\n".join(f"{indent}{json.dumps(key)}: {json.dumps(results[key])}" for key in sorted(results))


def dump(state: dict[str, Any]) -> str:
    """Returns the results as JSON."""
    return f'{{\n "machines": {json.dumps(state["machines"])},\n "runs": {{\n{lines(state["runs"], "  ")}\n }}\n}}\n'


def result_of(state: dict[str, Any], run: Run) -> Result | None:
    """Returns the result of a run, if there is one with the same settings."""
    result: Result | None = state["runs"].get(run.key)
    return result if result is not None and result["settings"] == run.settings else None
