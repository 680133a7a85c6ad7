"""What the command line reports in one line, and what shows its traceback: a bug must never hide behind a message."""

import pytest

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
