"""Checkpoints are whole whatever happens to the disk or to the process while they are written."""

import errno
import functools
import os
import resource
import shutil
import subprocess
from pathlib import Path

import pytest
import torch
from fits import PERIODIC, assert_same_run, kill
from lightning.pytorch import Trainer
from lightning.pytorch.plugins.io import TorchCheckpointIO
from lightning.pytorch.strategies import SingleDeviceStrategy

from rnn_lightning.callbacks import TENSORBOARD_CALLBACKS
from rnn_lightning.checkpoint_io import AtomicCheckpointIO
from rnn_lightning.cli import main
from rnn_lightning.cli.every_run import save_atomically
from rnn_lightning.files import PREFIX, remove_leftovers, write_atomically
from rnn_lightning.saved import read_checkpoint

OFF = [f"--{name}.enabled=false" for name in TENSORBOARD_CALLBACKS]
OTHER_DISK = Path("/dev/shm")


def test_a_checkpoint_is_written_beside_its_place(tmp_path, monkeypatch):
    """Nothing of it goes through the folder for temporary files, which may be full, or on another file system."""
    replaced = []
    replace = os.replace
    monkeypatch.setattr(os, "replace", lambda old, new: (replaced.append((Path(old), Path(new))), replace(old, new)))
    monkeypatch.setenv("TMPDIR", "/nowhere")
    AtomicCheckpointIO().save_checkpoint({"state_dict": {"w": torch.ones(3)}}, tmp_path / "checkpoints/last.ckpt")
    assert [(old.parent, new.name) for old, new in replaced] == [(tmp_path / "checkpoints", "last.ckpt")]
    assert read_checkpoint(tmp_path / "checkpoints/last.ckpt")["state_dict"]["w"].sum() == 3


def test_an_error_in_writing_names_the_file_and_leaves_the_last_one(tmp_path, monkeypatch):
    path = tmp_path / "last.ckpt"
    AtomicCheckpointIO().save_checkpoint({"n": 1}, path)

    def full(self, content):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match="No space left on device") as error:
        AtomicCheckpointIO().save_checkpoint({"n": 2}, path)
    assert error.value.filename == str(path)
    assert read_checkpoint(path) == {"n": 1}
    assert os.listdir(tmp_path) == ["last.ckpt"]


def trainer_of(monkeypatch, *arguments):
    """The Trainer that a command line makes."""
    made = []

    @functools.wraps(Trainer.fit)  # the parser reads its arguments
    def fit(self, *_, **__):
        made.append(self)

    monkeypatch.setattr(Trainer, "fit", fit)
    main(["fit", "--config=sine_seq2seq", "--trainer.accelerator=cpu", *arguments])
    return made[0]


def test_the_command_line_saves_by_it_unless_the_user_brings_a_plugin(own_folder, monkeypatch):
    assert isinstance(trainer_of(monkeypatch).strategy.checkpoint_io, AtomicCheckpointIO)
    own = trainer_of(monkeypatch, "--trainer.plugins=lightning.pytorch.plugins.io.TorchCheckpointIO")
    assert type(own.strategy.checkpoint_io) is TorchCheckpointIO
    assert isinstance(trainer_of(monkeypatch, "--trainer.strategy=ddp").strategy.checkpoint_io, AtomicCheckpointIO)


class OwnWay(TorchCheckpointIO):
    """Saves in its own way."""


def test_a_strategy_that_saves_in_its_own_way_keeps_it(monkeypatch, own_folder):
    own = OwnWay()
    trainer = Trainer(strategy=SingleDeviceStrategy(checkpoint_io=own), accelerator="cpu", logger=False)
    save_atomically(trainer, None)
    assert trainer.strategy.checkpoint_io is own


def test_leftovers_of_a_killed_process_are_removed_at_the_next_start(own_folder):
    folder = own_folder / "runs/sine_seq2seq/version_0"
    fit = ["fit", "--config=sine_seq2seq", "--data.steps_per_epoch=2", "--data.eval_windows=10", "--model.hidden_size=4",
           "--trainer.max_epochs=1", "--trainer.accelerator=cpu", "--trainer.enable_progress_bar=false"]  # fmt: skip
    main([*fit, *OFF])
    leftover = folder / f"checkpoints/{PREFIX}12345678-last.ckpt"
    leftover.write_bytes(b"half a check")
    main([*fit, *OFF, "--ckpt_path=last", "--trainer.max_epochs=2"])
    assert not leftover.exists()
    assert (folder / "checkpoints/last.ckpt").is_file()
    remove_leftovers("memory://nowhere")


@pytest.mark.slow
def test_killed_in_the_middle_of_the_writing(place, other):
    """The process dies before the rename; the last good checkpoint is there, and the run goes on from it."""
    script = place.folder / "sitecustomize.py"
    script.write_text(
        "import os, signal\n"
        "replace, count = os.replace, [0]\n"
        "def kill(old, new):\n"
        "    count[0] += str(new).endswith('last.ckpt')\n"
        "    if count[0] == 6: os.kill(os.getpid(), signal.SIGKILL)\n"
        "    replace(old, new)\n"
        "os.replace = kill\n"
    )
    path = f"{place.folder}{os.pathsep}{Path(__file__).parent}"
    temporary = OTHER_DISK / f"{place.folder.name}-{os.getpid()}"
    environment = {"PYTHONPATH": path}
    if OTHER_DISK.is_dir():
        temporary.mkdir()
        environment["TMPDIR"] = str(temporary)
    try:
        code, _, err = place.run(*PERIODIC, environment=environment)
        assert code == -9, err
        assert place.state()["global_step"] == 4  # the fifth is the epoch's, which is step 4, too
        assert list(place.folder.rglob(f"{PREFIX}*"))
        assert place.run(*PERIODIC, "--ckpt_path=last")[0] == 0
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    assert not list(place.folder.rglob(f"{PREFIX}*"))
    assert other.run(*PERIODIC)[0] == 0
    assert_same_run(place, other)


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 300 kB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(command, capture_output=True).returncode != 0:
        pytest.skip("no file system may be mounted here: run as root on Linux")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.slow
