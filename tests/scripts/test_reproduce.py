"""`scripts/reproduce.py`: what it runs, and what it keeps."""

import json
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import reproduce
from plan import OWN_DATA, PLAN, Run, dump, load, plan, recipe_values, result_of

from rnn_lightning.cli import main
from rnn_lightning.data import AddingProblem, CopyMemory
from rnn_lightning.recipes import recipes

ROOT = Path(__file__).parents[2]


def finished(runs, code="abc"):
    found = {
        run.key: {"arguments": list(run.arguments), "settings": run.settings, "whole": 2.0, "code": code}
        for run in runs
    }
    return {"machines": [], "runs": found}


def test_the_plan_has_every_recipe_and_every_network_on_every_task_by_three_seeds():
    short, runs = plan(full=False), plan()
    own = set(recipes()) - {*OWN_DATA, "copy_memory"}
    assert {run.name for run in short} == own | {"sine_sections_3", "sine_sections_5"}
    assert {run.name for run in runs if run.mnist} == {run.name for run in runs if "mnist" in run.arguments[0]}
    searches = [run for run in runs if run.name.startswith("search_")]
    names = {run.name for run in runs} - {run.name for run in searches}
    assert len(runs) == len({run.key for run in runs}) == 3 * len(names) + len(searches)
    cells = ("rnn", "irnn", "gru", "lstm")
    for steps in (50, 100, 200):
        for cell in cells:
            for task in ("adding", "copying"):
                assert {f"{task}_{cell}_{reach}_T{steps}" for reach in ("full", "below", "above")} <= names
    for layout in ("pixels", "permuted"):
        assert {f"pixels_{layout}_{cell}_{back}" for cell in cells[1:] for back in (28, 196, 784)} <= names


@pytest.mark.parametrize("task", ["adding", "copying"])
def test_the_learning_rates_are_those_that_the_search_has_found(task):
    """Where it was run for a network: its best rate by validation loss is the one that the plan has."""
    rates = {r.name.split("_")[1]: rate(r) for r in plan() if r.name.startswith(task) and r.name.endswith("full_T50")}
    found = {cell: search(task, cell) for cell in rates}
    assert {cell: rates[cell] for cell, best in found.items() if best} == {c: best for c, best in found.items() if best}


def rate(run):
    return float(next(a for a in run.arguments if a.startswith("--model.optimizer.lr="))[21:])


def search(task, cell):
    """The rate of the lowest validation loss; None if a rate is missing."""
    runs = [run for run in plan() if run.name.startswith(f"search_{task}_{cell}_lr")]
    results = [result_of(load(), run) for run in runs]
    if any(result is None for result in results):
        return None
    losses = [min(result["validation"]["val/loss"]) if "error" not in result else float("inf") for result in results]
    return rate(runs[losses.index(min(losses))])


@pytest.mark.parametrize("steps", [50, 100, 200])
def test_truncation_reaches_less_or_more_than_the_gap(steps):
    runs = {run.name: " ".join(run.arguments) for run in plan()}

    def reach(name):
        return int(re.search(r"k2: (\d+)", runs[f"{name}_T{steps}"])[1])

    assert reach("adding_gru_below") < steps / 2 < reach("adding_gru_above") < steps
    assert reach("copying_gru_below") < steps + 10 <= reach("copying_gru_above")


