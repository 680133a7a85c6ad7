"""Runs PyTorch's own tests of RNN, LSTM and GRU with our classes, and with torch.nn's to compare.

    python scripts/torch_rnn_tests.py ../pytorch    # a checkout of PyTorch, of the same version as the wheel

Only tests that fail with our classes and pass with torch.nn's count: they are listed, and the exit status is 1. The
test files need `pytest`, `expecttest` and the packages that they import.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import xml.etree.ElementTree
from pathlib import Path

from torch import nn

import rnn_lightning.nn as ours

FILES = ("test_nn.py", "test_modules.py", "nn/test_packed_sequence.py", "test_expanded_weights.py")
"""The files of a checkout's `test` folder that have tests of recurrent layers."""
SELECT = "RNN or LSTM or GRU or rnn or lstm or gru"
SUBSTITUTE = "RNN_LIGHTNING_SUBSTITUTE"


def pytest_configure() -> None:
    """As a plugin of pytest: replaces torch.nn's classes with ours, except the cells and the base class."""
    for name in ("RNN", "LSTM", "GRU") if os.environ[SUBSTITUTE] else ():
        for module in (nn, nn.modules, nn.modules.rnn):
            setattr(module, name, getattr(ours, name))


def results(tests: Path, substituted: bool) -> dict[str, str]:
    """Runs the tests in their own process, and returns by test what went wrong; "" for a test that passes."""
    files = [file for file in FILES if (tests / file).is_file()]
    if not files:
        sys.exit(f"error: {tests} has none of {', '.join(FILES)}: give a checkout of PyTorch")
    path = os.pathsep.join([str(Path(__file__).parent), str(tests), os.environ.get("PYTHONPATH", "")])
    env = {**os.environ, "PYTHONPATH": path, SUBSTITUTE: "1" if substituted else ""}
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "report.xml")
        command = [sys.executable, "-m", "pytest", "-p", Path(__file__).stem, "-p", "no:cacheprovider", "-q"]
        subprocess.run([*command, *files, "-k", SELECT, f"--junitxml={report}"], cwd=tests, env=env)
        found = {}
        for case in xml.etree.ElementTree.parse(report).iter("testcase"):
            wrong = [part.get("message") or "failed" for part in case if part.tag in ("failure", "error")]
            found[f"{case.get('classname')}.{case.get('name')}"] = wrong[0].splitlines()[0] if wrong else ""
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkout", type=Path, help="a checkout of PyTorch")
    tests = parser.parse_args().checkout.resolve() / "test"
    with_ours, with_theirs = results(tests, True), results(tests, False)
    for title, part in (("ours", with_ours), ("torch.nn's", with_theirs)):
        print(f"with {title}: {len(part)} tests, {sum(map(bool, part.values()))} fail")
    new = [name for name, wrong in with_theirs.items() if not wrong and with_ours.get(name, "not run")]
    for name in new:
        print(f"fails with ours only: {name}: {with_ours.get(name, 'not run')}")
    sys.exit(bool(new))
