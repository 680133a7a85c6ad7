"""What the command line reports in one line, and what shows its traceback: a bug must never hide behind a message."""

import traceback

import pytest
from torch.multiprocessing import ProcessRaisedException

from rnn_lightning.cli import main
from rnn_lightning.errors import ArgumentError, NonFiniteLossError, reason

pytestmark = pytest.mark.usefixtures("own_parts_folder")
SHORT = ["--trainer.max_epochs=1", "--trainer.accelerator=cpu", "--data=own_parts.Sales"]
QUIET = ["--trainer.enable_progress_bar=false", "--trainer.enable_model_summary=false"]


def caught(function):
    with pytest.raises(Exception) as error:  # noqa: PT011  # whichever
        function()
    return error.value


def test_a_bug_in_a_constructor_shows_its_traceback():
    """Also if something was handled before: the bug is a KeyError, the file that is not there was foreseen."""
    error = caught(lambda: main(["fit", "--model=own_parts.Broken", *SHORT, *QUIET]))
    causes = []
    while error is not None:
        causes.append(error)
        error = error.__cause__
    assert isinstance(causes[-1], KeyError)
    assert causes[-1].args == ("the bug",)


def test_a_bug_in_a_step_shows_its_traceback_even_if_lightning_finds_it(capsys):
    error = caught(lambda: main(["fit", "--model=own_parts.BrokenStep", *SHORT, *QUIET]))
    assert "no number" in str(error)
    assert "error: " not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--trainer.val_check_interval=9"], "`val_check_interval` (9) must be less than or equal"),
        (["--trainer.callbacks+=ModelCheckpoint", "--trainer.callbacks.every_n_train_steps=-1"], "every_n_train_steps"),
        (["--trainer.profiler=foo"], "profiler"),
        (["--trainer.limit_train_batches=-3"], "limit_train_batches"),
    ],
)
def test_what_lightning_says_of_its_settings_is_one_line(arguments, words, capsys):
    with pytest.raises(SystemExit) as end:
        main(["fit", "--model=own_parts.Mine", *SHORT, *QUIET, *arguments])
    assert end.value.code == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert words in line


def test_a_division_by_zero_in_lightning_is_foreseen(capsys):
    with pytest.raises(SystemExit):
        main(["fit", "--model=own_parts.Mine", *SHORT, *QUIET, "--trainer.val_check_interval=0"])
    assert "error: trainer.val_check_interval=0: give a share" in capsys.readouterr().err


def test_one_callback_needs_no_list(capsys):
    main(["fit", "--model=own_parts.Mine", *SHORT, *QUIET, "--trainer.callbacks=LearningRateMonitor"])
    assert "Best checkpoint: " in capsys.readouterr().out


def test_the_reason_is_what_an_error_was_raised_from_and_not_what_was_handled_before():
    def wrapped():
        try:
            raise ArgumentError("k1=0: give at least 1")
        except ArgumentError as error:
            raise TypeError("a wall of text") from error

    def handled():
        try:
            raise ArgumentError("foreseen")
        except ArgumentError:
            {}["the bug"]

    def handled_file():
        try:
            open("nowhere.txt")  # noqa: SIM115
        except FileNotFoundError:
            raise RuntimeError("the bug")  # noqa: B904  # as people write it

    assert reason(caught(wrapped)) == "k1=0: give at least 1"
    assert reason(caught(handled)) is None
    assert reason(caught(handled_file)) is None
    assert reason(NonFiniteLossError("at step 3")) == "at step 3"
    assert reason(ValueError("never raised")) is None


OF_A_WORKER = """Caught ArgumentError in DataLoader worker process 0.
Original Traceback (most recent call last):
  File "worker.py", line 358, in _worker_loop
    data = fetcher.fetch(index)
rnn_lightning.errors.ArgumentError: y is missing: give all samples the same entries
"""
OF_A_PROCESS = "\n\n-- Process 1 terminated with the following error:\nTraceback (most recent call last):\n  ...\n"


@pytest.mark.parametrize(
    "error",
    [
        ArgumentError(OF_A_WORKER),
        ProcessRaisedException(f"{OF_A_PROCESS}{OF_A_WORKER.splitlines()[-1]}\n", 1, 4711),
        ArgumentError("y is missing: give all samples the same entries"),
    ],
    ids=["worker", "process", "here"],
)
def test_an_error_of_another_process_is_its_last_line(error):
    assert reason(error) == "y is missing: give all samples the same entries"


def test_another_error_of_another_process_keeps_its_traceback():
    assert reason(ProcessRaisedException(f"{OF_A_PROCESS}KeyError: 'y'\n", 1, 4711)) is None
    assert reason(ProcessRaisedException("", 1, 4711)) is None


def raised_by(module, error):
    """The error, as if a function of this module had raised it."""
    names = {"__name__": module, "error": error}
    exec("def function():\n    raise error", names)
    return caught(names["function"])


@pytest.mark.parametrize(
    ("error", "module", "words"),
    [
        (
            RuntimeError("[gloo/transport/tcp/pair.cc:534] Connection closed by peer"),
            "torch.distributed.c10d",
            "restart",
        ),
        (RuntimeError("my server: Connection reset by peer"), "own", None),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"), "torch.nn", "not enough memory"),
        (RuntimeError("CUDA out of memory. Tried to allocate 20 GiB"), "torch.nn", "not enough memory"),
        (ValueError("my table can't allocate memory for its rows"), "own", None),
        (MemoryError(), "own", "not enough memory"),
    ],
)
def test_what_torchs_backends_and_allocators_say_is_one_line_and_what_yours_say_is_not(error, module, words):
    line = reason(raised_by(module, error))
    assert line is None if words is None else words in line


def test_a_bug_in_a_property_of_the_datas_size_shows_its_traceback(own_folder, monkeypatch):
    monkeypatch.syspath_prepend(own_folder)
    (own_folder / "own_sizes.py").write_text(
        "from rnn_lightning.data import SyntheticSine\n"
        "class Sizes(SyntheticSine):\n"
        "    def __init__(self):\n"
        "        self.table = [1]\n"
        "    @property\n"
        "    def input_size(self):\n"
        "        return len(self.tabel)\n"
    )
    error = caught(lambda: main(["fit", "--config=sine_seq2seq", "--data=own_sizes.Sizes"]))
    assert "tabel" in "".join(traceback.format_exception(error))


BUGS = {
    "a name": ("undefined_name", NameError),
    "syntax": ("def", SyntaxError),
    "a package": ("import nosuch", ModuleNotFoundError),
    "a value": ("int('x')", ValueError),
}


@pytest.mark.parametrize("argument", ["--model=own_bug.Net", "--data=own_bug.Net", "--model.loss=own_bug.Net"])
@pytest.mark.parametrize("bug", BUGS)
def test_a_module_that_cannot_be_imported_shows_its_traceback(bug, argument, own_folder, monkeypatch):
    line, kind = BUGS[bug]
    monkeypatch.syspath_prepend(own_folder)
    (own_folder / "own_bug.py").write_text(f"x = 1\n{line}\nclass Net: pass\n")
    error = caught(lambda: main(["fit", "--config=sine_seq2seq", argument]))
    shown = "".join(traceback.format_exception(error))
    assert 'own_bug.py", line 2' in shown
    assert kind.__name__ in shown
    with pytest.raises(SystemExit):
        main(["fit", "--config=sine_seq2seq", argument.replace("own_bug", "no_bug")])
