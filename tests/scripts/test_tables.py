"""`scripts/tables.py`: what stands in README, docs, recipes and model cards is nothing but the results."""

import json
import re
import shutil
from pathlib import Path

import pytest
import tables
from plan import OWN_DATA, PLAN, dump, plan
from speed_table import speed_table

from rnn_lightning.data import AddingProblem, CopyMemory
from rnn_lightning.recipes import recipes

ROOT = Path(__file__).parents[2]


def fake_state(full=False, only=lambda run: True):
    """Results that no run has had: each number is told apart by its seed."""
    runs = {}
    for run in plan(full):
        epochs = {"sine_deep_dropout_tutorial": 15, "mnist_rnn": 5}.get(run.name, 6)
        value = 0.25 + run.seed / 4
        result = {
            "arguments": list(run.arguments),
            "seconds": 100.0 * (run.seed + 1),
            "whole": 120.0,
            "epochs": epochs,
            "steps": 700 * epochs,
            "batches": 100 * epochs,
            "parameters": 12345,
            "validation": {k: [value + i for i in range(epochs)] for k in ("val/loss", "val/acc")},
            "test": {"test/loss": value, "test/acc": value / 2},
        }
        if run.predicts:
            result["predictions"] = {"x_0": [0.0, 1.0], "y": [1.0, 2.0], "prediction": [1.5, 2.0]}
        if only(run):
            runs[run.key] = result
    machine = {"cpu": "a processor", "cores": 2, "torch": "2", "python": "3", "lightning": "2", "rnn_lightning": "0"}
    return {"machines": [machine], "runs": runs}


@pytest.fixture
def report(tmp_path):
    """The pages that some results give, by path."""

    def fill(state):
        results = tmp_path / "results.json"
        results.write_text(dump(state))
        return {str(path.relative_to(ROOT)): text for path, text in tables.filled(ROOT, results)}

    return fill


def row(text, *cells):
    """The one row of a table that begins with these cells, as a list."""
    found = [line for line in text.splitlines() if line.startswith(f"| {' | '.join(cells)} |")]
    assert len(found) == 1, (cells, found)
    return [cell.strip() for cell in found[0].strip("|").split(" | ")]


def test_what_is_committed_is_up_to_date():
    stale = [path for path, text in tables.filled() if path.read_text() != text]
    assert stale == []
    assert "not run" not in (ROOT / "docs" / "reproduction.md").read_text()


@pytest.mark.parametrize("full", [False, True], ids=["quick", "full"])
def test_the_report_has_a_row_for_every_system(full, report):
    text = report(fake_state(full))["docs/reproduction.md"]
    for name in recipes():
        if name not in ("adding_problem", "copy_memory", *OWN_DATA):
            row(text, f"`{name}`")
    for section in ("1.1", "1.3", "1.4.1", "1.4.3", "2.1"):
        row(text, section)
    for printed in ("0.9730", "0.0629", "0.0594", "14.5340", "(2, 5, 100)"):
        assert printed in text
    for cell in ("tanh RNN", "IRNN", "GRU", "LSTM"):
        for reach in ("whole sequence", "truncated, above the gap", "truncated, below the gap"):
            assert text.count(f"| {cell} | {reach} |") == 2
    assert "not run" not in text
    assert text.count("T = 200: test loss") == 2 * full
    assert f"{2 * len(plan(full))} minutes of processor time" in text
    assert f"- {len(plan(full))} fits of {len(plan())}" in text
    assert f"seeds: {'0, 1, 2' if full else '0'}." in text
    assert "a processor" in text


def test_several_seeds_are_a_mean_and_a_range(report):
    assert "0.5000 (0.2500 to 0.7500)" in row(report(fake_state(full=True))["docs/reproduction.md"], "`sine_long`")
    assert "0.2500" in row(report(fake_state())["docs/reproduction.md"], "`sine_long`")


def test_the_tutorials_figures_stand_over_ours_of_the_same_steps(report):
    text = report(fake_state())["docs/reproduction.md"]
    table = text[text.index("**2.2**") :].splitlines()[3:8]
    assert table[0].split("|")[2:6] == [" 300 steps ", " 600 steps ", " 900 steps ", " 1200 steps "]
    assert "10.9267" in table[2]
    assert "| ours | 2.2500 | 5.2500 | 8.2500 | 11.2500 |" in table  # after 3, 6, 9 and 12 epochs of a hundred steps


