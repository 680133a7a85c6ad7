"""Compiles the native recurrence: `python rnn_lightning/nn/native/build.py` compiles it in place.

It needs only a C compiler with GCC's vector extensions (gcc or clang; `CC` names another). It needs neither torch nor
Python's headers, so one library works with every version of both. For each kind of processor, the library contains
objects compiled for that kind: one for each number type, and one that draws masks. The best kind is chosen when the
library is loaded.
"""

import hashlib
import os
import platform
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
LIBRARY = "librecurrence.so"

FLAGS = [
    *("-std=c11", "-O3", "-fPIC", "-fvisibility=default", "-Wall", "-Wextra", "-Wno-psabi"),
    # Not -ffast-math: it ignores NaN and, when linking, turns off subnormal numbers for the whole process.
    *("-ffp-contract=fast", "-fno-math-errno", "-fno-trapping-math"),
]

VARIANTS = {
    # name: (bytes of a vector, rows of a block, flags)
    "x86_64": {
        "avx512": (64, 12, "-mavx512f -mavx512bw -mavx512dq -mavx512vl -mavx2 -mfma -mprefer-vector-width=512"),
        "avx2": (32, 6, "-mavx2 -mfma"),
        "baseline": (16, 6, ""),
    },
    "aarch64": {"baseline": (16, 12, "")},
}
NUMBERS = {"float": ("float", "int32_t", 1), "double": ("double", "int64_t", 0)}


def machine() -> str:
    """Returns the processor's family as `VARIANTS` names it."""
    name = platform.machine().lower()
    return {"amd64": "x86_64", "arm64": "aarch64"}.get(name, name)


def fingerprint(folder: Path = HERE) -> str:
    """Hashes the C sources; a library compiled from other sources is never loaded."""
    digest = hashlib.sha256()
    for path in sorted((*folder.glob("*.h"), *folder.glob("*.c"))):
        digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def compiler() -> list[str] | None:
    """Returns the C compiler's command, or None if there is none."""
    words = shlex.split(os.environ.get("CC", "")) or next(
        ([name] for name in ("cc", "gcc", "clang") if shutil.which(name)), []
    )
    return words if words and shutil.which(words[0]) else None


def build(target: Path, extra: tuple[str, ...] = ()) -> Path:
    """Compiles the library.

    Args:
        target: The file to write; it is written under another name and then renamed.
        extra: Further flags for compiling and linking, such as those of a sanitizer.

    Raises:
        RuntimeError: There is no compiler, or it fails; the error then has the compiler's message.
    """
    command = compiler()
    if command is None or sys.platform == "win32":
        raise RuntimeError("no C compiler: install gcc or clang, or set CC")
    with tempfile.TemporaryDirectory() as folder:
        common = [f'-DSOURCES="{fingerprint()}"', *extra]
        objects = [_compile(command, folder, f"{name}.c", name, common) for name in ("variants", "threads")]
        for variant, (width, rows, flags) in VARIANTS.get(machine(), {"baseline": (16, 6, "")}).items():
            words = [f"-DVECTOR_BYTES={width}", *flags.split(), *extra]
            objects.append(_compile(command, folder, "masks.c", f"masks_{variant}", [f"-DVARIANT={variant}", *words]))
            for number, (real, bits, is_float) in NUMBERS.items():
                name = f"{variant}_{number}"
                numbers = [f"-DREAL={real}", f"-DBITS={bits}", f"-DIS_FLOAT={is_float}", f"-DBLOCK_ROWS={rows}"]
                objects.append(_compile(command, folder, "recurrence.c", name, [f"-DVARIANT={name}", *numbers, *words]))
        part = target.with_name(f".{target.name}.{os.getpid()}")
        run([*command, "-shared", "-pthread", *extra, *objects, "-lm", "-o", str(part)])
        part.replace(target)
    return target


def _compile(command: list[str], folder: str, source: str, name: str, words: list[str]) -> str:
    output = str(Path(folder, f"{name}.o"))
    run([*command, *FLAGS, *words, "-c", str(HERE / source), "-o", output])
    return output


def run(command: list[str]) -> None:
    """Runs the compiler; if it fails, raises an error with its message."""
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"{shlex.join(command)} failed:\n{done.stderr}")


if __name__ == "__main__":
    print(build(HERE / LIBRARY))
