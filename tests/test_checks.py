"""What CI claims to run is what noxfile.py has, and every dependency has an oldest version to be tested."""

import ast
import re
from pathlib import Path

import pytest
import yaml

try:
    import tomllib
except ImportError:  # before Python 3.11
    tomllib = pytest.importorskip("tomli")

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
TREE = ast.parse((ROOT / "noxfile.py").read_text())
SESSIONS = {
    node.name
    for node in TREE.body
    if isinstance(node, ast.FunctionDef) and any("session" in ast.unparse(made) for made in node.decorator_list)
}


def commands(job):
    """What a job of the workflow runs, once for each entry of its matrix."""
    for entry in job.get("strategy", {}).get("matrix", {}).get("include", [{}]):
        for step in job["steps"]:
            yield re.sub(r"\$\{\{ matrix\.(\w+) \}\}", lambda m, entry=entry: str(entry[m[1]]), step.get("run", ""))


def test_the_workflow_runs_sessions_that_are_there():
    jobs = yaml.safe_load((ROOT / ".github/workflows/checks.yml").read_text())["jobs"]
    ran = {command for job in jobs.values() for command in commands(job)}
    named = {found[1] for command in ran if (found := re.fullmatch(r"nox -s (\w+)", command))}
    assert "nox" in ran, "the sessions that run by default"
    assert named <= SESSIONS
    (default,) = (
        ast.literal_eval(node.value)
        for node in TREE.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "nox.options.sessions"
    )
    assert {*default, *named} == SESSIONS, "none is left out"


def test_every_session_is_explained():
    (table,) = re.findall(r"\| session \|.*?(?=\n\n)", (ROOT / "CONTRIBUTING.md").read_text(), re.S)
    assert {name for row in table.splitlines()[2:] for name in re.findall(r"`(\w+)`", row.split("|")[1])} == SESSIONS


def test_the_workflow_begins_with_the_oldest_python():
    (oldest,) = re.findall(r">=(3\.\d+)", PROJECT["requires-python"])
    text = (ROOT / ".github/workflows/checks.yml").read_text()
    assert f'{{python: "{oldest}", session: oldest}}' in text
    assert min(map(int, re.findall(r'"3\.(\d+)"', text))) == int(oldest.partition(".")[2])


@pytest.mark.parametrize("extra", [None, "export", "series"])
def test_every_dependency_has_an_oldest_version(extra):
    """The session `oldest` installs it."""
    needs = PROJECT["dependencies"] if extra is None else PROJECT["optional-dependencies"][extra]
    assert needs
    assert all(re.fullmatch(r"[\w.-]+(\[\w+\])?>=[\d.]+(,<[\d.]+)?", need) for need in needs)
