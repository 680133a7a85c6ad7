"""The plan of `reproduction.yaml`: which fits there are, and the results that lie in `docs/reproduction.json`."""

import itertools
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "docs" / "reproduction.json"
PLAN: dict[str, Any] = yaml.safe_load(Path(__file__).with_name("reproduction.yaml").read_text())
OWN_DATA = ("chars", "words", "arrays", "series")
"""Recipes for your own files: what they reach is measured by scripts of their own, see `own_data.py`."""

Result = dict[str, Any]


@dataclass(frozen=True)
class Run:
    """One fit by the command line: a system, and its seed.

    Attributes:
        name: Of the system.
        seed: What `seed_everything` gets.
        arguments: What is typed after `fit`.
        predicts: Whether its predictions are kept, to be drawn.
        full: Whether it is left to `--full`.
    """

    name: str
    seed: int
    arguments: tuple[str, ...]
    predicts: bool = False
    full: bool = False

    @property
    def key(self) -> str:
        """Under which its result is kept."""
        return f"{self.name}/{self.seed}"

    @property
    def mnist(self) -> bool:
        """Whether it reads MNIST."""
        return "=mnist" in self.arguments[0]


def combinations(group: dict[str, Any], axes: list[str] | None = None) -> Iterator[dict[str, Any]]:
    """The words of every combination of a group's axes, and under `arguments` what the entries add to the command."""
    axes = list(group["axes"]) if axes is None else axes
    for keys in itertools.product(*(group["axes"][axis] for axis in axes)):
        words: dict[str, Any] = {"arguments": []}
        for axis, key in zip(axes, keys, strict=True):
            entry = group["axes"][axis][key]
            more = words["arguments"] + entry.get("arguments", [])
            words |= {axis: key, **entry, "arguments": more}
        yield words


def plan(full: bool = True) -> list[Run]:
    """All runs, seed by seed; without `full` those of the first seed that are not left to it."""
    runs = []
    for seed in PLAN["seeds"]:
        for group in PLAN["systems"]:
            for words in combinations(group):
                arguments = (Template(text).substitute(words) for text in group["arguments"] + words["arguments"])
                left = words.get("full", False) or seed != PLAN["seeds"][0]
                name = Template(group["name"]).substitute(words)
                runs.append(Run(name, seed, tuple(arguments), words.get("predicts", False), left))
    return [run for run in runs if full or not run.full]


def load(path: Path = RESULTS) -> dict[str, Any]:
    """The results so far, or none: `machines`, and `runs` by name and seed."""
    try:
        return json.loads(path.read_text()) if path.exists() else {"machines": [], "runs": {}}
    except (OSError, ValueError) as error:
        sys.exit(f"error: cannot read the results in {path} ({error}): mend or delete it")


def dump(state: dict[str, Any]) -> str:
    """The results as JSON, a fit a line."""
    runs = ",\n".join(f"  {json.dumps(key)}: {json.dumps(state['runs'][key])}" for key in sorted(state["runs"]))
    return f'{{\n "machines": {json.dumps(state["machines"])},\n "runs": {{\n{runs}\n }}\n}}\n'


def result_of(state: dict[str, Any], run: Run) -> Result | None:
    """The result of a run, if there is one of the same arguments."""
    result: Result | None = state["runs"].get(run.key)
    return result if result is not None and result["arguments"] == list(run.arguments) else None
