"""Fills the tables of README, docs, recipes and model cards from the results.

    python scripts/tables.py            # writes them
    python scripts/tables.py --check    # only lists the files that are not up to date

In Markdown, a table is between `<!-- table NAME -->` and `<!-- end -->`; a recipe has a comment `# Measured: ...`.
The figures come from `docs/reproduction.json`, `docs/own_data.json`, and the JSON files beside the weights.
"""

import argparse
import json
import re
import statistics
import sys
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from string import Template
from typing import Any

import yaml
from plan import PLAN, RESULTS, ROOT, Result, Run, combinations, load, load_own, plan, result_of
from speed_table import speed_table

from rnn_lightning.files import write_atomically
from rnn_lightning.recipes import recipes
from rnn_lightning.saved import shipped

PAGES = (
    *("README.md", "docs/reproduction.md", "docs/how_to/trained_networks.md", "docs/reference/recipes.md"),
    *("docs/text.md", "docs/arrays.md", "docs/time_series.md"),
)
"""Pages whose tables are filled in here."""
SPEED = "docs/performance.md"
FORMS = {"seconds": ".0f", "window": ".3f", "milliseconds": ".1f", "best": ".4f"}
"""The formats of some metrics. Losses and accuracies have four digits."""
METRICS = {"acc": "accuracy", "mse": "MSE"}


NOTHING = ("not run", "")
"""The contents of a cell without a figure."""


def markdown(head: Iterable[Any], rows: Iterable[Iterable[Any]]) -> str:
    """Returns a Markdown table, without the columns that have no figure."""
    columns = list(head)
    lines = [list(map(str, row)) for row in rows]
    kept = [i for i in range(len(columns)) if any(line[i] not in NOTHING for line in lines)]
    chosen = [[line[i] for i in kept] for line in ([*map(str, columns)], ["---"] * len(columns), *lines)]
    return "\n".join(f"| {' | '.join(line)} |" for line in chosen)


def spread(values: list[float], form: str) -> str:
    """Returns the mean, followed by the range if values differ."""
    mean, low, high = (f"{number:{form}}" for number in (statistics.fmean(values), min(values), max(values)))
    return mean if low == high else f"{mean} ({low} to {high})"


# Results of fits.


def value(result: Result, metric: str) -> float | None:
    """Returns one number of a result, or None if the result lacks it. `reproduction.yaml` lists the metrics."""
    if metric.startswith("test/"):
        return result["test"].get(metric)
    if metric.startswith("val/"):
        name, epoch = metric.split("@")
        return result["validation"][name][int(epoch) - (int(epoch) > 0)]
    if metric == "window":
        pairs = zip(result["predictions"]["y"], result["predictions"]["prediction"], strict=True)
        return statistics.fmean((y - prediction) ** 2 for y, prediction in pairs)
    if metric == "best":
        return float(min(result["validation"]["val/loss"]))
    if metric == "megabytes":
        return result["kept"] / 1e6 if "kept" in result else None
    if "<" in metric:
        name, bound = metric.split("<")
        values = result["validation"][{"batches": "val/loss", "right": "val/largest_error"}[name]]
        first = next((i for i, loss in enumerate(values) if loss < float(bound)), None)
        return None if first is None else (first + 1) / len(values) * result["batches"]
    return float(result[metric]) if metric in result else None


