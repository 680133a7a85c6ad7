"""`scripts/pictures.py`."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def run(*arguments, cwd):
    command = [sys.executable, str(ROOT / "scripts" / "pictures.py"), "series", *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=120)


def test_it_draws_the_series_and_refuses_a_window_that_does_not_fit(tmp_path):
    assert run("--out=a.png", "--n_steps=30", cwd=tmp_path).returncode == 0
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    wrong = run("--out=b.png", "--n_steps=3000", cwd=tmp_path)
    assert wrong.returncode == 2
    assert "n_steps=3000" in wrong.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


def test_the_pictures_of_the_docs_are_there():
    for name, count in (("README.md", 3), ("docs/reproduction.md", 4)):
        page = ROOT / name
        pictures = re.findall(r"!\[.*?\]\((.*?)\)", page.read_text())
        assert len(pictures) == count
        for picture in pictures:
            assert (page.parent / picture).read_bytes().startswith(b"\x89PNG")
