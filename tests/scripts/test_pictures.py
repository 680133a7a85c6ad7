"""`scripts/pictures.py`."""

import re
from pathlib import Path

import pictures
import pytest

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


def test_the_pictures_of_the_docs_are_there():
    for name, count in (("README.md", 1), ("docs/how_to/tensorboard.md", 3), ("docs/reproduction.md", 4)):
        page = ROOT / name
        found = re.findall(r"!\[.*?\]\((.*?)\)", page.read_text())
        assert len(found) == count
        for picture in found:
            assert (page.parent / picture).read_bytes().startswith(b"\x89PNG")
