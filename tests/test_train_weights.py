"""`scripts/train_weights.py`, on trainings of seconds: what it writes, that it repeats, and what its check finds."""

import json
import shutil
from pathlib import Path

import model_cards
import pages
import pytest
import tables
import train_weights as script

NAME = "seq2seq_sine_deep"


def make(seeds, folder):
    """Trains `seq2seq_sine_deep` for a moment, and returns the folder."""
    short = ["--trainer.max_epochs=2", "--data.steps_per_epoch=3", "--data.eval_windows=50", "--data.batch_size=20"]
    script.make(NAME, {**script.NETWORKS[NAME], "arguments": short}, seeds, "data", folder)
    return folder


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """What one training by seed 0 wrote."""
    return make([0], tmp_path_factory.mktemp("trained"))


@pytest.fixture
def copy(trained, tmp_path):
    """The same, to be changed."""
    return Path(shutil.copytree(trained, tmp_path / "copy"))


@pytest.mark.slow
def test_weights_and_figures_of_the_seed_that_validates_best(tmp_path, capsys):
    folder = make([0, 1, 2], tmp_path)
    out = capsys.readouterr().out
    losses = [float(line.rpartition(" ")[2]) for line in out.splitlines() if ": val/loss" in line]
    assert len(set(losses)) == 3
    best = losses.index(min(losses))
    assert f"by seed {best} of [0, 1, 2]" in out
    training = json.loads((folder / f"{NAME}.json").read_text())["training"]
    assert training["seed"] == best
    assert [training["runs"][str(seed)]["val_loss"] for seed in (0, 1, 2)] == losses
    card = pages.fill((script.WEIGHTS / f"{NAME}.md").read_text(), model_cards.card_tables(folder / f"{NAME}.json"))
    (row,) = [line for line in card.splitlines() if line.endswith("shipped |")]
    assert row.startswith(f"| {best} | {losses[best]:.5f} | ")
    assert model_cards.description(folder / f"{NAME}.json")["test"] == float(row.split(" | ")[2])
    assert f"--seed_everything {best}" in card
    assert "--data.batch_size=20" in card
    assert script.check([NAME], "data", folder) == []


def test_the_same_command_gives_the_same_bytes(trained, tmp_path):
    again = make([0], tmp_path)
    names = sorted(path.name for path in trained.iterdir())
    assert len(names) == 2
    for name in names:
        assert (trained / name).read_bytes() == (again / name).read_bytes()


def test_what_the_check_finds(copy):
    folder = copy
    path = folder / f"{NAME}.json"
    text = path.read_text()
    found = json.loads(text)
    found["training"]["runs"]["0"]["test"] -= 0.001
    path.write_text(json.dumps(found))
    (wrong,) = script.check([NAME], "data", folder)
    assert f"its figures say test mse {found['training']['runs']['0']['test']}" in wrong
    path.write_text(json.dumps({key: value for key, value in found.items() if key != "training"}))
    (wrong,) = script.check([NAME], "data", folder)
    assert "has no figures" in wrong
    (file,) = folder.glob("*.pt")
    file.write_bytes(file.read_bytes()[:-1])
    path.write_text(text)
    with pytest.raises(ValueError, match="changed or truncated"):
        script.check([NAME], "data", folder)


def test_what_ships_does_what_its_figures_say(mnist_dir):
    assert script.check(list(script.NETWORKS), str(mnist_dir), script.WEIGHTS) == []


def test_the_cards_of_what_ships_are_of_these_recipes():
    assert set(script.NETWORKS) == set(tables.shipped())
    for name, entry in script.NETWORKS.items():
        training = json.loads((script.WEIGHTS / f"{name}.json").read_text())["training"]
        assert {key: training[key] for key in entry} == entry
        text = (script.WEIGHTS / f"{name}.md").read_text()
        assert f"--config {entry['recipe']} --seed_everything" in text
        assert " \\\n  ".join(entry["arguments"]) + "\n```" in text
        seeds = [line for line in text.splitlines() if line[:3] in ("| 0", "| 1", "| 2")]
        assert len(seeds) == 3
        for words in ("Apache-2.0", "Lightning 2", "torch 2", "## Limits", "## Use", "## Data"):
            assert words in text


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--check", "seq2seq_sine"], None, "its figures say"),
        (["--check", "seq2seq_sine", "--output=empty"], 2, "error: there is no file empty/seq2seq_sine.json"),
        (["seq2seq_cosine"], 2, "error: seq2seq_cosine: give one or more of seq2vec_mnist, "),
        ([], 2, "error: no NAME: "),
    ],
)
def test_from_the_command_line(arguments, code, words, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as end:
        script.run(arguments)
    assert end.value.code == code
    captured = capsys.readouterr()
    (line,) = (captured.out + captured.err).strip().splitlines()
    assert words in line


def test_a_check_that_finds_something_fails(copy):
    path = copy / f"{NAME}.json"
    found = json.loads(path.read_text())
    found["training"]["runs"]["0"]["test"] += 0.001
    path.write_text(json.dumps(found))
    with pytest.raises(SystemExit) as end:
        script.run(["--check", NAME, f"--output={path.parent}"])
    assert f"its figures say test mse {found['training']['runs']['0']['test']}" in str(end.value.code)
