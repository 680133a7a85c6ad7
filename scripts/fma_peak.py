"""Measures the processor's peak: multiply-add operations per second, with all data in registers."""

import ctypes
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from measure import timed

from rnn_lightning.nn.native import build, variant


def fma_peak(threads: int, seconds: float = 0.2) -> float:
    """Returns the GFLOP/s of all threads together, the best of some short runs; 0 without the native recurrence."""
    name = variant()
    if name is None:
        return 0.0
    width, rows, flags = build.VARIANTS[build.machine()][name]
    defines = ["-DREAL=float", "-DBITS=int32_t", f"-DVECTOR_BYTES={width}", f"-DBLOCK_ROWS={rows}"]
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder, "peak.so")
        command = build.compiler()
        assert command is not None, "the library was compiled with it"
        source = [str(Path(__file__).with_name("fma_peak.c")), "-I", str(build.HERE)]
        build.run([*command, *build.FLAGS, *flags.split(), *defines, "-shared", *source, "-o", str(target)])
        library = ctypes.CDLL(str(target))
    library.multiply_add.argtypes, rounds = [ctypes.c_long], 2_000_000
    times: list[float] = []
    with ThreadPoolExecutor(threads) as pool:
        while sum(times) < seconds:
            times.append(timed(lambda: list(pool.map(library.multiply_add, [rounds] * threads))))
    return float(threads * rounds * library.operations() / min(times) / 1e9)
