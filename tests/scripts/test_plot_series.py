import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "scripts" / "plot_series.py"


def run(*arguments, cwd):
    command = [sys.executable, str(SCRIPT), *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=120)


def test_it_writes_a_png_and_refuses_a_window_that_does_not_fit(tmp_path):
    assert run("--out=a.png", "--n_steps=30", cwd=tmp_path).returncode == 0
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    wrong = run("--out=b.png", "--n_steps=3000", cwd=tmp_path)
    assert wrong.returncode == 2
    assert "n_steps=3000" in wrong.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]
