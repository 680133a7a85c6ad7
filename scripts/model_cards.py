"""Tables about the trained networks, from the JSON files beside the weights."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pages import markdown, spread

METRICS = {"acc": "accuracy", "mse": "MSE"}


def description(path: Path) -> dict[str, Any]:
    """Returns the JSON beside some weights, with `tests` (all seeds), `test` (the shipped network) and `unit`."""
    found: dict[str, Any] = json.loads(path.read_text())
    training = found["training"]
    tests = {seed: run["test"] for seed, run in training["runs"].items()}
    test = tests[str(training["seed"])]
    return {**found, "tests": list(tests.values()), "test": test, "unit": METRICS[training["metric"]]}


def weights_table(paths: Iterable[Path]) -> str:
    """Returns the table of the trained networks."""
    rows = []
    for path in paths:
        found = description(path)
        summary = path.with_suffix(".md").read_text().splitlines()[2].rstrip(".")
        rows.append((f"`{path.stem}`", summary, f"{found['unit']} {found['test']:.4f}", spread(found["tests"], ".4f")))
    return markdown(("entry", "what it is", "on the test set", "mean over 3 seeds (range)"), rows)


def card_tables(path: Path) -> dict[str, str]:
    """Returns the tables of a model card, by name."""
    found = description(path)
    training = found["training"]
    fit = f"python -m rnn_lightning fit --config {training['recipe']} --seed_everything {training['seed']}"
    figures = [
        (f"test {found['unit']}", f"{found['test']:.4f}"),
        (f"over {len(found['tests'])} seeds", spread(found["tests"], ".4f")),
        ("weights", f"`{found['weights']}`, {path.with_name(found['weights']).stat().st_size} bytes"),
        ("SHA-256", f"`{found['sha256']}`"),
        ("licence", "Apache-2.0, like the package"),
        ("trained with", ", ".join(f"{name} {version}" for name, version in training["versions"].items())),
    ]
    runs = [
        (seed, f"{run['val_loss']:.5f}", f"{run['test']:.4f}", "shipped" if seed == str(training["seed"]) else " ")
        for seed, run in training["runs"].items()
    ]
    return {
        "figures": markdown((" ", " "), figures),
        "command": "```sh\n" + " \\\n  ".join([fit, *training["arguments"]]) + "\n```",
        "seeds": markdown(("seed", "validation loss", f"test {found['unit']}", " "), runs),
    }
