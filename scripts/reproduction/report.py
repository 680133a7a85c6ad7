"""The report: from results as plain numbers to one Markdown file. Nothing in it is typed by hand."""

import re
import statistics
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
import yaml

from reproduction.results import Found, Result, State, seconds, spread, table, test, usable
from reproduction.systems import (
    ANSWERS,
    CELLS,
    CLIPPING,
    EPOCHS,
    EPOCHS_FULL,
    LEARNING_RATES,
    LONG,
    PRINTED,
    REACHES,
    RECIPES,
    SECTIONS,
    Printed,
    lengths,
    long_name,
    plan,
    seeds,
    solved_below,
)
from reproduction.words import FIGURES, PUBLISHED, WORDS
from rnn_lightning.data import AddingProblem, CopyMemory
from rnn_lightning.nn import RNN
from rnn_lightning.recipes import recipes


def render(state: State) -> str:
    """The whole report."""
    found = Found(state)
    parts = [WORDS["head"].format(**_facts(state)), *_tutorial(found), *_recipes(found)]
    for task in LONG:
        parts += _long(found, task)
    parts.append(WORDS["full"].format(hours=_hours(found)))
    return "\n\n".join(part.strip() for part in parts) + "\n"


def _facts(state: State) -> dict[str, Any]:
    machines = "; ".join(
        f"{m['cpu']}, {m['cores']} cores, Python {m['python']}, torch {m['torch']}, Lightning {m['lightning']}, "
        f"rnn_lightning {m['rnn_lightning']}"
        for m in state["machines"]
    )
    found = [usable(state, run) for run in plan(state["full"])]
    missing = found.count(None)
    return {
        "command": state["command"],
        "machines": machines,
        "clock": f"{state['seconds'] / 60:.0f}",
        "workers": state["workers"],
        "minutes": f"{sum(result['whole'] for result in found if result) / 60:.0f}",
        "fits": len(found) - missing,
        "missing": f" {missing} fits of this plan were not run." if missing else "",
        "seeds": "seed 0" if not state["full"] else "seeds " + ", ".join(map(str, seeds(full=True))),
    }


# The tutorial's systems.


def _tutorial(found: Found) -> Iterator[str]:
    yield WORDS["tutorial"]
    output = RNN(2, 100, num_layers=3)(torch.rand(2, 5, 2))[0]
    sections = [
        (
            "1.2",
            f"truncated BPTT, the series in {n} sections, gradients summed: MSE after 600 steps",
            "-",
            f"sine_sections_{n}",
            "val/loss",
        )
        for n in SECTIONS
    ]
    rows: list[tuple[str, ...]] = [
        ("1.1", "BPTT through all steps", "-", "what every row here without `sections` does", "")
    ]
    rows += [
        (a, b, c, found.show(name, _last(metric)), found.show(name, seconds, ".0f"))
        for a, b, c, name, metric in sections
    ]
    rows += [_summary(found, PRINTED[0]), ("1.4.1", "the synthetic series", "a figure", "the figure below", "")]
    rows += [_summary(found, printed) for printed in PRINTED[1:3]]
    rows.append(
        ("2.1", "deep RNN, three layers of 100: shape of the output", "(2, 5, 100)", str(tuple(output.shape)), "")
    )
    rows.append(_summary(found, PRINTED[3]))
    rows += [
        (
            section,
            f"new data, the window at t = 12.2: MSE of `{name}`",
            "a figure",
            found.show(name, _of_window, ".3f"),
            "",
        )
        for section, name in (("1.4.2", "sine_seq2seq"), ("2.2", "sine_deep_dropout_document"))
    ]
    rows += [
        (
            "3",
            f"announced, not printed: {cell} (`{name}`), test accuracy",
            "-",
            found.show(name, test("acc")),
            found.show(name, seconds, ".0f"),
        )
        for cell, name in (("LSTM", "mnist_lstm"), ("GRU", "mnist_gru"))
    ]
    yield table(("section", "system", "it printed", "ours", "seconds"), rows)
    for printed in PRINTED:
        yield f"**{printed.section}**, {printed.system}: {printed.measure}."
        yield table(("", *printed.at), _curve(found, printed))
    for figure, words in FIGURES.items():
        drawn = figure in found.state["figures"]
        yield (
            f"![{words}](figures/{figure}.png)\n\n*{words}*"
            if drawn
            else f"*{words}: not drawn, its data were not there.*"
        )


def _summary(found: Found, printed: Printed) -> tuple[str, ...]:
    ours = found.show(printed.name, _at(printed, len(printed.at) - 1))
    system = f"{printed.system}: {printed.measure} after {printed.at[-1]}"
    return printed.section, system, f"{printed.printed[-1]:.4f}", ours, found.show(printed.name, seconds, ".0f")


def _curve(found: Found, printed: Printed) -> Iterator[list[str]]:
    yield ["it printed", *(f"{value:.4f}" for value in printed.printed)]
    if printed.again:
        yield ["its code, run again", *(f"{value:.4g}" for value in printed.again)]
    yield ["ours", *(found.show(printed.name, _at(printed, i)) for i in range(len(printed.at)))]


def _at(printed: Printed, column: int) -> Callable[[Result], float | None]:
    return lambda result: result["validation"][printed.metric][(column + 1) * printed.every - 1]


def _last(metric: str) -> Callable[[Result], float | None]:
    return lambda result: result["validation"][metric][-1]


def _of_window(result: Result) -> float | None:
    window = result.get("predictions")
    return window and statistics.fmean((a - b) ** 2 for a, b in zip(window["y"], window["prediction"], strict=True))


