"""`scripts/reproduce.py`: what it runs, what it keeps, and that its report is nothing but its results."""

import json
import re
import subprocess
import sys
from argparse import Namespace
from pathlib import Path

import pytest

from rnn_lightning.cli import main
from rnn_lightning.recipes import recipes

ROOT = Path(__file__).parents[2]
sys.path.append(str(ROOT / "scripts"))

import reproduce  # noqa: E402
from reproduction import report, systems  # noqa: E402
from reproduction.fit import fit  # noqa: E402

FULL = pytest.mark.parametrize("full", [False, True], ids=["quick", "full"])


def fake_state(full=False, only=lambda run: True):
    """Results that no run has had: each number is told apart by its seed."""
    runs = {}
    for run in systems.plan(full):
        epochs = {"sine_deep_dropout_document": 15, "mnist_rnn": 5}.get(run.name, 6)
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
    head = {"command": "the command", "full": full, "workers": 2, "seconds": 600.0, "machines": [machine]}
    return {**head, "figures": ["reproduction_series"], "runs": runs}


def row(text, *cells):
    """The one row of a table that begins with these cells, as a list."""
    found = [line for line in text.splitlines() if line.startswith(f"| {' | '.join(cells)} |")]
    assert len(found) == 1, (cells, found)
    return [cell.strip() for cell in found[0].strip("|").split(" | ")]


@FULL
def test_the_plan_has_every_recipe_and_every_network_on_every_task(full):
    runs = systems.plan(full)
    names = {run.name for run in runs}
    assert len({run.key for run in runs}) == len(runs) == len(names) * (3 if full else 1)
    assert set(recipes()) == set(systems.RECIPES) | set(systems.LONG.values())
    assert set(systems.RECIPES) <= names
    assert set(systems.RECIPES) == set(systems.ANSWERS)
    for task in ("adding", "copying"):
        for steps in (50, 100, 200) if full else (50, 100):
            for cell in ("rnn", "irnn", "gru", "lstm"):
                assert {f"{task}_{cell}_{reach}_T{steps}" for reach in ("full", "below", "above")} <= names


@pytest.mark.parametrize("steps", [50, 100, 200])
def test_truncation_reaches_less_or_more_than_the_gap(steps):
    runs = {run.name: " ".join(run.arguments) for run in systems.plan(full=True)}

    def reach(name):
        return int(re.search(r"k2: (\d+)", runs[f"{name}_T{steps}"])[1])

    assert reach("adding_gru_below") < steps / 2 < reach("adding_gru_above") < steps
    assert reach("copying_gru_below") < steps + 10 <= reach("copying_gru_above")


