"""Runs PyTorch's own tests of RNN, LSTM and GRU with our classes, and with torch.nn's to compare.

    python scripts/torch_rnn_tests.py                          # PyTorch's samples, from the installed wheel
    python scripts/torch_rnn_tests.py --checkout ../pytorch    # and its test files, of the same version as the wheel

Only tests that fail with our classes and pass with torch.nn's count: they are listed, and the exit status is 1. The
samples come from `torch.testing._internal`, which needs `expecttest`. The test files need `pytest` and the packages
that they import.
"""

import argparse
import copy
import os
import pickle
import re
import subprocess
import sys
import tempfile
import xml.etree.ElementTree
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import gradcheck, gradgradcheck
from torch.nn.utils.rnn import PackedSequence

import rnn_lightning.nn as ours

NAMES = ("RNN", "LSTM", "GRU")
FILES = ("test_nn.py", "test_modules.py", "nn/test_packed_sequence.py", "test_expanded_weights.py")
"""The files of a checkout's `test` folder that have tests of recurrent layers."""
SELECT = "RNN or LSTM or GRU or rnn or lstm or gru"
SUBSTITUTE = "RNN_LIGHTNING_SUBSTITUTE"


def substitute() -> None:
    """Replaces torch.nn's classes with ours, except the cells and the base class."""
    for name in NAMES:
        for module in (nn, nn.modules, nn.modules.rnn):
            setattr(module, name, getattr(ours, name))


def tensors_of(value: Any) -> list[Tensor]:
    """Returns the tensors in a call's arguments or results, from left to right."""
    if isinstance(value, Tensor):
        return [value]
    if isinstance(value, PackedSequence):
        return [value.data]
    if isinstance(value, (list, tuple)):
        return [tensor for part in value for tensor in tensors_of(part)]
    return []


def as_function(module: nn.Module, args: tuple[Any, ...]) -> tuple[Callable[..., Any], list[Tensor]]:
    """Turns the module's call into a function of the tensors in its arguments and of its parameters."""
    given, names = tensors_of(args), [name for name, _ in module.named_parameters()]

    def run(*tensors: Tensor) -> tuple[Tensor, ...]:
        x, *state = tensors[: len(given)]
        hx = () if not state else ((state[0],) if len(state) == 1 else (tuple(state),))
        weights = dict(zip(names, tensors[len(given) :], strict=True))
        return tuple(tensors_of(torch.func.functional_call(module, weights, (x, *hx))))

    return run, [*given, *module.parameters()]


def check_forward(module: nn.Module, sample: Any, args: tuple[Any, ...]) -> None:
    """Compares with PyTorch's reference for this sample."""
    if sample.reference_fn is not None:
        expected = sample.reference_fn(module, *args)
        torch.testing.assert_close(tensors_of(module(*args)), tensors_of(expected))


def check_strides(module: nn.Module, sample: Any, args: tuple[Any, ...]) -> None:
    """Compares results for arguments that are not contiguous in memory."""
    run, leaves = as_function(module, args)
    apart = [torch.stack((leaf, leaf), dim=-1)[..., 0] for leaf in leaves]
    torch.testing.assert_close(run(*apart), run(*leaves))


def check_gradients(module: nn.Module, sample: Any, args: tuple[Any, ...]) -> None:
    """Compares first derivatives, single and batched, with finite differences."""
    run, leaves = as_function(module, args)
    gradcheck(run, leaves, fast_mode=True, check_batched_grad=True, check_undefined_grad=True)


def check_second(module: nn.Module, sample: Any, args: tuple[Any, ...]) -> None:
    """Compares second derivatives with finite differences."""
    gradgradcheck(*as_function(module, args), fast_mode=True, check_batched_grad=True)


def check_forward_mode(module: nn.Module, sample: Any, args: tuple[Any, ...]) -> None:
    """Compares forward-mode derivatives with finite differences."""
    gradcheck(*as_function(module, args), fast_mode=True, check_forward_ad=True, check_backward_ad=False)


def check_copies(module: nn.Module, sample: Any, args: tuple[Any, ...]) -> None:
    """Compares results after pickling, deep-copying and moving between types."""
    expected = tensors_of(module(*args))
    for twin in (pickle.loads(pickle.dumps(module)), copy.deepcopy(module), copy.deepcopy(module).float().double()):
        torch.testing.assert_close(tensors_of(twin(*args)), expected, rtol=1e-5, atol=1e-6)
    assert repr(module)


def check_meta(module: nn.Module, sample: Any, args: tuple[Any, ...]) -> None:
    """Compares shapes with those from tensors without data."""
    run, leaves = as_function(module, args)
    shapes = [tensor.shape for tensor in run(*leaves)]
    empty = [leaf.detach().to("meta") for leaf in leaves]
    assert [tensor.shape for tensor in as_function(copy.deepcopy(module).to("meta"), args)[0](*empty)] == shapes


CHECKS = (check_forward, check_strides, check_gradients, check_second, check_forward_mode, check_copies, check_meta)


