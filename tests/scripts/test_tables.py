"""`scripts/tables.py`: what stands in README, docs, recipes and model cards is nothing but the results."""

import json
import re
import shutil
from pathlib import Path

import model_cards
import pages
import pytest
import tables
from plan import OWN_DATA, PLAN, dump, load_own, plan

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
            "settings": run.settings,
            "code": "abc1234",
            "machine": 0,
            "date": "2026-01-02",
            "seconds": 100.0 * (run.seed + 1),
            "whole": 120.0,
            "epochs": epochs,
            "steps": 700 * epochs,
            "batches": 100 * epochs,
            "parameters": 12345,
            "milliseconds": 10.0,
            "kept": 2_000_000,
            "validation": {k: [value + i for i in range(epochs)] for k in ("val/loss", "val/acc", "val/largest_error")},
            "test": {"test/loss": value, "test/acc": value / 2, "test/largest_error": value},
        }
        if run.predicts:
            result["predictions"] = {"x_0": [0.0, 1.0], "y": [1.0, 2.0], "prediction": [1.5, 2.0]}
        if only(run):
            runs[run.key] = result
    machine = {"cpu": "a processor", "cores": 2, "torch": "2", "python": "3", "lightning": "2", "rnn_lightning": "0"}
    return {"machines": [machine], "runs": runs}


def first_seed(run):
    return run.seed == 0


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
    assert list(tables.stale()) == []
    for page in tables.PAGES:
        assert not re.search(r"^\|.*\bnot run\b", (ROOT / page).read_text(), re.M), page


def test_the_results_on_own_files_are_of_the_planned_arguments():
    for key, result in load_own().items():
        name, _, seed = key.rpartition("/")
        if "arguments" in result:
            assert result["arguments"] == [*PLAN["own_data"][name], f"--seed_everything={seed}"]
    assert {recipe_of(arguments) for arguments in PLAN["own_data"].values()} == set(OWN_DATA)


def recipe_of(arguments):
    return arguments[0].removeprefix("--config=")


@pytest.mark.parametrize("full", [False, True], ids=["quick", "full"])
def test_the_report_has_a_row_for_every_system(full, report):
    text = report(fake_state(full))["docs/reproduction.md"]
    for name in recipes():
        if name not in (*OWN_DATA, "copy_memory"):
            row(text, f"`{name}`")
    for section in ("1.1", "1.3", "1.4.1", "1.4.3", "2.1"):
        row(text, section)
    for printed in ("0.9730", "0.0629", "0.0594", "14.5340", "(2, 5, 100)"):
        assert printed in text
    for cell in ("tanh RNN", "IRNN", "GRU", "LSTM"):
        for reach in ("whole sequence", "truncated, above the gap", "truncated, below the gap"):
            assert text.count(f"| {cell} | {reach} |") == 6 * full
    for steps in (784, 196, 28):
        assert text.count(f"| LSTM | permuted | {'whole sequence' if steps == 784 else f'{steps} steps'} |") == full
    assert ("Not run yet." in text) != full
    assert f"{2 * len(plan(full))}.0 |" in row_text(text, "together")
    assert row(text, "together")[1:4] == [
        str(len(plan(full))),
        str(len(plan())),
        str(len({run.name for run in plan()})),
    ]
    assert f"- {len(plan(full))} fits by commit abc1234 (2026-01-02): cpu a processor" in text


def row_text(text, name):
    return next(line for line in text.splitlines() if line.startswith(f"| {name} |"))


def test_the_report_says_what_was_not_run_and_of_how_many_seeds(report):
    text = report(fake_state(full=True, only=lambda run: run.seed < 2 and run.name != "sine_deep"))[
        "docs/reproduction.md"
    ]
    count = len({run.name for run in plan(False) if "sections" not in run.name}) - 1
    assert row(text, "recipes")[4] == f"{count} / {count} / 0"
    assert row(text, "recipes")[6] == "`sine_deep`"
    assert row(text, "copy task")[1:5] == ["72", "108", "36", "36 / 36 / 0"]
    assert row(text, "`sine_long`")[-1] == "2"
    assert "`sine_deep` |" not in text.partition("## The recipes")[2].partition("<!-- end -->")[0]


