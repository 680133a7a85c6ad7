"""Fills the tables of README, docs, recipes and model cards from the results.

    python scripts/tables.py            # writes them
    python scripts/tables.py --check    # only lists the files that are not up to date

In Markdown, a table is between `<!-- table NAME -->` and `<!-- end -->`; a recipe has a comment `# Measured: ...`.
The figures come from `docs/reproduction.json`, `docs/own_data.json`, and the JSON files beside the weights.
"""

import argparse
import re
import statistics
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from string import Template
from typing import Any

import yaml
from model_cards import card_tables, weights_table
from pages import fill, markdown, spread
from plan import PLAN, RESULTS, ROOT, Result, combinations, load, load_own, plan, result_of

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
DROPOUTS = ("input_dropout", "output_dropout", "state_dropout")
LONG_STEPS = 1000
"""A case of the benchmark of layers with at least this many steps counts as a long stream."""


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
        rows: list[tuple[Any, ...]] = []
        for group in PLAN["systems"]:
            runs = [run for run in plan() if run.group == group["name"]]
            done = [run for run in runs if result_of(self.state, run)]
            names = {run.name for run in runs}
            missing = sorted(names - {run.name for run in done})
            left = f"{len(missing)} systems" if len(missing) > 3 else ", ".join(f"`{name}`" for name in missing) or "-"
            per_seed = " / ".join(str(sum(run.seed == seed for run in done)) for seed in PLAN["seeds"])
            minutes = sum(self.state["runs"][run.key]["whole"] for run in done) / 60
            rows.append((group["what"], len(done), len(runs), len(names), per_seed, minutes, left))
        fits, planned, systems, total = (sum(row[i] for row in rows) for i in (1, 2, 3, 5))
        rows.append(("together", fits, planned, systems, "", total, ""))
        head = ("what", "fits", "of", "systems", "by seed", "minutes", "of which no fit was run")
        return markdown(head, [(*row[:5], f"{row[5]:.1f}", row[6]) for row in rows])

    def facts(self) -> str:
        """Lists the machines and commits with which the fits ran."""
        dates = defaultdict(list)
        for run in plan():
            if (result := result_of(self.state, run)) is not None:
                dates[result["code"], result["machine"]].append(result["date"])
        lines = []
        for (code, machine), days in sorted(dates.items()):
            about = ", ".join(f"{key} {value}" for key, value in self.state["machines"][machine].items())
            when = " to ".join(sorted({min(days), max(days)}))
            lines.append(f"- {len(days)} fits by commit {code} ({when}): {about}.")
        return "\n".join(lines)

    def promise(self, recipe: str) -> str:
        """Returns the result of a recipe, as text."""
        return self.expand(PLAN["recipes"][recipe][1])


# Recipes.


def settings_table() -> str:
    """Returns a table of what every recipe trains, and on which data."""
    rows = []
    for name, path in recipes().items():
        recipe = yaml.safe_load(path.read_text())
        options, tbptt = recipe["model"]["init_args"], recipe["model"]["init_args"].get("tbptt")
        words = [options.get("cell", "rnn"), f"{options.get('num_layers', 1)}x{options.get('hidden_size', 128)}"]
        words += [f"{key} {options[key]}" for key in DROPOUTS if key in options]
        words += [f"k1 {tbptt['k1']}, k2 {tbptt.get('k2') or tbptt['k1']}"] if tbptt else []
        words += ["carried state"] if options.get("carry_state") else []
        classes = (f"`{recipe[part]['class_path']}`" for part in ("model", "data"))
        rows.append((f"`{name}`", *classes, ", ".join(words), recipe["trainer"]["max_epochs"]))
    return markdown(("recipe", "model", "data", "network", "epochs"), rows)


# Speed.


def speed_table(page: str) -> tuple[list[str], list[list[str]]]:
    """Returns head and rows of README's table: the range of torch.nn's time over ours, over shapes and processors.

    The ratios are those of the page's tables of layers, except the tables that were measured beside busy processes.
    """
    ratios = defaultdict(list)
    for table in re.findall(r"<!-- table layers(?!_beside)\w* -->\n(.*?)<!-- end -->", page, re.S):
        head, _, *rows = (line.strip("| ").split(" | ") for line in table.splitlines() if line.startswith("|"))
        for layer, *row in rows:
            cell, steps = layer.partition(",")[0].split(" (")
            ratios[cell, int(steps) >= LONG_STEPS].append(float(row[head.index("torch.nn / ours") - 1]))
    cells = [cell for cell in ("RNN", "GRU", "LSTM") if (cell, False) in ratios]
    return ["torch.nn's time / ours, forward and backward", *cells], [
        [kind, *(f"{min(ratios[cell, is_long]):.1f} to {max(ratios[cell, is_long]):.1f}" for cell in cells)]
        for kind, is_long in (("batches of sequences", False), ("long streams in small batches", True))
    ]


# Files.


def filled(root: Path = ROOT, results: Path = RESULTS) -> Iterator[tuple[Path, str]]:
    """Yields every file that has tables, with the text that the file should have."""
    figures = Figures(load(results))
    rows = [(f"`{name}`", words, figures.promise(name)) for name, (words, _) in PLAN["recipes"].items()]
    tables = {
        "recipes": markdown(("recipe", "what it shows", "measured"), rows),
        "settings": settings_table(),
        "weights": weights_table(shipped().values()),
        "facts": figures.facts(),
        "speed": markdown(*speed_table((root / SPEED).read_text())),
        "run": figures.run(),
        **{name: figures.table(name) for name in PLAN["tables"]},
        **{f"printed_{name}": figures.printed(f"series/{name}") for name in ("co2", "temps")},
    }
    for name in PAGES:
        yield root / name, fill((root / name).read_text(), tables)
    for path in shipped().values():
        card = path.with_suffix(".md")
        yield card, fill(card.read_text(), card_tables(path))
    for name, path in recipes().items():
        yield path, re.sub(r"^# Measured: .*$", f"# Measured: {figures.promise(name)}.", path.read_text(), flags=re.M)


def stale() -> dict[Path, str]:
    """Returns the files that are not up to date, with the text that they should have."""
    return {path: text for path, text in filled() if path.read_text() != text}


def fill_all() -> None:
    """Writes the files that are not up to date."""
    for path, text in stale().items():
        write_atomically(path, text)
        print(f"filled {path.relative_to(ROOT)}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; fail if a table is not up to date")
    if not parser.parse_args().check:
        fill_all()
    elif names := ", ".join(str(path.relative_to(ROOT)) for path in stale()):
        sys.exit(f"not up to date: {names}; run python scripts/tables.py")
