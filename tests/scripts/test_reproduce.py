"""`scripts/reproduce.py`: what it runs, and what it keeps."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import reproduce
from plan import OWN_DATA, PLAN, Run, dump, load, plan

from rnn_lightning.cli import main
from rnn_lightning.data import CopyMemory
from rnn_lightning.recipes import recipes

ROOT = Path(__file__).parents[2]


def finished(runs):
    return {"machines": [], "runs": {run.key: {"arguments": list(run.arguments), "whole": 2.0} for run in runs}}


@pytest.mark.parametrize("full", [False, True], ids=["quick", "full"])
def test_the_plan_has_every_recipe_and_every_network_on_every_task(full):
    runs = plan(full)
    names = {run.name for run in runs}
    assert len({run.key for run in runs}) == len(runs) == len(names) * (3 if full else 1)
    assert set(recipes()) - {"adding_problem", "copy_memory", *OWN_DATA} <= names
    assert {run.name for run in runs if run.mnist} == {name for name in recipes() if name.startswith("mnist")}
    for task in ("adding", "copying"):
        for steps in (50, 100, 200) if full else (50, 100):
            for cell in ("rnn", "irnn", "gru", "lstm"):
                assert {f"{task}_{cell}_{reach}_T{steps}" for reach in ("full", "below", "above")} <= names
    assert not any("T200" in run.name for run in plan(full=False))


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
    steps = int(name.rpartition("T")[2])
    # Errors of 0.04 on average, or a tenth of what remembers nothing.
    solved = 0.04**2 if name.startswith("adding") else CopyMemory(delay=steps).baseline / 10
    assert float(re.search(r"stopping_threshold: (\S+)", config)[1]) == pytest.approx(solved, rel=1e-3)
    (group,) = (group for group in PLAN["systems"] if group["name"].startswith(name.partition("_")[0]))
    assert f"batches<{solved:.4g}" in str(PLAN["tables"][name.partition("_")[0]])
    assert set(group["axes"]) == {"reach", "cell", "steps"}


def test_a_result_of_other_arguments_does_not_count(tmp_path):
    state = finished(plan(full=False))
    assert [run for run in reproduce.chosen(False, None, str(tmp_path), state) if not run.mnist] == []
    state["runs"]["sine_long/0"]["arguments"] = ["--config=sine_long", "--data.n_steps=3"]
    assert [run.key for run in reproduce.chosen(False, None, str(tmp_path), state)] == ["sine_long/0"]


def test_full_goes_on_from_what_the_first_seed_has(tmp_path):
    runs = reproduce.chosen(True, None, str(tmp_path), finished(plan(full=False)))
    assert len(runs) == len([run for run in plan() if run.full and not run.mnist])


def test_only_chooses_by_pattern_and_refuses_what_is_no_system():
    state = finished([])
    assert len(reproduce.chosen(False, ["adding_gru_*_T50"], "data", state)) == 3
    with pytest.raises(SystemExit, match="no_such is no system; the systems are adding_"):
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
    assert len(result["validation"]["val/loss"]) == 2
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


@pytest.mark.slow
def test_the_command_goes_on_where_it_was_stopped(tmp_path):
    results = tmp_path / "results.json"
    command = [sys.executable, str(ROOT / "scripts" / "reproduce.py"), "--results", str(results), "--workers", "1"]
    done = subprocess.run([*command, "--only", "sine_sections_3"], capture_output=True, text=True, check=True)
    assert "1/1 sine_sections_3/0; about 0 min left" in done.stdout
    first = json.loads(results.read_text())
    done = subprocess.run([*command, "--only", "sine_sections_*"], capture_output=True, text=True, check=True)
    assert "1/1 sine_sections_5/0; about 0 min left" in done.stdout  # the other one only
    second = json.loads(results.read_text())
    assert set(second["runs"]) == {"sine_sections_3/0", "sine_sections_5/0"}
    assert second["runs"]["sine_sections_3/0"] == first["runs"]["sine_sections_3/0"]
    assert list(tmp_path.iterdir()) == [results]