@pytest.mark.parametrize(
    "name", ["adding_irnn_full_T50", "adding_gru_below_T100", "copying_lstm_above_T50", "copying_gru_full_T200"]
)
def test_the_command_line_takes_the_arguments(name, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (run,) = [run for run in plan() if run.key == f"{name}/0"]
    with pytest.raises(SystemExit) as end:
        main(["fit", *run.arguments, "--print_config"])
    assert end.value.code == 0
    config = capsys.readouterr().out
    assert "EarlyStopping" in config
    if name.startswith("adding"):
        assert "monitor: val/largest_error" in config
        solved = AddingProblem.tolerance
        assert f"right<{solved}" in str(PLAN["tables"])
    else:
        solved = CopyMemory(delay=(steps := int(name.rpartition("T")[2]))).baseline / 10
        assert f"'bound': {solved:.4g}" in str(PLAN["tables"][f"copying_{steps}"])
    assert float(re.search(r"stopping_threshold: (\S+)", config)[1]) == pytest.approx(solved, rel=1e-3)


def test_a_result_of_other_settings_does_not_count(tmp_path, monkeypatch):
    def left(state, **options):
        return [run.key for run in reproduce.chosen(False, None, str(tmp_path), state, **options) if not run.mnist]

    state = finished(plan(full=False))
    assert left(state) == []
    state["runs"]["sine_long/1"]["settings"] = "other"
    assert left(state) == ["sine_long/1"]
    assert left(state, seeds=1) == []
    assert len(left(state, renew="abc")) == 1
    assert len(left(state, renew="def")) == len([run for run in plan(full=False) if not run.mnist])
    changed = {**recipe_values("sine_deep"), "trainer": {"max_epochs": 2}}
    monkeypatch.setattr("plan.recipe_values", lambda name: changed if name == "sine_deep" else recipe_values(name))
    assert left(state) == ["sine_deep/0", "sine_deep/1", "sine_long/1", "sine_deep/2"]


def test_full_goes_on_from_what_the_recipes_have(tmp_path):
    runs = reproduce.chosen(True, None, str(tmp_path), finished(plan(full=False)))
    assert len(runs) == len([run for run in plan() if run.full and not run.mnist])


def test_only_chooses_by_pattern_and_refuses_what_is_no_system():
    state = finished([])
    assert len(reproduce.chosen(False, ["adding_gru_*_T50"], "data", state)) == 9
    assert len(reproduce.chosen(False, ["adding_gru_*_T50"], "data", state, seeds=1)) == 3
    with pytest.raises(SystemExit, match="no_such is not a system; the systems are adding_"):
        reproduce.chosen(False, ["no_such"], "data", state)


def test_without_mnist_its_systems_are_left_out_with_a_note(tmp_path, capsys):
    runs = reproduce.chosen(False, None, str(tmp_path), finished([]))
    assert runs
    assert not any(run.mnist for run in runs)
    assert f"No MNIST in {tmp_path}" in capsys.readouterr().out


def test_the_remaining_time_counts_with_other_seeds_of_the_same_system():
    state = finished([])
    assert reproduce.expected(Run("a", 0, ("--config=a",)), state) == 60.0
    state["runs"] |= {"a/0": {"whole": 10.0}, "a/1": {"whole": 20.0}, "b/0": {"whole": 90.0}}
    assert reproduce.expected(Run("a", 2, ("--config=a",)), state) == 15.0
    assert reproduce.expected(Run("c", 0, ("--config=c",)), state) == 40.0
    state["runs"]["adding_gru_full_T50/0"] = {"whole": 7.0}
    (alike,) = [run for run in plan() if run.key == "adding_lstm_full_T50/1"]
    assert reproduce.expected(alike, state) == 7.0


def test_results_come_back_from_the_file_as_they_were(tmp_path):
    path = tmp_path / "results.json"
    assert load(path) == {"machines": [], "runs": {}}
    path.write_text(dump(finished(plan())))
    assert load(path) == finished(plan())
    path.write_text("{")
    with pytest.raises(SystemExit, match="cannot read the results"):
        load(path)


def test_one_fit_gives_plain_numbers(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    small = ("--data.eval_windows=50", "--data.steps_per_epoch=3", "--trainer.max_epochs=2")
    result = reproduce.fit(Run("sine", 1, ("--config=sine_seq2seq", *small), predicts=True), "data")
    assert json.loads(json.dumps(result)) == result
    assert (result["epochs"], result["steps"], result["batches"]) == (2, 6, 6)
    assert {name: len(values) for name, values in result["validation"].items()} == {"val/loss": 2, "val/mae": 2}
    assert result["milliseconds"] > 0
    assert result["kept"] > 20 * 50 * 100 * 4  # the hidden states, at least
    assert result["parameters"] == 100 * (1 + 100 + 2) + 101
    assert {len(column) for column in result["predictions"].values()} == {20}
    assert result["predictions"]["x_0"][1:] == result["predictions"]["y"][:-1]
    assert 0 < result["seconds"] < result["whole"]
    # The checkpoint of the lower validation loss, on other windows.
    assert result["test"]["test/loss"] == pytest.approx(min(result["validation"]["val/loss"]), rel=0.5)
    assert list(tmp_path.iterdir()) == []


def test_a_fit_that_diverges_keeps_the_line(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = Run("sine", 0, ("--config=sine_seq2seq", "--model.optimizer.lr=1e30", "--data.eval_windows=50"))
    assert "optimizer step 1:" in reproduce.fit(run, "data")["error"]


def test_a_fit_that_is_refused_is_no_result(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RuntimeError, match=r"sine/0: error: .*n_steps=2000"):
        reproduce.fit(Run("sine", 0, ("--config=sine_seq2seq", "--data.n_steps=2000")), "data")


def test_every_result_is_that_of_its_run(tmp_path, monkeypatch):
    """Two fits at a time; after the last minute none is begun."""
    monkeypatch.setattr(reproduce, "ProcessPoolExecutor", lambda jobs, **_: ThreadPoolExecutor(jobs))
    monkeypatch.setattr(
        reproduce, "fit", lambda run, data_dir: {**finished([run])["runs"][run.key], "test": {"a": run.seed}}
    )
    runs, results = plan(full=False)[:7], tmp_path / "results.json"
    state = load(results)
    reproduce.carry_out(runs, state, 2, "data", results)
    assert load(results) == state
    assert set(state["runs"]) == {run.key for run in runs}
    for run in runs:
        assert result_of(state, run)["test"] == {"a": run.seed}
        assert state["machines"][result_of(state, run)["machine"]] == reproduce.here()
    state = load(tmp_path / "none")
    reproduce.carry_out(runs, state, 2, "data", results, minutes=0)
    assert state["runs"] == {}


@pytest.mark.slow
def test_the_command_goes_on_where_it_was_killed(tmp_path):
    results = tmp_path / "results.json"
    command = [sys.executable, str(ROOT / "scripts" / "reproduce.py"), "--results", str(results), "--jobs", "1"]
    command += ["--seeds", "1", "--only", "sine_sections_*"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as first:
        line = first.stdout.readline()
        first.kill()
    assert line.startswith("1/2 sine_sections_3/0: test/loss")
    assert "min left" in line
    kept = json.loads(results.read_text())
    assert set(kept["runs"]) == {"sine_sections_3/0"}
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "1/1 sine_sections_5/0: " in done.stdout  # the other one only
    second = json.loads(results.read_text())
    assert set(second["runs"]) == {"sine_sections_3/0", "sine_sections_5/0"}
    assert second["runs"]["sine_sections_3/0"] == kept["runs"]["sine_sections_3/0"]
    assert list(tmp_path.iterdir()) == [results]
