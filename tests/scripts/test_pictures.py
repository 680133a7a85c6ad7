"""`scripts/pictures.py`."""

import re
from pathlib import Path

import memory_pictures
import pictures
import pytest
from plan import dump, plan
from test_tables import fake_state

ROOT = Path(__file__).parents[2]


def test_it_draws_the_series_and_refuses_a_window_that_does_not_fit(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    pictures.run(["series", "--out=a.png", "--n_steps=30"])
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(SystemExit) as end:
        pictures.run(["series", "--out=b.png", "--n_steps=3000"])
    assert end.value.code == 2
    assert "n_steps=3000" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


def points(line):
    return dict(zip(*(values.tolist() for values in line.get_data()), strict=True))


def test_the_reach_of_gradients_is_drawn_for_the_tasks_that_were_run(tmp_path):
    state = fake_state(full=True, only=lambda run: not run.name.startswith("reach_text"))
    for k in (1, 8, 64):
        for seed in (0, 1, 2):
            cost = {"milliseconds": 64.0 / k, "kept": k}
            state["runs"][f"reach_wave_k{k}/{seed}"] |= {"test": {"test/loss": 3 / k + seed}, **cost}
    wave, adding, wave_costs, _ = memory_pictures.reach(state).axes
    assert wave.get_title("left") == "The wave, 64 steps (3 seeds, mean and range)"
    assert adding.get_title("left").startswith("The adding problem")
    losses, time, memory = (points(line) for line in (wave.get_lines()[0], *wave_costs.get_lines()))
    assert [losses[k] for k in (1, 8, 64)] == [4.0, 1.375, 1 + 3 / 64]
    assert (time[1], memory[1], time[64], memory[64]) == (64, 1 / 64, 1, 1)
    results = tmp_path / "results.json"
    results.write_text(dump(state))
    pictures.run(["memory", f"--results={results}", f"--out={tmp_path}"])
    assert {path.name for path in tmp_path.glob("*.png")} == {"reproduction_reach.png", "reproduction_pixels.png"}
    for name in ("reach", "pixels"):
        assert (tmp_path / f"reproduction_{name}.png").read_bytes().startswith(b"\x89PNG")


def test_what_was_not_run_has_no_picture():
    state = fake_state(full=False)
    assert memory_pictures.reach(state) is None
    assert memory_pictures.pixels(state) is None
    assert {run.key for run in plan(False)} == set(state["runs"])


def test_the_pictures_of_the_docs_are_there():
    for name, count in (("README.md", 1), ("docs/how_to/tensorboard.md", 3), ("docs/reproduction.md", 6)):
        page = ROOT / name
        found = re.findall(r"!\[.*?\]\((.*?)\)", page.read_text())
        assert len(found) == count
        for picture in found:
            assert (page.parent / picture).read_bytes().startswith(b"\x89PNG")