# Our recipes.


def expected(recipe: str) -> str:
    """What a recipe's comment says to expect."""
    lines = [line for line in recipes()[recipe].read_text().splitlines() if line.startswith("#")]
    text = " ".join(" ".join(line.lstrip("# ") for line in lines).split())
    match = re.search(r"Expect (.*?)(?:\.\s|\.$|$)", text)
    assert match is not None, f"{recipe} says what to expect"
    return match[1]


def _recipes(found: Found) -> Iterator[str]:
    yield WORDS["recipes"]
    rows = []
    for name in sorted(RECIPES, key=lambda name: ANSWERS.get(name, "none")):
        size = found.show(name, lambda result: float(result["parameters"]), ",.0f")
        steps = found.show(name, lambda result: float(result["steps"]), ",.0f")
        loss, accuracy = (
            found.show(name, test("loss")),
            found.show(name, test("acc")) if name.startswith("mnist") else "",
        )
        section = ANSWERS.get(name, "-")
        rows.append(
            (f"`{name}`", section, expected(name), loss, accuracy, size, steps, found.show(name, seconds, ".0f"))
        )
    yield table(
        ("recipe", "of section", "it says to expect", "test loss", "test accuracy", "parameters", "steps", "seconds"),
        rows,
    )


# Long memory.


def baseline(task: str, steps: int) -> float:
    """The loss of a model that remembers nothing."""
    return AddingProblem(n_steps=steps).baseline if task == "adding" else CopyMemory(delay=steps).baseline


def _recipe(task: str, part: str) -> dict[str, Any]:
    """The arguments of the `model` or the `data` in a long task's recipe."""
    arguments: dict[str, Any] = yaml.safe_load(recipes()[LONG[task]].read_text())[part]["init_args"]
    return arguments


def _settings(full: bool, task: str) -> str:
    """Size, optimizer and budget of the networks of a long task."""
    rates = ", ".join(f"{rate:g} ({CELLS[cell][0]})" for cell, rate in LEARNING_RATES[task].items())
    batches = {steps: 100 * (EPOCHS_FULL if full else EPOCHS[task][steps]) for steps in lengths(full)}
    return (
        f"One layer of {_recipe(task, 'model')['hidden_size']} units, Adam with learning rate {rates}, gradients "
        f"clipped at {CLIPPING}; batches of {_recipe(task, 'data')['batch_size']} sequences, at most "
        + ", ".join(f"{count:,} for T = {steps}" for steps, count in batches.items())
        + ("" if full else "; a run stops when it has solved the task")
        + "."
    )


def _always_1(steps: int) -> float:
    """The error of always answering 1 in the adding problem, on the test sequences themselves."""
    data = AddingProblem(**{**_recipe("adding", "data"), "n_steps": steps})
    data.setup("test")
    return statistics.fmean(float(((batch["y"] - 1) ** 2).mean()) for batch in data.test_dataloader())


def _long(found: Found, task: str) -> Iterator[str]:
    steps = lengths(found.state["full"])
    yield WORDS[task].format(settings=_settings(found.state["full"], task))
    head = ["network", "gradient"]
    for t in steps:
        head += [f"T = {t}: test loss", "solved after", "seconds"]
    exact = ["remembers nothing", "exact", *(cell for t in steps for cell in (f"{baseline(task, t):.4f}", "", ""))]
    rows = [exact]
    if task == "adding":
        measured = (cell for t in steps for cell in (f"{_always_1(t):.4f}", "", ""))
        rows.append(["always answers 1", "on these test sequences", *measured])
    for reach, words in REACHES.items():
        for cell, (network, *_) in CELLS.items():
            row = [network, words]
            for t in steps:
                name = long_name(task, cell, reach, t)
                row += [found.show(name, test("loss")), _solved(found, task, name, t), found.show(name, seconds, ".0f")]
            rows.append(row)
    yield table(head, rows)
    yield WORDS["published"]
    yield table(("source", "task", "published"), PUBLISHED[task])


def _solved(found: Found, task: str, name: str, steps: int) -> str:
    """After how many training sequences the validation loss fell below the threshold: the mean of the seeds that did."""
    if not (done := found.done(name)):
        return ""
    first = [_first(result["validation"]["val/loss"], solved_below(task, steps)) for result in done]
    counts = [
        (epoch + 1) / len(result["validation"]["val/loss"]) * result["batches"] * _recipe(task, "data")["batch_size"]
        for epoch, result in zip(first, done, strict=True)
        if epoch is not None
    ]
    if not counts:
        return "not solved"
    some = f", {len(counts)} of {len(done)} seeds" if len(counts) < len(done) else ""
    return f"{spread(counts, ',.0f')}{some}"


def _first(losses: Sequence[float], threshold: float) -> int | None:
    return next((epoch for epoch, loss in enumerate(losses) if loss < threshold), None)


def _hours(found: Found) -> str:
    """What the whole plan takes on one thread, by the rates that were measured; T = 200 as twice T = 100."""
    total = 0.0
    for run in plan(full=True):
        done, factor = found.done(run.name), 1.0
        if not done and run.name.endswith("_T200"):
            done, factor = found.done(run.name.replace("_T200", "_T100")), 2.0
        if not done:
            return "unknown: some systems were not run"
        rate = statistics.fmean(result["seconds"] / len(result["validation"]["val/loss"]) for result in done)
        epochs = next((int(a.partition("=")[2]) for a in run.arguments if a.startswith("--trainer.max_epochs")), None)
        total += factor * rate * (epochs or len(done[0]["validation"]["val/loss"]))
    return f"{total / 3600:.1f} hours"
