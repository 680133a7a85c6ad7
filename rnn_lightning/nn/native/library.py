"""The native recurrence's library: found beside this file, loaded once, called through pointers.

It is optional. Without it, layers run on torch's kernels, or on the reference if they have state dropout; `reason` says
why it is missing. Set the environment variable `RNN_LIGHTNING_NATIVE` to a variant, such as `avx2` or `baseline`, to
use that one instead of the best, or to `off` to use none. It is read once, at the first use: a look at the environment
takes as long as an operation of torch.
"""

import ctypes
import os
import struct
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from rnn_lightning.errors import ArgumentError
from rnn_lightning.nn.native.build import LIBRARY, VARIANTS, fingerprint, machine

SWITCH = "RNN_LIGHTNING_NATIVE"
HERE = Path(__file__).parent
CELLS = {"RNN_TANH": 0, "RNN_RELU": 1, "LSTM": 2, "GRU": 3}
TAPE_VECTORS = {"RNN_TANH": 1, "RNN_RELU": 1, "LSTM": 6, "GRU": 5}
"""The same numbers as in `tape_vectors` of layer.h."""
PACKED = struct.Struct("=7q Q2q 4Q 2Q Q2qd Q Q2q Q 2Q Q Q2q 2Q Q 2Q 2Q 2Q".replace(" ", ""))
"""The fields of `layer` in layer.h: integers, and pointers as unsigned integers."""


class Entries(NamedTuple):
    """The library's functions for one number type."""

    forward: Callable[[bytes], int]
    backward: Callable[[bytes], int]
    lanes: int


class Library(NamedTuple):
    """A loaded library: the variant that runs, its functions by type, and the function that draws masks."""

    variant: str
    entries: dict[torch.dtype, Entries]
    draw_mask: Callable[[int, int, int, int, int], None]


@cache
def load() -> Library | str:
    """Loads the library, or returns the reason why there is none."""
    switch = os.environ.get(SWITCH, "")
    if switch == "off":
        return f"{SWITCH}=off"
    path = HERE / LIBRARY
    if not path.is_file():
        return f"no {LIBRARY} in {HERE}: install a C compiler, then the package again (in a checkout with -e)"
    try:
        loaded = ctypes.CDLL(str(path))
    except OSError as error:
        return f"{path} can't be loaded: {error}"
    loaded.sources.restype = ctypes.c_char_p
    if loaded.sources().decode() != fingerprint():
        return f"{path} was compiled from different sources: install the package again"
    known = VARIANTS.get(machine(), {"baseline": None})
    usable = [name for name in known if getattr(loaded, f"supports_{name}")()]
    if switch and switch not in usable:
        raise ArgumentError(
            f"{SWITCH}={switch!r}: give off, or a variant that this processor supports: {', '.join(usable)}"
        )
    variant = switch or usable[0]  # the widest is first
    _share_threads(loaded)
    types = {torch.float32: "float", torch.float64: "double"}
    entries = {dtype: _entries(loaded, f"{variant}_{name}") for dtype, name in types.items()}
    draw_mask = getattr(loaded, f"draw_mask_{variant}")
    draw_mask.argtypes = [ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint64, ctypes.c_int]
    return Library(variant, entries, draw_mask)


def _share_threads(loaded: ctypes.CDLL) -> None:
    """Lets the library run on torch's own threads, if torch's OpenMP library is found among those loaded."""
    try:
        lines = Path("/proc/self/maps").read_text().splitlines()
    except OSError:  # not Linux
        return
    for path in sorted({line.split(maxsplit=5)[5] for line in lines if "omp" in line}):
        if Path(path).name.startswith(("libgomp", "libiomp", "libomp")):
            openmp = ctypes.CDLL(path)
            names = ("GOMP_parallel", "omp_get_thread_num", "omp_get_num_threads")
            if all(hasattr(openmp, name) for name in names):
                loaded.use_openmp(*(ctypes.cast(getattr(openmp, name), ctypes.c_void_p) for name in names))
                return


def _entries(loaded: ctypes.CDLL, name: str) -> Entries:
    forward, backward = (getattr(loaded, f"{entry}_{name}") for entry in ("forward", "backward"))
    forward.argtypes = backward.argtypes = [ctypes.c_char_p]
    return Entries(forward, backward, getattr(loaded, f"lanes_{name}")())


def library() -> Library | None:
    """Returns the loaded library, or None if there is none.

    Raises:
        ArgumentError: `RNN_LIGHTNING_NATIVE` names a variant that this processor or the library does not have.
    """
    found = load()
    return found if isinstance(found, Library) else None


def variant() -> str | None:
    """Returns the variant that runs: `"avx512"`, `"avx2"`, `"baseline"`; None without the library."""
    found = library()
    return None if found is None else found.variant


def reason() -> str | None:
    """Says why there is no native recurrence; None if there is one."""
    found = load()
    return found if isinstance(found, str) else None


def width(hidden: int, dtype: torch.dtype) -> int:
    """Returns `hidden` padded to whole vectors, as on the tape."""
    lanes = entries(dtype).lanes
    return -(-hidden // lanes) * lanes


def entries(dtype: torch.dtype) -> Entries:
    """Returns the library's functions for float32 or float64."""
    found = library()
    if found is None:
        raise RuntimeError(f"there is no native recurrence: {reason()}")
    return found.entries[dtype]


def pointer(tensor: Tensor | None) -> int:
    """Returns the address of a tensor's data; 0 for None, which is a null pointer in C."""
    if tensor is None:
        return 0
    address = tensor.data_ptr()
    if address == 0 and tensor.numel():
        raise RuntimeError("the native recurrence was given a tensor without memory")
    return address
