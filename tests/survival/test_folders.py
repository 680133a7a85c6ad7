"""Folders that another fit uses, that can't be written, or in which a killed process has left something."""

import logging
import os
import re
import resource
import shutil
import signal
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from fits import PERIODIC, kill
from lightning.pytorch.loggers import TensorBoardLogger

from rnn_lightning import claims, locks, runs
from rnn_lightning.callbacks import TENSORBOARD_CALLBACKS
from rnn_lightning.cli import main
from rnn_lightning.data import SyntheticSine
from rnn_lightning.files import PREFIX
from rnn_lightning.saved import read_checkpoint

EVALUATE = ["--config=sine_seq2seq", "--data.eval_windows=10", "--trainer.accelerator=cpu"]
FIT = ["fit", *EVALUATE, "--data.steps_per_epoch=2", "--model.hidden_size=4", "--trainer.enable_progress_bar=false"]
FIT += [f"--{name}.enabled=false" for name in TENSORBOARD_CALLBACKS]
RUN = "runs/sine_seq2seq/version_0"
CHECKPOINTS = f"{RUN}/checkpoints"


def refused(capsys, *arguments):
    """The one line of a command that fails."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as end:
        main(list(arguments))
    err = capsys.readouterr().err
    assert end.value.code == 2, err
    (line,) = [line for line in err.splitlines() if "error: " in line]
    assert "Traceback" not in err
    return line


@contextmanager
def file_size(size):
    """Lets no file of this process grow larger, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    logging.disable(logging.INFO)  # pytest's own file of what is logged is longer
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    """A folder with a fit of one epoch."""
    folder = tmp_path_factory.mktemp("fitted")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        main([*FIT, "--trainer.max_epochs=1"])
    return folder


@pytest.fixture
def run(fitted, own_folder):
    """A copy of it, which is the current folder."""
    shutil.copytree(fitted, own_folder, dirs_exist_ok=True)
    return own_folder


def test_a_second_fit_in_the_same_folder_is_refused(run, capsys, monkeypatch):
    monkeypatch.setattr(claims, "_PATIENCE", 0.2)
    resume = [*FIT, "--trainer.max_epochs=2", "--ckpt_path=last"]
    before = {path: path.stat().st_mtime_ns for path in Path(RUN).rglob("*")}
    other = locks.take(RUN)
    assert f"another fit is writing into {RUN}" in refused(capsys, *resume)
    assert {path: path.stat().st_mtime_ns for path in Path(RUN).rglob("*")} == before
    main(["test", *EVALUATE, "--ckpt_path=best"])  # reading is no harm
    other.release()
    main(resume)
    main([*FIT, "--trainer.max_epochs=3", "--ckpt_path=last"])  # the claim ended with its command
    assert read_checkpoint(f"{CHECKPOINTS}/last.ckpt")["epoch"] == 3


def test_fits_that_begin_at_the_same_moment_have_folders_of_their_own(tmp_path):
    """Their loggers have chosen the same one, as neither was there when they looked."""
    trainer = SimpleNamespace(
        is_global_zero=True, loggers=[TensorBoardLogger(tmp_path, "name", version=0)],
        strategy=SimpleNamespace(broadcast=lambda value: value),
    )  # fmt: skip
    folder = tmp_path / "name/version_0"
    folder.mkdir(parents=True)
    other = locks.take(folder)
    assert runs.new_folder(trainer, "name") == f"{folder}-1"
    assert runs.new_folder(trainer, "name") == f"{folder}-2", "until it is released"
    other.release()
    claims.release_all()
    assert runs.new_folder(trainer, "name") == str(folder)
    claims.release_all()


@pytest.mark.slow
def test_many_fits_at_once(place):
    more = ["--trainer.max_epochs=1"]
    processes = [place.start(*more) for _ in range(4)]
    for process in processes:
        _out, err = process.communicate(timeout=900)
        assert process.returncode == 0, err
    assert len(list(place.folder.glob("runs/sine_seq2seq/*/run.json"))) == 4
    assert len(list(place.folder.glob("runs/sine_seq2seq/*/checkpoints/last.ckpt"))) == 4


def test_a_folder_in_the_place_of_a_checkpoint_is_one_line(run, capsys):
    Path(f"{CHECKPOINTS}/last.ckpt").unlink()
    Path(f"{CHECKPOINTS}/last.ckpt").mkdir()
    line = refused(capsys, *FIT, "--trainer.max_epochs=2", "--ckpt_path=best")
    assert f"cannot write {run / CHECKPOINTS}/last.ckpt: Is a directory" in line
    assert not list(run.rglob(f"{PREFIX}*"))


