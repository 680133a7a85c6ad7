"""What importing the package loads, and that its rooms import only those below them."""

import ast
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "rnn_lightning"
BELOW = {
    "batch.py": set(),
    "errors.py": set(),
    "files.py": {"errors", "locks"},
    "locks.py": set(),
    "claims.py": {"errors", "files", "locks"},
    "fitted.py": {"errors"},
    "forecasts": {"errors", "forecasts", "nn"},
    "figures": {"errors", "figures", "files"},
    "nn": {"errors", "nn"},
    "data": {"batch", "errors", "files", "fitted", "forecasts", "nn", "data"},
    "models": {"batch", "errors", "fitted", "nn", "saved", "models"},
    "predictions": {"batch", "errors", "files", "nn", "models", "figures", "predictions"},
    "callbacks": {
        "batch",
        "errors",
        "files",
        "forecasts",
        "nn",
        "data",
        "saved",
        "models",
        "figures",
        "predictions",
        "callbacks",
        "runs",
    },
    "saved.py": {"errors", "files", "fitted", "forecasts", "nn"},
    "hub.py": {"errors", "fitted", "forecasts", "nn", "saved"},
    "export.py": {"errors", "files", "fitted", "forecasts", "nn", "saved"},
    "recipes.py": {"errors", "files"},
    "runs.py": {"claims", "errors", "files", "saved"},
    "slurm.py": {"runs"},
    "checkpoint_io.py": {"files"},
    "continuation.py": {"data", "errors", "files", "fitted", "nn", "saved"},
}
LIGHT = (
    "errors.py",
    "files.py",
    "locks.py",
    "fitted.py",
    "forecasts",
    "nn",
    "saved.py",
    "hub.py",
    "export.py",
)  # what torch.hub loads, and what needs no more


def nodes(tree):
    """All but what stands under `if TYPE_CHECKING`, which is never run."""
    yield tree
    for child in ast.iter_child_nodes(tree):
        if not (isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING"):
            yield from nodes(child)


def imports(file):
    for node in nodes(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def test_every_room_is_listed_and_no_import_goes_in_a_circle():
    """Neither from room to room nor, within one, from file to file."""
    rooms = {path.name for path in PACKAGE.iterdir() if path.suffix == ".py" or list(path.glob("*.py"))}
    assert rooms == {*BELOW, "__init__.py", "__main__.py", "cli"}
    names = {room: room.removesuffix(".py") for room in BELOW}
    assert set(TopologicalSorter({names[room]: BELOW[room] - {names[room]} for room in BELOW}).static_order())
    files = {".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts): path for path in PACKAGE.rglob("*.py")}
    files = {name.removesuffix(".__init__"): path for name, path in files.items()}
    graph = {
        name: {found if found in files else found.rpartition(".")[0] for found in imports(path)} & set(files)
        for name, path in files.items()
    }
    assert set(TopologicalSorter(graph).static_order()) == set(files)


@pytest.mark.parametrize("room", BELOW)
def test_a_room_imports_only_rooms_below_it(room):
    for file in [PACKAGE / room] if room.endswith(".py") else (PACKAGE / room).rglob("*.py"):
        for name in imports(file):
            parts = name.split(".")
            if parts[0] == "rnn_lightning" and len(parts) > 1:
                assert parts[1] in BELOW[room], f"{file.name} imports {name}"
            if room in (*LIGHT, "figures"):
                assert parts[0] not in ("lightning", "torchmetrics", "jsonargparse"), f"{file.name} imports {name}"
            if room in LIGHT:
                assert parts[0] != "numpy", f"{file.name} imports {name}"


def test_importing_the_package_loads_neither_torch_nor_lightning():
    code = "import sys, rnn_lightning; assert not {'torch', 'lightning'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_matplotlib_is_imported_by_the_figures_alone_and_they_only_by_what_draws():
    for file in PACKAGE.rglob("*.py"):
        if file.parent.name != "figures":
            assert not any(name.startswith("matplotlib") for name in imports(file)), file.name
    code = "import sys, rnn_lightning.hub; assert 'matplotlib' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


@pytest.mark.slow
def test_the_command_line_imports_no_figures_before_it_draws():
    code = "import sys, rnn_lightning.cli; assert 'rnn_lightning.figures' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_no_argument_is_one_of_both_a_model_and_a_data_module():
    import inspect

    from rnn_lightning import data, models

    names = {kind: set() for kind in ("model", "data")}
    for cls in (models.Seq2Seq, models.Seq2Vec):
        names["model"] |= set(inspect.signature(cls).parameters)
    for cls in (data.SequenceMNIST, data.SyntheticSine, data.TimeSeries, data.AddingProblem, data.CopyMemory):
        names["data"] |= set(inspect.signature(cls).parameters)
    assert not names["model"] & names["data"]