@pytest.mark.parametrize("name", ["adding_irnn_full_T50", "adding_gru_below_T100", "copying_lstm_above_T50"])
@FULL
def test_the_command_line_takes_the_arguments(name, full, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (run,) = [run for run in systems.plan(full) if run.key == f"{name}/0"]
    with pytest.raises(SystemExit) as end:
        main(["fit", *run.arguments, "--print_config"])
    assert end.value.code == 0
    config = capsys.readouterr().out
    assert ("EarlyStopping" in config) == (not full)
    if not full:
        task, steps = name.partition("_")[0], int(name.rpartition("T")[2])
        threshold = float(re.search(r"stopping_threshold: (\S+)", config)[1])
        assert threshold == pytest.approx(systems.solved_below(task, steps), rel=1e-3)


@FULL
def test_the_report_has_a_row_for_every_system(full):
    text = report.render(fake_state(full))
    for name in systems.RECIPES:
        row(text, f"`{name}`")
    for section in ("1.1", "1.3", "1.4.1", "1.4.3", "2.1"):
        row(text, section)
    for printed in ("0.9730", "0.0629", "0.0594", "14.5340", "(2, 5, 100)"):
        assert printed in text
    for cell in ("tanh RNN", "IRNN", "GRU", "LSTM"):
        for reach in systems.REACHES.values():
            assert text.count(f"| {cell} | {reach} |") == 2
    assert "not run" not in text
    for exact in ("0.1667", "0.2971", "0.1733"):
        assert exact in text
    assert ("0.0945" in text) == full  # T = 200
    assert "the command" in text
    assert f"{2 * len(systems.plan(full))} minutes of processor time" in text
    assert "a processor" in text


def test_several_seeds_are_a_mean_and_a_range():
    assert "0.5000 (0.2500 to 0.7500)" in row(report.render(fake_state(full=True)), "`sine_long`")
    assert "0.2500" in row(report.render(fake_state()), "`sine_long`")


def test_the_tutorials_figures_stand_over_ours_of_the_same_steps():
    text = report.render(fake_state())
    table = text[text.index("**2.2**") :].splitlines()[2:7]
    assert table[0].split("|")[2:6] == [" 300 steps ", " 600 steps ", " 900 steps ", " 1200 steps "]
    assert "10.9267" in table[2]
    assert "| ours | 2.2500 | 5.2500 | 8.2500 | 11.2500 |" in table  # after 3, 6, 9 and 12 epochs of a hundred steps


def test_solved_counts_the_sequences_until_the_threshold():
    state = fake_state()
    for losses, words in (([0.1, 0.0015, 0.0017], "4,000"), ([0.1, 0.0017, 0.002], "not solved")):
        result = state["runs"]["adding_gru_full_T50/0"]
        result |= {"validation": {"val/loss": losses}, "batches": 300}
        text = report.render(state).partition("the copy task")[0]
        assert row(text, "GRU", "whole sequence", "0.2500")[3] == words


def test_what_diverged_or_was_not_run_is_said():
    state = fake_state(only=lambda run: run.name != "mnist_rnn")
    run = next(run for run in systems.plan(False) if run.name == "sine_long")
    state["runs"]["sine_long/0"] = {
        "arguments": list(run.arguments),
        "error": "error: train/loss is nan",
        "whole": 60.0,
    }
    text = report.render(state)
    assert "diverged" in row(text, "`sine_long`")
    assert "not run" in row(text, "`mnist_rnn`")
    assert "1 fits of this plan were not run" in text


def test_a_result_of_other_arguments_does_not_count():
    state = fake_state()
    options = Namespace(full=False, only=None, data_dir=str(ROOT / "nowhere"))
    assert [run for run in reproduce.chosen(options, state) if not run.mnist] == []
    state["runs"]["sine_long/0"]["arguments"] = ["--config=sine_long", "--data.n_steps=3"]
    assert [run.key for run in reproduce.chosen(options, state)] == ["sine_long/0"]


def test_only_chooses_by_pattern_and_refuses_what_is_no_system(capsys):
    state = fake_state(only=lambda run: False)
    options = Namespace(full=False, only=["adding_gru_*_T50"], data_dir="data")
    assert len(reproduce.chosen(options, state)) == 3
    with pytest.raises(SystemExit, match="no_such is no system; the systems are adding_"):
        reproduce.chosen(Namespace(full=False, only=["no_such"], data_dir="data"), state)


def test_without_mnist_its_systems_are_left_out_with_a_note(tmp_path, capsys):
    options = Namespace(full=False, only=None, data_dir=str(tmp_path))
    runs = reproduce.chosen(options, fake_state(only=lambda run: False))
    assert runs
    assert not any(run.mnist for run in runs)
    assert f"No MNIST in {tmp_path}" in capsys.readouterr().out


def test_results_come_back_from_the_file_as_they_were(tmp_path):
    path = tmp_path / "results.json"
    reproduce.place(path, reproduce.dump(fake_state()))
    assert reproduce.load(path) == fake_state()
    path.write_text("{")
    with pytest.raises(SystemExit, match="cannot read the results"):
        reproduce.load(path)


def test_results_of_the_other_plan_are_not_overwritten(tmp_path, monkeypatch):
    path = tmp_path / "report.json"
    reproduce.place(path, before := reproduce.dump(fake_state(full=True)))
    monkeypatch.setattr(sys, "argv", ["reproduce.py", "--output", str(tmp_path / "report.md")])
    with pytest.raises(SystemExit, match="holds results of --full"):
        reproduce.main()
    assert path.read_text() == before


def test_one_fit_gives_plain_numbers(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    small = ("--data.eval_windows=50", "--data.steps_per_epoch=3", "--trainer.max_epochs=2")
    result = fit(systems.Run("sine", 1, ("--config=sine_seq2seq", *small), predicts=True), "data")
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
    run = systems.Run("sine", 0, ("--config=sine_seq2seq", "--model.optimizer.lr=1e30", "--data.eval_windows=50"))
    assert "optimizer step 1:" in fit(run, "data")["error"]


def test_a_fit_that_is_refused_is_no_result(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RuntimeError, match=r"sine/0: error: .*n_steps=2000"):
        fit(systems.Run("sine", 0, ("--config=sine_seq2seq", "--data.n_steps=2000")), "data")


def test_the_committed_report_is_that_of_the_committed_results():
    state = reproduce.load(ROOT / "docs" / "reproduction.json")
    text = (ROOT / "docs" / "reproduction.md").read_text()
    assert report.render(state) == text
    assert "not run" not in text
    pictures = re.findall(r"!\[.*?\]\((.*?)\)", text)
    assert len(pictures) == 4
    for picture in pictures:
        assert (ROOT / "docs" / picture).read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_the_command_goes_on_where_it_was_stopped(tmp_path):
    output = tmp_path / "report.md"
    command = [sys.executable, str(ROOT / "scripts" / "reproduce.py"), "--output", str(output), "--workers", "1"]
    done = subprocess.run([*command, "--only", "sine_sections_3"], capture_output=True, text=True, check=True)
    assert "1/1" in done.stderr
    first = json.loads(output.with_suffix(".json").read_text())
    done = subprocess.run([*command, "--only", "sine_sections_*"], capture_output=True, text=True, check=True)
    assert "1/1" in done.stderr  # the other one only
    second = json.loads(output.with_suffix(".json").read_text())
    assert set(second["runs"]) == {"sine_sections_3/0", "sine_sections_5/0"}
    assert second["runs"]["sine_sections_3/0"] == first["runs"]["sine_sections_3/0"]
    assert not list(tmp_path.glob("*.part"))