def test_a_full_disk_is_one_line_with_the_path_and_the_last_checkpoint_stays(small_disk, place):
    """The checkpoints of 100 units are some 130 kB: best and last fit in, the one that is written beside does not."""
    code, _, err = place.run(f"--trainer.default_root_dir={small_disk}", "--model.hidden_size=100", *PERIODIC)
    assert code == 2
    lines = [line for line in err.strip().splitlines() if line]
    assert lines[-1].startswith("error: cannot write ")
    assert str(small_disk) in lines[-1]
    assert "No space left on device" in lines[-1]
    assert "Traceback" not in err, err
    for path in small_disk.rglob("*.ckpt"):
        read_checkpoint(path)


def test_a_full_disk_is_met_by_every_file_of_the_project(small_disk):
    with pytest.raises(OSError, match="No space left") as error:
        write_atomically(small_disk / "file", b"0" * 400_000)
    assert error.value.filename == str(small_disk / "file")
    assert list(small_disk.iterdir()) == []


def test_a_fit_goes_on_without_its_event_file(own_folder, capfd):
    """The system lets no file grow beyond a size that the checkpoints do not reach."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, hard))
    try:
        with pytest.warns(UserWarning, match="event file in .*version_0 cannot be written") as warned:
            main(
                ["fit", "--config=sine_seq2seq", "--data.steps_per_epoch=2", "--data.eval_windows=10",
                 "--model.hidden_size=4", "--trainer.max_epochs=3", "--trainer.accelerator=cpu",
                 "--trainer.enable_progress_bar=false", "--network_graph.enabled=false"]
            )  # fmt: skip
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    out, err = capfd.readouterr()
    assert sum("event file" in str(warning.message) for warning in warned) == 1
    assert "Traceback" not in err
    assert "test/loss" in out
    assert read_checkpoint("runs/sine_seq2seq/version_0/checkpoints/last.ckpt")["epoch"] == 3
    assert next(Path().rglob("events.*")).stat().st_size <= 30_000


@pytest.mark.slow
def test_a_run_goes_on_in_its_folder_with_its_best_and_its_patience(place, other):
    early = [
        "--trainer.callbacks+=EarlyStopping",
        "--trainer.callbacks.monitor=val/loss",
        "--trainer.callbacks.patience=5",
    ]
    code, _, err = place.run(*early, *PERIODIC, *kill(step=11))
    assert code == -9, err
    before = place.state("best")
    code, _out, err = place.run(*early, *PERIODIC, "--ckpt_path=last")
    assert code == 0, err
    assert [path.name for path in (place.folder / "runs/sine_seq2seq").iterdir()] == ["version_0"]
    folder = place.folder / "runs/sine_seq2seq/version_0"
    assert {"config.yaml", "config_1.yaml", "run.json"} <= {path.name for path in folder.iterdir()}
    assert other.run(*early, *PERIODIC)[0] == 0
    assert_same_run(place, other)
    assert before["global_step"] <= place.state("best")["global_step"]
    stopping = [
        next(value for key, value in found["callbacks"].items() if "EarlyStopping" in key)
        for found in (place.state(), other.state())
    ]
    assert str(stopping[0]) == str(stopping[1])


def test_the_true_best_stays_the_best(own_folder, capsys):
    """A later epoch that is worse than the best before the resume does not take its place, wherever the run lies now."""
    fit = ["fit", "--config=sine_seq2seq", "--data.steps_per_epoch=2", "--data.eval_windows=10", "--model.hidden_size=4",
           "--trainer.accelerator=cpu", "--trainer.enable_progress_bar=false"]  # fmt: skip
    main([*fit, *OFF, "--trainer.max_epochs=1"])
    Path("runs/sine_seq2seq").rename("runs/moved")
    folder = own_folder / "runs/moved/version_0/checkpoints"
    last = torch.load(folder / "last.ckpt", weights_only=True)
    state = next(value for value in last["callbacks"].values() if "best_model_score" in value)
    state["best_model_score"] = torch.tensor(-1.0)  # better than any
    state["best_k_models"] = dict.fromkeys(state["best_k_models"], torch.tensor(-1.0))
    state["kth_value"] = torch.tensor(-1.0)
    torch.save(last, folder / "last.ckpt")
    best = (folder / "best.ckpt").read_bytes()
    capsys.readouterr()
    main([*fit, *OFF, "--trainer.max_epochs=3", f"--ckpt_path={folder}/last.ckpt"])
    assert (folder / "best.ckpt").read_bytes() == best
    assert torch.load(folder / "last.ckpt", weights_only=True)["epoch"] > last["epoch"]
    assert "moved/version_0/checkpoints/best.ckpt" in capsys.readouterr().out
