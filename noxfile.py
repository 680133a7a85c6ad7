"""The checks that CI runs, each in a fresh environment. `nox` runs those for every change, `nox -s lint` runs one.

`nox -l` lists them all, and marks the former: `tests` measures coverage, and with `oldest` runs on several versions of
Python; `slow` runs every night.

`PIP_CONSTRAINT` may name a file that restricts pip to certain versions, as `.ci/run` does for torch.
"""

import os
import re
import tempfile
from pathlib import Path

import nox

nox.needs_version = ">=2024.10"
nox.options.sessions = ["lint", "types", "docs", "readme", "no_compiler", "wheel"]
nox.options.error_on_external_run = True

OLDER_PROCESSOR = {
    "ONEDNN_MAX_CPU_ISA": "AVX2",  # torch's own kernels
    "ATEN_CPU_CAPABILITY": "avx2",
    "RNN_LIGHTNING_NATIVE": "avx2",  # ours
}
NO_COMPILER = {"CC": "/bin/false"}
HUB = """
import torch, pathlib
for path in pathlib.Path("rnn_lightning/weights").glob("*.json"):
    net = torch.hub.load(".", path.stem, source="local")
    y, state = net(torch.rand(2, 28, net.layers.input_size))
    assert y.isfinite().all()
    print(path.stem, tuple(y.shape))
"""
MNIST = os.environ.get("RNN_LIGHTNING_MNIST", str(Path("../shared/data/mnist").resolve()))


def _clone(session: nox.Session) -> Path:
    """Makes a clean clone of the last commit, in the session's temporary folder."""
    if session.run("git", "status", "--porcelain", external=True, silent=True):
        session.warn("there are uncommitted changes, which this session does not include")
    folder = Path(tempfile.mkdtemp(dir=session.create_tmp()), "clone")
    session.run("git", "clone", "--quiet", ".", str(folder), external=True)
    return folder


def _mnist() -> dict[str, str]:
    return {"RNN_LIGHTNING_MNIST": MNIST} if Path(MNIST).is_dir() else {}


@nox.session
def lint(session: nox.Session) -> None:
    """Ruff's checks, and the format of the code."""
    (ruff,) = (line for line in nox.project.load_toml()["project"]["optional-dependencies"]["dev"] if "ruff" in line)
    session.install(ruff)
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")


@nox.session
def types(session: nox.Session) -> None:
    """Mypy on package, scripts and tests."""
    session.install("-e", ".[dev]")
    session.run("mypy")


@nox.session
def tests(session: nox.Session) -> None:
    """The default tests on the working tree, with coverage; arguments go to pytest."""
    session.install("-e", ".[test]", "pytest-cov")
    session.run("pytest", "--cov", "--cov-report=term:skip-covered", *session.posargs, env=_mnist())


@nox.session
def slow(session: nox.Session) -> None:
    """The tests marked `slow`, which the default leaves out."""
    session.install("-e", ".[test]")
    session.run("pytest", "-m", "slow", *session.posargs, env=_mnist())


@nox.session
def docs(session: nox.Session) -> None:
    """The pages: tables match the results, links work, and the site builds without a warning.

    The session `tests` runs the pages' code.
    """
    session.install("-e", ".[docs]", env=NO_COMPILER)
    session.run("python", "scripts/tables.py", "--check")
    session.run("mkdocs", "build", "--strict", "--site-dir", session.create_tmp())


@nox.session(venv_backend="none")
def readme(session: nox.Session) -> None:
    """README's test command, unchanged, in a clean clone; then the layers' tests again, as on an older processor."""
    folder = _clone(session)
    (line,) = re.findall(r"^python3 -m venv .*pytest$", (folder / "README.md").read_text(), re.M)
    with session.chdir(folder):
        session.run("bash", "-euxc", line, external=True, env=_mnist())
        session.run(".venv/bin/python", "-m", "pytest", "tests/nn", external=True, env=OLDER_PROCESSOR)


@nox.session
def no_compiler(session: nox.Session) -> None:
    """An install where no C compiler works must succeed, and the layers must pass their tests on torch's kernels."""
    folder = _clone(session)
    session.install(f"{folder}[test]", env=NO_COMPILER)
    with session.chdir(folder):
        session.run("rm", "-r", "rnn_lightning", external=True)  # so that the tests find the installed package
        session.run("pytest", "tests/nn", *session.posargs)


@nox.session
def wheel(session: nox.Session) -> None:
    """Builds the wheel, loads the trained networks with torch alone, and runs a recipe from the wheel."""
    folder = Path(tempfile.mkdtemp(dir=session.create_tmp()))
    session.install("build")
    session.run("python", "-m", "build", "--outdir", str(folder), ".", silent=True)
    session.install("torch")
    session.run("pip", "uninstall", "--quiet", "--yes", "numpy", success_codes=[0, 1])
    session.run("python", "-c", HUB)
    session.install(str(next(folder.glob("*.whl"))))
    with session.chdir(folder):
        session.run("rnn-lightning", "fit", "--config", "sine_seq2seq", "--trainer.enable_progress_bar=false")
        session.run("python", "-c", "from rnn_lightning import hub; print(hub.seq2vec_mnist_lstm())")


@nox.session
def oldest(session: nox.Session) -> None:
    """The default tests with the oldest allowed version of every dependency, including those of the extras."""
    project = nox.project.load_toml()["project"]
    extras = project["optional-dependencies"]
    needs = [*project["dependencies"], *extras["export"], *extras["series"]]
    oldest = [re.sub(r">=([^,\s]+).*", r"==\1.*", need) for need in needs]
    if "PIP_CONSTRAINT" in os.environ:  # would restrict torch to the one available build
        oldest = [need for need in oldest if not need.startswith("torch==")]
    session.install(*oldest, "-e", ".[test]")
    session.run("pytest", "-W", "default", *session.posargs, env=_mnist())  # newer packages would break old ones
