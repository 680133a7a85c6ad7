"""The package's errors, and which errors are reported in one line instead of a traceback."""

import errno
import traceback
from collections.abc import Iterator
from typing import TypeGuard


class ArgumentError(ValueError):
    """A wrong argument, file or setting. The message is one line: which argument is wrong, why, and what to do.

    In Python, this is a `ValueError`. The command line prints the message after `error: ` and exits with 2.
    """


def check_ints(at_least: int, **values: object) -> None:
    """Raises `ArgumentError` unless all values are ints (not bools) of at least `at_least`."""
    for name, value in values.items():
        if isinstance(value, bool) or not isinstance(value, int) or value < at_least:
            raise ArgumentError(f"{name}={value!r}: give an integer of at least {at_least}")


class NonFiniteLossError(FloatingPointError):
    """The loss became NaN or infinite. The message names the step.

    On a CPU, the error is raised before the loss affects the weights; on an accelerator, some steps later.
    """


class NotWrittenError(OSError):
    """A file that could not be written; its `filename` names it. Any existing file is left unchanged."""


_OWN = tuple(f"{cls.__module__}.{cls.__name__}" for cls in (ArgumentError, NonFiniteLossError))
"""How a traceback names the package's errors."""
_WAY = ("lightning", "jsonargparse", "rnn_lightning.cli", "contextlib", "torch.utils._contextlib")
"""The modules through which a setting passes from the command line to Lightning's check of the setting."""
_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.EFBIG)
"""Error numbers of a file that can't be written although nothing is wrong with the program."""
_LOST = ("gloo/transport", "Connection closed by peer", "Connection reset by peer", "ncclRemoteError")
"""The messages of torch's backends if the process at the other end is gone."""
_FULL = ("can't allocate memory", "out of memory")
"""The messages of torch's allocators, on the CPU and on accelerators."""
_TORCHS = ("torch", "lightning", "rnn_lightning")
"""The modules that call torch's backends."""


def reason(error: BaseException) -> str | None:
    """Returns the line to print in place of an error's traceback, or None if the traceback is needed.

    One line is enough if a file can't be written, a process is lost or memory runs out. It is also enough for the
    package's own errors, even within jsonargparse's errors, and for errors of Lightning about its settings and of torch
    about a checkpoint's weights, if no other code is in the traceback.
    """
    if isinstance(error, NotWrittenError) or is_of_disk(error):
        where = f" {error.filename}" if error.filename else ""
        kept = "; the last saved checkpoint is unchanged" if str(error.filename).endswith(".ckpt") else ""
        return f"cannot write{where}: {error.strerror}{kept}"
    causes = list(_causes(error))
    own = [cause for cause in causes if isinstance(cause, (ArgumentError, NonFiniteLossError))]
    if message := _passed_on(own[-1] if own else error):
        return message
    if own:
        return str(own[-1])
    if any(_says(cause, _LOST) and _are_within(_modules(cause)[-1:], _TORCHS) for cause in causes):
        return (
            "another process of this run has ended, and its output says why: restart all of them with --ckpt_path last"
        )
    if any(isinstance(cause, MemoryError) or _says(cause, _FULL) for cause in causes):
        return (
            f"not enough memory: make the data, the batch or the network smaller ({' '.join(str(error).split())[:200]})"
        )
    if _is_of_weights(causes[-1]):
        first = " ".join(str(causes[-1]).splitlines()[1:2]).strip()
        return (
            f"the checkpoint's weights do not fit the model ({first}): give the arguments that its run had, or the run's "
            "config.yaml as --config"
        )
    return str(causes[-1]) if all(map(_is_of_settings, causes)) else None


def is_of_import(error: BaseException) -> bool:
    """Whether a module was found, but could not be imported because of an error in it."""
    frames = traceback.walk_tb(error.__traceback__)
    return isinstance(error, SyntaxError) or any(frame.f_code.co_name == "<module>" for frame, _ in frames)


def _passed_on(error: BaseException) -> str | None:
    """Returns the message of the package's error at the end of a traceback that torch passed on from another process."""
    last = (str(error).splitlines() or [""])[-1]
    return next((last.partition(f"{name}: ")[2] for name in _OWN if f"{name}: " in last), None)


def is_of_disk(error: BaseException) -> TypeGuard[OSError]:
    """Whether a file could not be written because of the disk: it is full, broken or read-only."""
    return isinstance(error, OSError) and error.errno in _DISK


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yields an error and its causes. An error that was merely being handled (`__context__`) is not a cause."""
    while error is not None:
        yield error
        error = error.__cause__


def _says(error: BaseException, words: tuple[str, ...]) -> bool:
    return isinstance(error, RuntimeError) and any(word in str(error) for word in words)


def _is_of_settings(error: BaseException) -> bool:
    """Whether Lightning or jsonargparse raised the error, and no other code is in the traceback."""
    modules = _modules(error)
    raised = "".join(frame.line or "" for frame in traceback.extract_tb(error.__traceback__)[-1:])
    return (
        _are_within(modules, _WAY)
        and modules[-1].startswith(_WAY[:2])
        # If a call itself fails, for instance because of its arguments, the last line is that call, and the called
        # function may be yours.
        and raised.startswith("raise")
    )


def _is_of_weights(error: BaseException) -> bool:
    """Whether torch refused a checkpoint's weights, and no code but torch's and Lightning's is in the traceback."""
    said = isinstance(error, RuntimeError) and str(error).startswith("Error(s) in loading state_dict")
    return said and _are_within(_modules(error), (*_WAY, "torch.nn.modules.module"))


def _modules(error: BaseException) -> list[str]:
    """The names of the modules in an error's traceback."""
    return [frame.f_globals.get("__name__", "") for frame, _ in traceback.walk_tb(error.__traceback__)]


def _are_within(modules: list[str], packages: tuple[str, ...]) -> bool:
    return bool(modules) and all(any(f"{module}.".startswith(f"{name}.") for name in packages) for module in modules)
