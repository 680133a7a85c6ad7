"""The library's build: strict warnings, every variant, sanitizers, and what happens without it or with a stale one."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from rnn_lightning.nn.native import build, reason

ROOT = Path(build.__file__).parents[3]
DRIVER = Path(__file__).with_name("driver.c")

pytestmark = pytest.mark.skipif(build.compiler() is None or reason() is not None, reason="no C compiler that works")

SAME = """
import torch
from rnn_lightning.nn import GRU, LSTM, RNN, force_path
from rnn_lightning.nn.native import variant
print(variant())
for kind in (RNN, GRU, LSTM):
    for dtype in (torch.float32, torch.float64):
        for hidden in (1, 13, 40):
            torch.manual_seed(0)
            layer, x = kind(3, hidden, 2, bidirectional=True, dtype=dtype), torch.randn(6, 19, 3, dtype=dtype)
            found = []
            for path in ("native", "torch"):
                with force_path(path):
                    y = layer(x)[0]
                found.append([y, *torch.autograd.grad(y.square().sum(), list(layer.parameters()))])
            for one, other in zip(*found):
                torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4 if dtype == torch.float32 else 1e-10)
"""


def python(code, **environment):
    """Runs code in a process of its own."""
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, env={**os.environ, **environment}
    )


@pytest.mark.slow
def test_no_warning_with_any_number_or_width(tmp_path):
    build.build(tmp_path / build.LIBRARY, ("-Werror",))


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[] if name == "baseline" else pytest.mark.slow)  # all tests run on the widest
        for name in build.VARIANTS.get(build.machine(), {"baseline": None})
    ],
)
def test_every_variant_that_this_processor_has(name):
    done = python(SAME, RNN_LIGHTNING_NATIVE=name)
    if f"{name!r}: give off, or a variant that this processor supports" in done.stderr:
        pytest.skip(f"this processor has no {name}")
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == name


def compile_driver(target, name, *extra):
    """The driver with the recurrence, for one variant; the widest one's layout by instructions that most have."""
    width, rows, flags = build.VARIANTS[build.machine()][name]
    flags = "-mavx2 -mfma" if name == "avx512" else flags
    defines = ["-DREAL=float", "-DBITS=int32_t", "-DIS_FLOAT=1", f"-DVECTOR_BYTES={width}", f"-DBLOCK_ROWS={rows}"]
    sources = [str(DRIVER), *(str(build.HERE / source) for source in ("masks.c", "recurrence.c", "threads.c"))]
    words = [*build.FLAGS, *flags.split(), *defines, "-DVARIANT=tested", f"-I{build.HERE}", "-g", *extra]
    build.run([*build.compiler(), *words, "-D_GNU_SOURCE", *sources, "-pthread", "-lm", "-o", str(target)])


@pytest.mark.slow
@pytest.mark.parametrize("name", list(build.VARIANTS.get(build.machine(), {})))
@pytest.mark.parametrize("sanitizer", ["address,undefined", "thread"])
def test_sanitizers_find_nothing(tmp_path, name, sanitizer):
    try:  # vectors are read at any address, which their type says
        compile_driver(tmp_path / "driver", name, f"-fsanitize={sanitizer}", "-fno-sanitize-recover=all")
    except RuntimeError as error:
        if "cannot find" in str(error):
            pytest.skip("this compiler comes without the sanitizer")
        raise
    done = subprocess.run([tmp_path / "driver"], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.slow
def test_widths_agree(tmp_path):
    """The layout of the widest variant, run by narrower instructions, gives what the narrowest gives."""
    if "avx512" not in build.VARIANTS.get(build.machine(), {}) or python(SAME, RNN_LIGHTNING_NATIVE="avx2").returncode:
        pytest.skip("needs AVX2")
    results = []
    for name in ("avx512", "baseline"):
        compile_driver(tmp_path / name, name)
        results.append(float(subprocess.run([tmp_path / name], capture_output=True, text=True).stdout.split()[0]))
    assert results[0] == pytest.approx(results[1], rel=1e-4)


def test_a_wrong_switch_is_one_line():
    done = python("from rnn_lightning.nn.native import variant; variant()", RNN_LIGHTNING_NATIVE="mmx")
    assert "RNN_LIGHTNING_NATIVE='mmx': give off, or a variant that this processor " in done.stderr.splitlines()[-1]


def test_without_the_library_layers_run_on_other_paths():
    code = """
import torch
from rnn_lightning.nn import GRU
from rnn_lightning.nn.native import reason, variant
assert variant() is None
print(reason())
x = torch.randn(4, 2, 3)
GRU(3, 5)(x)[0].sum().backward()
GRU(3, 5, state_dropout=0.5)(x, reset=torch.rand(4, 2) < 0.5)[0].sum().backward()
"""
    done = python(code, RNN_LIGHTNING_NATIVE="off")
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "RNN_LIGHTNING_NATIVE=off", "")


def test_a_library_of_other_sources_is_not_loaded(tmp_path):
    package = tmp_path / "rnn_lightning"
    shutil.copytree(ROOT / "rnn_lightning", package, ignore=shutil.ignore_patterns("__pycache__", "weights", "configs"))
    code = """
import os, sys, torch  # which takes most of a start: the processes that load the library are forked from here
from pathlib import Path

def show():
    sys.stdout.flush()
    if (child := os.fork()) == 0:
        from rnn_lightning.nn.native import reason
        print(reason(), flush=True)
        os._exit(0)
    os.waitpid(child, 0)

native = Path("rnn_lightning/nn/native")
header, library = native / "layer.h", native / sys.argv[1]
show()
header.write_text(header.read_text() + "\\n")
show()
library.write_bytes(b"no library")
show()
library.unlink()
show()
"""
    run = [sys.executable, "-c", code, build.LIBRARY]
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run(run, capture_output=True, text=True, cwd=tmp_path, env=environment)
    assert done.returncode == 0, done.stderr
    fresh, other, broken, gone = done.stdout.splitlines()
    assert fresh == "None"
    assert "compiled from different sources: install the package again" in other
    assert "can't be loaded" in broken
    assert "install a C compiler, then the package again" in gone


@pytest.mark.parametrize("way", ["fork", pytest.param("spawn", marks=pytest.mark.slow)])
def test_workers_that_were_forked_or_spawned_compute_the_same(way, tmp_path):
    code = """
import sys, torch
from torch.utils.data import DataLoader, Dataset
from rnn_lightning.nn.native import native_recurrence

class Computed(Dataset):
    def __len__(self):
        return 4
    def __getitem__(self, index):
        torch.set_num_threads(2)  # workers have one by default
        torch.manual_seed(index)
        x, w = torch.randn(40, 40, 3), [torch.randn(96, 3), torch.randn(96, 32)]
        y, *_ = native_recurrence("GRU", x, (torch.zeros(40, 32),), w)
        return float(y.numpy().sum())  # torch's own sum over several threads hangs after a fork

if __name__ == "__main__":
    torch.set_num_threads(2)
    here = [Computed()[i] for i in range(4)]  # torch's threads are at work before the fork
    loader = DataLoader(Computed(), batch_size=None, num_workers=2, multiprocessing_context=sys.argv[1])
    assert list(loader) == here
    print("same")
"""
    script = tmp_path / "workers.py"
    script.write_text(code)
    run = [sys.executable, str(script), way]
    done = subprocess.run(run, capture_output=True, text=True, timeout=120, env={**os.environ, "PYTHONPATH": str(ROOT)})
    assert done.stdout.strip() == "same", done.stderr