def test_a_run_in_a_read_only_folder_is_refused_before_any_work(run, capsys, monkeypatch):
    access = os.access
    monkeypatch.setattr(
        os, "access", lambda path, mode: access(path, mode) and not (mode == os.W_OK and str(path).endswith(RUN))
    )
    monkeypatch.setattr(SyntheticSine, "__init__", lambda *_, **__: pytest.fail("work has begun"))
    line = refused(capsys, *FIT, "--trainer.max_epochs=2", "--ckpt_path=last")
    assert f"no run can be written in {RUN}" in line
    assert "read-only" in line


def test_a_full_disk_in_predict_is_one_line_with_the_path(run, capsys):
    predict = ["predict", *EVALUATE, "--ckpt_path=best", "--trainer.enable_progress_bar=false"]
    for more, size, name in ([[], 100, "csv"], [["--arrays=true"], 600, "(csv|npz)"], [[], 5000, "png"]):
        before = set(run.rglob("*"))
        with file_size(size):
            line = refused(capsys, *predict, *more)
        assert re.search(rf"cannot write .*version_0/\S*predictions\.{name}: File too large", line), line
        assert not [path for path in set(run.rglob("*")) - before if path.suffix != ".csv"]
        for path in run.rglob("predictions.csv"):
            path.unlink()


@pytest.mark.parametrize("onnx", ["false", "true"])
def test_a_full_disk_in_export_is_one_line_and_leaves_no_folder(onnx, run, capsys):
    for size in [500] if onnx == "false" else [500, 3000]:  # the second is enough for the weights
        with file_size(size):
            line = refused(capsys, "export", *EVALUATE, "--ckpt_path=best", "--output=out", f"--onnx={onnx}")
        assert line.endswith("out: File too large"), line
        assert set(os.listdir(run)) == {"runs"}


def test_what_a_killed_predict_and_a_killed_export_have_left_is_removed(run):
    for leftover in (f"{RUN}/{PREFIX}01234567-predictions.csv", f"{PREFIX}01234567-out/network.json"):
        Path(leftover).parent.mkdir(exist_ok=True)
        Path(leftover).write_text("half of")
    main(["predict", *EVALUATE, "--ckpt_path=best"])
    main(["export", *EVALUATE, "--ckpt_path=best", "--output=out", "--onnx=false"])
    assert not list(run.rglob(f"{PREFIX}*"))
    assert Path("out/network.json").is_file()
    assert Path(RUN, "predictions.csv").is_file()


def press_ctrl_c(*_, **__):
    signal.raise_signal(signal.SIGINT)


@pytest.fixture
def listens():
    """Ctrl-C at Python's default: a shell makes what it starts behind `&` ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield signal.default_int_handler
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("command", ["fit", "test", "predict"])
def test_ctrl_c_before_the_first_batch_ends_with_130(command, run, capsys, monkeypatch, listens):
    monkeypatch.setattr(SyntheticSine, "setup", press_ctrl_c)
    last = torch.load(f"{CHECKPOINTS}/last.ckpt", weights_only=True)["global_step"]
    with pytest.raises(SystemExit) as end:
        main(FIT if command == "fit" else [command, *EVALUATE, "--ckpt_path=best"])
    assert end.value.code == 130
    assert "Traceback" not in capsys.readouterr().err
    assert signal.getsignal(signal.SIGINT) is listens
    assert read_checkpoint(f"{CHECKPOINTS}/last.ckpt")["global_step"] == last


@pytest.mark.slow
def test_a_second_signal_while_the_first_is_saved_keeps_the_checkpoint_before(place):
    Path(place.folder, "sitecustomize.py").write_text(
        "import os, signal, time\n"
        "replace, count = os.replace, [0]\n"
        "def again(old, new):\n"
        "    count[0] += str(new).endswith('last.ckpt')\n"
        "    if count[0] == 5: time.sleep(1.1); os.kill(os.getpid(), signal.SIGTERM); time.sleep(60)\n"
        "    replace(old, new)\n"
        "os.replace = again\n"
    )
    path = f"{place.folder}{os.pathsep}{Path(__file__).parent}"
    more = [*PERIODIC, *kill(step=4, number="SIGTERM")]
    code, _, err = place.run(*more, environment={"PYTHONPATH": path})
    assert code == -signal.SIGTERM, err
    assert place.state()["global_step"] in (3, 4)
    assert place.run(*PERIODIC, "--ckpt_path=last")[0] == 0
    assert not list(place.folder.rglob(f"{PREFIX}*"))