def test_several_seeds_are_a_mean_and_a_range(report):
    assert "0.5000 (0.2500 to 0.7500)" in row(report(fake_state(full=True))["docs/reproduction.md"], "`sine_long`")
    assert "0.2500" in row(report(fake_state(only=first_seed))["docs/reproduction.md"], "`sine_long`")
    assert (pages.spread([3.0, 3.0], ".1f"), pages.spread([2.96, 3.04], ".2f")) == ("3.0", "3.00 (2.96 to 3.04)")


def test_the_tutorials_figures_stand_over_ours_of_the_same_steps(report):
    text = report(fake_state(only=first_seed))["docs/reproduction.md"]
    table = text[text.index("**2.2**") :].splitlines()[3:8]
    assert table[0].split("|")[2:6] == [" 300 steps ", " 600 steps ", " 900 steps ", " 1200 steps "]
    assert "10.9267" in table[2]
    assert "| ours | 2.2500 | 5.2500 | 8.2500 | 11.2500 |" in table  # after 3, 6, 9 and 12 epochs of a hundred steps


def test_solved_counts_the_batches_until_the_bound(report):
    state = fake_state(full=True, only=first_seed)
    for losses, words in (([0.1, 0.079, 0.09], "200"), ([0.1, 0.08, 0.2], "not solved")):
        result = state["runs"]["adding_gru_full_T50/0"]
        result |= {"validation": {"val/loss": [1.0], "val/largest_error": losses}, "batches": 300}
        text = report(state)["docs/reproduction.md"].partition("table adding_50")[2]
        assert row(text.partition("<!-- end -->")[0], "GRU", "whole sequence")[4] == words


def test_what_diverged_or_was_not_run_is_said(report):
    state = fake_state(only=lambda run: first_seed(run) and run.name != "mnist_rnn")
    known = {key: state["runs"]["sine_long/0"][key] for key in ("arguments", "settings", "code", "machine", "date")}
    state["runs"]["sine_long/0"] = {**known, "error": "the loss is nan at step 3", "whole": 60.0}
    pages = report(state)
    assert "diverged" in row(pages["docs/reproduction.md"], "`sine_long`")
    assert row(pages["README.md"], "`mnist_rnn`")[2] == "test accuracy not run"  # and the test above refuses it
    assert "`mnist_rnn`" in row(pages["docs/reproduction.md"], "recipes")[6]
    state = fake_state(full=True)
    (other,) = [run for run in plan() if run.key == "sine_long/1"]
    state["runs"]["sine_long/1"] = {
        **known,
        "settings": other.settings,
        "error": "the loss is nan at step 3",
        "whole": 60.0,
    }
    assert "0.5000 (0.2500 to 0.7500), 2 of 3 seeds" in row(report(state)["docs/reproduction.md"], "`sine_long`")


def test_a_result_of_other_settings_does_not_count(report):
    state = fake_state(only=first_seed)
    state["runs"]["sine_long/0"]["settings"] = "of another time"
    assert "`sine_long`" in row(report(state)["docs/reproduction.md"], "recipes")[6]


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
    for steps in (50, 100, 200):
        for name, exact in (("adding", AddingProblem(n_steps=steps)), ("copying", CopyMemory(delay=steps))):
            (first, *_) = PLAN["tables"][f"{name}_{steps}"]["rows"]
            assert first[:3] == ["remembers nothing", "exact", f"{exact.baseline:.4f}"]
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
    card = pages.fill(path.with_suffix(".md").read_text(), model_cards.card_tables(copy))
    assert row(card, f"test {model_cards.description(copy)['unit']}")[1] == "0.1234"
    assert "0.1234" in row(model_cards.weights_table([copy]), f"`{name}`")[2]
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
    head, rows = tables.speed_table(page)
    assert head[1:] == ["RNN"]
    assert [row[1] for row in rows] == ["1.5 to 2.0", "50.0 to 50.0"]