def test_solved_counts_the_batches_until_the_threshold(report):
    state = fake_state()
    for losses, words in (([0.1, 0.0015, 0.0017], "200"), ([0.1, 0.0017, 0.002], "not solved")):
        result = state["runs"]["adding_gru_full_T50/0"]
        result |= {"validation": {"val/loss": losses}, "batches": 300}
        text = report(state)["docs/reproduction.md"].partition("the copy task")[0]
        assert row(text, "GRU", "whole sequence", "0.2500")[3] == words


def test_what_diverged_or_was_not_run_is_said(report):
    state = fake_state(only=lambda run: run.name != "mnist_rnn")
    arguments = state["runs"]["sine_long/0"]["arguments"]
    state["runs"]["sine_long/0"] = {"arguments": arguments, "error": "the loss is nan at step 3", "whole": 60.0}
    pages = report(state)
    assert "diverged" in row(pages["docs/reproduction.md"], "`sine_long`")
    assert "not run" in row(pages["docs/reproduction.md"], "`mnist_rnn`")
    assert f"- {len(plan(False)) - 1} fits of" in pages["docs/reproduction.md"]
    state = fake_state(full=True)
    state["runs"]["sine_long/1"] = {"arguments": arguments, "error": "the loss is nan at step 3", "whole": 60.0}
    assert "0.5000 (0.2500 to 0.7500), 2 of 3 seeds" in row(report(state)["docs/reproduction.md"], "`sine_long`")


def test_a_result_of_other_arguments_does_not_count(report):
    state = fake_state()
    state["runs"]["sine_long/0"]["arguments"] = ["--config=sine_long", "--data.n_steps=3"]
    assert "not run" in row(report(state)["docs/reproduction.md"], "`sine_long`")


def test_a_recipes_promise_in_readme_and_recipe_is_what_was_measured(report):
    pages = report(fake_state(full=True))
    assert set(PLAN["recipes"]) == set(recipes())
    for name in recipes():
        (promise,) = re.findall(r"^# Measured: (.*)\.$", pages[f"rnn_lightning/configs/{name}.yaml"], re.M)
        assert row(pages["README.md"], f"`{name}`")[2] == promise
        if name not in OWN_DATA:
            assert re.search(r"0\.\d+ \(0\.\d+ to 0\.\d+\)", promise), promise


def test_the_exact_figures_of_who_remembers_nothing():
    text = (ROOT / "docs" / "reproduction.md").read_text()
    assert f"{AddingProblem(n_steps=50).baseline:.4f}" == "0.1667"
    assert row(text, "remembers nothing", "exact", "0.1667")
    assert row(text, "remembers nothing", "exact", *(f"{CopyMemory(delay=steps).baseline:.4f}" for steps in (50,)))
    for steps, figure in ((50, "0.1597"), (100, "0.1600")):
        data = AddingProblem(n_steps=steps)
        data.setup("test")
        errors = [float(((batch["y"] - 1) ** 2).mean()) for batch in data.test_dataloader()]
        assert f"{sum(errors) / len(errors):.4f}" == figure
        assert figure in text


def test_a_model_card_tells_what_the_json_says(tmp_path):
    (name, path), *_ = tables.shipped().items()
    for file in path.parent.glob(f"{name}*"):
        shutil.copy(file, tmp_path)
    copy = tmp_path / path.name
    found = json.loads(copy.read_text())
    found["training"]["runs"][str(found["training"]["seed"])]["test"] = 0.1234
    copy.write_text(json.dumps(found))
    card = tables.fill(path.with_suffix(".md").read_text(), tables.card_tables(copy))
    assert row(card, f"test {tables.description(copy)['unit']}")[1] == "0.1234"
    assert "0.1234" in row(tables.weights_table([copy]), f"`{name}`")[2]
    assert card != path.with_suffix(".md").read_text()


def test_the_short_table_of_speed_spans_every_processor_and_leaves_out_busy_ones():
    page = """
<!-- table layers -->
| layer | torch.nn / ours | fresh |
| --- | --- | --- |
| RNN (28, 1, 1, 1) | 2.04 | 9 |
| RNN (1000, 1, 1, 1) | 50.0 | 9 |
<!-- end -->
<!-- table layers_avx2 -->
| layer | torch.nn / ours | fresh |
| --- | --- | --- |
| RNN (784, 1, 1, 1) | 1.5 | 9 |
<!-- end -->
<!-- table layers_beside_1 -->
| layer | torch.nn / ours |
| --- | --- |
| RNN (28, 1, 1, 1) | 0.5 |
<!-- end -->
"""
    head, rows = speed_table(page)
    assert head[1:] == ["RNN"]
    assert [row[1] for row in rows] == ["1.5 to 2.0", "50.0 to 50.0"]