def failures_of_samples() -> Iterator[tuple[str, str | None]]:
    """Runs each check on each sample. Yields the check's name, and what went wrong or None."""
    from torch.testing._internal.common_modules import ModuleErrorEnum, module_db

    for info in module_db:
        name = info.module_cls.__name__
        if name not in NAMES:
            continue
        cls, options = getattr(nn, name), {"device": "cpu", "dtype": torch.float64, "requires_grad": True}
        kinds = {"": {}} if name == "LSTM" else {"": {}, " packed": {"with_packed_sequence": True}}
        for training in (True, False):
            for kind, more in kinds.items():
                for count, sample in enumerate(info.module_inputs_func(info, training=training, **options, **more)):
                    built, args = sample.constructor_input, sample.forward_input.args
                    packed = isinstance(args[0], PackedSequence)
                    if packed != bool(kind):
                        continue  # the other samples also come unpacked
                    torch.manual_seed(0)
                    module = cls(*built.args, **{**built.kwargs, "dtype": torch.float64}).train(training)
                    checks = CHECKS if training and not packed else (check_copies,) if packed else (check_forward,)
                    for check in checks:
                        title = f"{name}{kind} {'training' if training else 'evaluation'} {count} {check.__name__}"
                        yield title, _outcome(check, module, sample, args)
        for count, wrong in enumerate(info.module_error_inputs_func(info, training=True, **options)):
            yield f"{name} error {count}", _outcome(_check_error, cls, wrong, ModuleErrorEnum)


def _check_error(cls: type[nn.Module], wrong: Any, errors: Any) -> None:
    """Expects the same error type and message as PyTorch."""
    built, called = wrong.module_error_input.constructor_input, wrong.module_error_input.forward_input
    try:
        module = cls(*built.args, **built.kwargs)
        assert wrong.error_on is not errors.CONSTRUCTION_ERROR, "no error in the constructor"
        module(*called.args, **called.kwargs)
    except wrong.error_type as error:
        assert re.search(wrong.error_regex, str(error)), f"other words: {error}"  # noqa: PT017
    else:
        raise AssertionError("no error")


def _outcome(check: Callable[..., None], *args: Any) -> str | None:
    try:
        check(*args)
    except Exception as error:  # any error is a failure to report
        return f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
    return None


def failures_of_files(checkout: Path) -> Iterator[tuple[str, str | None]]:
    """Runs each test of recurrent layers in a checkout's test files. Yields its name, and what went wrong or None."""
    import pytest

    tests = checkout / "test"
    files = [str(tests / file) for file in FILES if (tests / file).is_file()]
    if not files:
        raise SystemExit(f"error: {tests} has none of {', '.join(FILES)}: give a checkout of PyTorch")
    sys.path.insert(0, str(tests))
    os.chdir(tests)
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "report.xml")
        pytest.main([*files, "-k", SELECT, "-q", "--no-header", "-p", "no:cacheprovider", f"--junitxml={report}"])
        for case in xml.etree.ElementTree.parse(report).iter("testcase"):
            wrong = next((part for part in case if part.tag in ("failure", "error")), None)
            message = None if wrong is None else (wrong.get("message") or "failed").splitlines()[0]
            yield f"{case.get('classname')}.{case.get('name')}", message


def run_one(checkout: Path | None) -> None:
    """Runs everything in this process and prints a line for each test, for the parent process to read."""
    if os.environ.get(SUBSTITUTE):
        substitute()
    for found in failures_of_samples():
        print("RESULT", *found, sep="\t", flush=True)
    if checkout is not None:
        for found in failures_of_files(checkout.resolve()):
            print("RESULT", *found, sep="\t", flush=True)


def results(substituted: bool, arguments: list[str]) -> dict[str, str]:
    """Runs `run_one` in its own process, and returns the results by test; "None" for a test that passes."""
    env = {**os.environ, SUBSTITUTE: "1" if substituted else ""}
    command = [sys.executable, __file__, "--child", *arguments]
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        lines = [line.rstrip("\n").split("\t", 2) for line in process.stdout if line.startswith("RESULT\t")]
    if process.returncode != 0:
        raise SystemExit(f"error: the tests ended with status {process.returncode}")
    return {name: wrong for _, name, wrong in lines}


def main() -> int:
    """Compares both runs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkout", type=Path, help="a checkout of PyTorch")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        run_one(arguments.checkout)
        return 0
    more = [] if arguments.checkout is None else ["--checkout", str(arguments.checkout)]
    with_ours, with_theirs = results(True, more), results(False, more)
    new = {name: wrong for name, wrong in with_ours.items() if wrong != "None" and with_theirs.get(name) == "None"}
    missing = with_theirs.keys() - with_ours.keys()
    for title, part in (("ours", with_ours), ("torch.nn's", with_theirs)):
        print(f"with {title}: {len(part)} tests, {sum(wrong != 'None' for wrong in part.values())} fail")
    for name, wrong in new.items():
        print(f"fails with ours only: {name}: {wrong}")
    for name in sorted(missing):
        print(f"not run with ours: {name}")
    return 1 if new or missing else 0


if __name__ == "__main__":
    sys.exit(main())