class Figures:
    """Looks up figures in the results, by system and metric."""

    def __init__(self, state: dict[str, Any]) -> None:
        self.state = state
        self.results: dict[str, list[Result]] = {}
        for run in plan():
            result = result_of(state, run)
            self.results.setdefault(run.name, []).extend([] if result is None else [result])
        for key, result in sorted(load_own().items()):
            self.results.setdefault(key.rpartition("/")[0], []).append(result)

    def show(self, name: str, metric: str, form: str = "") -> str:
        """Returns the mean over the seeds and the range, or why there is no figure."""
        found = self.results.get(name, [])
        if metric == "seeds":
            return str(len(found)) if found else "not run"
        done = [result for result in found if "error" not in result]
        if not done:
            return "diverged" if found else "not run"
        form = form or FORMS.get(metric, ".4f" if "/" in metric else ",.0f")
        values = [number for number in (value(result, metric) for result in done) if number is not None]
        if not values:
            return "not solved" if "<" in metric else ""
        some = f", {len(values)} of {len(found)} seeds" if len(values) < len(found) else ""
        return spread(values, form) + some

    def expand(self, text: Any) -> str:
        """Returns text with every `{=SYSTEM METRIC FORMAT}` filled in."""
        return re.sub(r"\{=([^}]+)\}", lambda match: self.show(*match[1].split()), str(text))

    def rows(self, rows: list[Any]) -> Iterator[list[str]]:
        """Yields the rows of a table in `reproduction.yaml`."""
        for row in rows:
            if isinstance(row, list):
                yield [self.expand(cell) for cell in row]
                continue
            (group,) = (group for group in PLAN["systems"] if group["name"] == row["of"])
            for words in combinations(group, row["each"]):
                yield [self.expand(Template(cell).substitute(words | row.get("with", {}))) for cell in row["cells"]]

    def table(self, name: str) -> str:
        """Returns a table of `reproduction.yaml`, without systems that were not run, which the table `run` names."""
        spec = PLAN["tables"][name]
        lines = list(self.rows(spec["rows"]))
        kept = [line for line in lines if "not run" not in line]
        return markdown(spec["head"], kept) if len(kept) > spec.get("constant", 0) else "Not run yet."

    def printed(self, name: str) -> str:
        """Returns what a fit on your own file printed at the end, for the first seed."""
        return f"```\n{self.results[name][0]['printed']}\n```"

    def run(self) -> str:
        """Returns a table of fits by kind: how many were run, with which seeds, how long they took, what is missing."""
        planned: dict[str, list[Run]] = {}
        for run in plan():
            planned.setdefault(run.group, []).append(run)
        rows: list[tuple[Any, ...]] = []
        seconds = 0.0
        for group in PLAN["systems"]:
            runs = planned[group["name"]]
            done = [run for run in runs if result_of(self.state, run)]
            names = {run.name for run in runs} - {run.name for run in done}
            took = sum(self.state["runs"][run.key]["whole"] for run in done)
            seconds += took
            per_seed = [sum(run.seed == seed for run in done) for seed in PLAN["seeds"]]
            systems = len({run.name for run in runs})
            left = ", ".join(f"`{name}`" for name in sorted(names)) if len(names) < 4 else f"{len(names)} systems"
            counts = (len(done), len(runs), systems, " / ".join(map(str, per_seed)))
            rows.append((group["what"], *counts, f"{took / 60:.1f}", left or "-"))
        sums = [sum(int(row[i]) for row in rows) for i in (1, 2, 3)]
        rows.append(("together", *sums, "", f"{seconds / 60:.1f}", ""))
        head = ("what", "fits", "of", "systems", "by seed", "minutes", "of which no fit was run")
        return markdown(head, rows)

    def facts(self) -> str:
        """Lists the machines and commits with which the fits ran."""
        lines = []
        done = [self.state["runs"][run.key] for run in plan() if result_of(self.state, run)]
        for code, machine in sorted({(result["code"], result["machine"]) for result in done}):
            those = [result for result in done if (result["code"], result["machine"]) == (code, machine)]
            dates = sorted({result["date"] for result in those})
            about = ", ".join(f"{key} {value}" for key, value in self.state["machines"][machine].items())
            when = dates[0] if len(dates) == 1 else f"{dates[0]} to {dates[-1]}"
            lines.append(f"- {len(those)} fits by commit {code} ({when}): {about}.")
        return "\n".join(lines)

    def promise(self, recipe: str) -> str:
        """Returns the result of a recipe, as text."""
        return self.expand(PLAN["recipes"][recipe][1])


# Trained networks.


def description(path: Path) -> dict[str, Any]:
    """Returns the JSON beside some weights, with `tests` (all seeds), `test` (the shipped network) and `unit`."""
    found: dict[str, Any] = json.loads(path.read_text())
    training = found["training"]
    tests = [run["test"] for run in training["runs"].values()]
    size = path.with_name(found["weights"]).stat().st_size
    test = training["runs"][str(training["seed"])]["test"]
    return {**found, "tests": tests, "test": test, "unit": METRICS[training["metric"]], "size": size}


def weights_table(paths: Iterable[Path]) -> str:
    """Returns the table of the trained networks."""
    rows = []
    for path in paths:
        found = description(path)
        summary = path.with_suffix(".md").read_text().splitlines()[2].rstrip(".")
        rows.append((f"`{path.stem}`", summary, f"{found['unit']} {found['test']:.4f}", spread(found["tests"], ".4f")))
    return markdown(("entry", "what it is", "on the test set", "mean over 3 seeds (range)"), rows)


