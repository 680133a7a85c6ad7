"""Which implementation runs a layer: chosen by itself, or forced for tests and measurements."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Literal, get_args

from rnn_lightning.errors import ArgumentError

Path = Literal["auto", "torch", "reference"]

_path: ContextVar[Path] = ContextVar("rnn_lightning_path", default="auto")


@contextmanager
def force_path(path: Path) -> Iterator[None]:
    """Runs every recurrent layer inside the `with` block on one path.

    - `"auto"`: torch's built-in kernels (oneDNN, cuDNN) where no state dropout is active, else the reference.
    - `"torch"`: torch's kernels always; active state dropout, which they lack, is an `ArgumentError`.
    - `"reference"`: the step-by-step recurrence always.
    """
    if path not in get_args(Path):
        raise ArgumentError(f"path={path!r} is unknown: choose one of {', '.join(get_args(Path))}")
    token = _path.set(path)
    try:
        yield
    finally:
        _path.reset(token)


def use_reference(state_dropout: bool) -> bool:
    """Whether a layer must run step by step, given whether state dropout is active on it."""
    path = _path.get()
    if path == "torch" and state_dropout:
        raise ArgumentError('force_path("torch") has no state dropout: set state_dropout=0 or force "reference"')
    return state_dropout or path == "reference"
