"""`scripts/train_weights.py`, on trainings of seconds: what it writes, that it repeats, and what its check finds."""

import sys
from dataclasses import replace
from pathlib import Path

import pytest

REPO = Path(__file__).parents[1]
SCRIPTS = REPO / "scripts"


@pytest.fixture(scope="module")
def script():
    """The script as a module."""
    sys.path.insert(0, str(SCRIPTS))
    try:
        import train_weights
    finally:
        sys.path.remove(str(SCRIPTS))
    return train_weights


@pytest.fixture
def make(script, tmp_path, monkeypatch):
    """Trains `seq2seq_sine_deep` for a moment, and returns the folder."""
    monkeypatch.chdir(tmp_path)
    short = ("--trainer.max_epochs=2", "--data.steps_per_epoch=3", "--data.eval_windows=50", "--data.batch_size=20")
    entry = replace(script.NETWORKS["seq2seq_sine_deep"], overrides=short)

    def run(seeds, name="out"):
        script.make(entry, seeds, "data", tmp_path / name)
        return tmp_path / name

    return run


def test_weights_and_card_of_the_seed_that_validates_best(make, script, capsys):
    folder = make([0, 1, 2])
    out = capsys.readouterr().out
    losses = [float(line.rpartition(" ")[2]) for line in out.splitlines() if ": val/loss" in line]
    assert len(set(losses)) == 3
    best = losses.index(min(losses))
    assert f"by seed {best} of [0, 1, 2]" in out
    text = (folder / "seq2seq_sine_deep.md").read_text()
    rows = [line for line in text.splitlines() if line.endswith("shipped |")]
    assert len(rows) == 1
    assert rows[0].startswith(f"| {best} | {losses[best]:.5f} | ")
    assert script.read_card(folder / "seq2seq_sine_deep.md").test == float(rows[0].split(" | ")[2])
    assert f"--seed_everything {best}" in text
    assert "--data.batch_size=20" in text
    assert script.check(["seq2seq_sine_deep"], "data", folder) == []


def test_the_same_command_gives_the_same_bytes(make):
    first, second = make([1], "first"), make([1], "second")
    names = sorted(path.name for path in first.iterdir())
    assert len(names) == 3
    for name in names:
        assert (first / name).read_bytes() == (second / name).read_bytes()


def test_what_the_check_finds(make, script):
    folder = make([0])
    card = folder / "seq2seq_sine_deep.md"
    text, claimed = card.read_text(), script.read_card(card)
    card.write_text(text.replace(f"| {claimed.test:.4f} |", f"| {claimed.test - 0.001:.4f} |"))
    (wrong,) = script.check(["seq2seq_sine_deep"], "data", folder)
    assert f"the card says test mse {claimed.test - 0.001:.4f}" in wrong
    for part in (claimed.sha256, f"{claimed.size} bytes", claimed.weights):
        card.write_text(text.replace(part, part.replace(part[0], "0" if part[0] != "0" else "1")))
        (wrong,) = script.check(["seq2seq_sine_deep"], "data", folder)
        assert "the card is of another file" in wrong
    card.write_text("# A card without figures\n")
    with pytest.raises(ValueError, match="lacks its table"):
        script.check(["seq2seq_sine_deep"], "data", folder)
    (file,) = folder.glob("*.pt")
    file.write_bytes(file.read_bytes()[:-1])
    card.write_text(text)
    with pytest.raises(ValueError, match="changed or cut off"):
        script.check(["seq2seq_sine_deep"], "data", folder)


def test_the_cards_of_what_ships_say_what_it_does(script, mnist_dir):
    assert script.check(list(script.NETWORKS), str(mnist_dir), script.WEIGHTS) == []


def test_the_cards_of_what_ships_are_of_these_recipes(script):
    for name, entry in script.NETWORKS.items():
        text = (script.WEIGHTS / f"{name}.md").read_text()
        assert f"--config {entry.recipe} --seed_everything" in text
        assert " \\\n  ".join(entry.overrides) + "\n```" in text
        seeds = [line for line in text.splitlines() if line[:3] in ("| 0", "| 1", "| 2")]
        assert len(seeds) == 3
        for words in ("Apache-2.0", "Lightning 2", "torch 2", "## Limits", "## Use", "## Data"):
            assert words in text


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--check", "seq2seq_sine"], None, "the card says"),
        (["--check", "seq2seq_sine", "--output=empty"], 2, "error: there is no model card empty/seq2seq_sine.md"),
        (["seq2seq_cosine"], 2, "error: seq2seq_cosine: give one or several of seq2vec_mnist, "),
        ([], 2, "error: no NAME: "),
    ],
)
def test_from_the_command_line(script, arguments, code, words, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(script.torch, "set_num_threads", lambda threads: None)  # for this process, it would stay so
    with pytest.raises(SystemExit) as end:
        script.run(arguments)
    assert end.value.code == code
    captured = capsys.readouterr()
    (line,) = (captured.out + captured.err).strip().splitlines()
    assert words in line


def test_a_check_that_finds_something_fails(make, script, capsys, monkeypatch):
    folder = make([0])
    monkeypatch.setattr(script.torch, "set_num_threads", lambda threads: None)
    card = folder / "seq2seq_sine_deep.md"
    claimed = script.read_card(card).test
    card.write_text(card.read_text().replace(f"| {claimed:.4f} |", f"| {claimed + 0.001:.4f} |"))
    with pytest.raises(SystemExit) as end:
        script.run(["--check", "seq2seq_sine_deep", f"--output={folder}"])
    assert f"the card says test mse {claimed + 0.001:.4f}" in str(end.value.code)