def card_tables(path: Path) -> dict[str, Callable[[], str]]:
    """Returns the tables of a model card, by name."""
    found = description(path)
    training = found["training"]
    versions = ", ".join(f"{name} {version}" for name, version in training["versions"].items())
    typed = " \\\n  ".join(
        [f"--config {training['recipe']} --seed_everything {training['seed']}", *training["arguments"]]
    )
    figures = [
        (f"test {found['unit']}", f"{found['test']:.4f}"),
        (f"over {len(found['tests'])} seeds", spread(found["tests"], ".4f")),
        ("weights", f"`{found['weights']}`, {found['size']} bytes"),
        ("SHA-256", f"`{found['sha256']}`"),
        ("licence", "Apache-2.0, like the package"),
        ("trained with", versions),
    ]
    runs = [
        (seed, f"{run['val_loss']:.5f}", f"{run['test']:.4f}", "shipped" if seed == str(training["seed"]) else " ")
        for seed, run in training["runs"].items()
    ]
    return {
        "figures": lambda: markdown((" ", " "), figures),
        "command": lambda: f"```sh\npython -m rnn_lightning fit {typed}\n```",
        "seeds": lambda: markdown(("seed", "validation loss", f"test {found['unit']}", " "), runs),
    }


# Recipes.


def settings_table() -> str:
    """Returns a table of what every recipe trains, and on which data."""
    rows = []
    for name, path in sorted(recipes().items()):
        recipe = yaml.safe_load(path.read_text())
        model, data = (recipe[key] for key in ("model", "data"))
        options = model["init_args"]
        words = [options.get("cell", "rnn"), f"{options.get('num_layers', 1)}x{options.get('hidden_size', 128)}"]
        words += [
            f"{key} {options[key]}" for key in ("input_dropout", "output_dropout", "state_dropout") if key in options
        ]
        tbptt = options.get("tbptt")
        words += [f"k1 {tbptt['k1']}, k2 {tbptt.get('k2') or tbptt['k1']}"] if tbptt else []
        words += ["carried state"] if options.get("carry_state") else []
        classes = (f"`{part['class_path']}`" for part in (model, data))
        rows.append((f"`{name}`", *classes, ", ".join(words), recipe["trainer"]["max_epochs"]))
    return markdown(("recipe", "model", "data", "network", "epochs"), rows)


# Files.


def fill(text: str, tables: dict[str, Callable[[], str]]) -> str:
    """Returns a Markdown text in which the given tables are replaced and all others are kept."""

    def made(match: re.Match[str]) -> str:
        return f"{match[1]}{tables[match[2]]()}\n{match[3]}" if match[2] in tables else match[0]

    return re.sub(r"(<!-- table (\w+) -->\n).*?\n?(<!-- end -->)", made, text, flags=re.S)


def filled(root: Path = ROOT, results: Path = RESULTS) -> Iterator[tuple[Path, str]]:
    """Yields every file that has tables, with the text that the file should have."""
    figures = Figures(load(results))
    rows = [(f"`{name}`", words, figures.promise(name)) for name, (words, _) in PLAN["recipes"].items()]
    tables: dict[str, Callable[[], str]] = {
        "recipes": lambda: markdown(("recipe", "what it shows", "measured"), rows),
        "settings": settings_table,
        "weights": lambda: weights_table(shipped().values()),
        "facts": figures.facts,
        "speed": lambda: markdown(*speed_table((root / SPEED).read_text())),
        "run": figures.run,
        **{name: partial(figures.table, name) for name in PLAN["tables"]},
        **{f"printed_{name}": partial(figures.printed, f"series/{name}") for name in ("co2", "temps")},
    }
    for name in PAGES:
        yield root / name, fill((root / name).read_text(), tables)
    for path in shipped().values():
        card = path.with_suffix(".md")
        yield card, fill(card.read_text(), card_tables(path))
    for name, path in recipes().items():
        yield path, re.sub(r"^# Measured: .*$", f"# Measured: {figures.promise(name)}.", path.read_text(), flags=re.M)


def fill_all() -> None:
    """Writes the files that are not up to date."""
    for path, text in filled():
        if path.read_text() != text:
            write_atomically(path, text)
            print(f"filled {path.relative_to(ROOT)}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; fail if a table is not up to date")
    if parser.parse_args().check:
        stale = [str(path.relative_to(ROOT)) for path, text in filled() if path.read_text() != text]
        sys.exit(f"not up to date: {', '.join(stale)}; run python scripts/tables.py" if stale else None)
    fill_all()
