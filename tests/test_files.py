"""Files that are whole or not there."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from rnn_lightning import locks
from rnn_lightning.errors import NotWrittenError
from rnn_lightning.files import PREFIX, folder_written_beside, remove_leftovers, write_atomically, written_beside


@pytest.mark.parametrize(
    ("content", "wanted"), [(b"\x00\r\n", b"\x00\r\n"), ("ä\r\n", "ä\r\n".encode())], ids=["bytes", "text"]
)
def test_what_is_given_is_what_is_read(content, wanted, tmp_path):
    path = write_atomically(tmp_path / "new/folder/file.txt", content)
    assert path.read_bytes() == wanted
    assert os.listdir(path.parent) == ["file.txt"]


def test_a_function_writes_at_a_path_of_the_same_suffix(tmp_path):
    """numpy would add another suffix to any other name, and leave a file that is never renamed."""
    path = write_atomically(str(tmp_path / "arrays.npz"), lambda part: np.savez(part, x=np.arange(3)))
    with np.load(path) as file:
        assert file["x"].tolist() == [0, 1, 2]
    assert os.listdir(tmp_path) == ["arrays.npz"]


def test_an_error_leaves_the_file_as_it_was(tmp_path):
    path = tmp_path / "file"
    path.write_text("old")

    def fail(part):
        part.write_text("half of the n")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_atomically(path, fail)
    with pytest.raises(NotWrittenError, match="nothing was written"):
        write_atomically(path, lambda part: None)
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["file"]


def test_a_killed_process_leaves_the_file_as_it_was(tmp_path):
    path = tmp_path / "file"
    path.write_text("old")
    script = (
        "import os, signal, sys; from rnn_lightning.files import written_beside\n"
        "with written_beside(sys.argv[1]) as part:\n"
        "    part.write_text('half of the n'); os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", script, str(path)], timeout=60)
    assert done.returncode != 0
    assert path.read_text() == "old"


def test_many_writers_of_one_file_leave_one_of_their_files(tmp_path):
    texts = [str(i) * 100_000 for i in range(8)]
    path = tmp_path / "file"
    threads = [threading.Thread(target=write_atomically, args=(path, text)) for text in texts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert path.read_text() in texts
    assert os.listdir(tmp_path) == ["file"]


def test_the_bytes_are_on_the_disk_before_the_name_is(tmp_path, monkeypatch):
    calls = []
    fsync, replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda file: (calls.append("fsync"), fsync(file)))
    monkeypatch.setattr(os, "replace", lambda *paths: (calls.append("replace"), replace(*paths)))
    with written_beside(tmp_path / "file") as part:
        Path(part).write_text("new")
    assert calls[:2] == ["fsync", "replace"]


def test_leftovers_are_removed_but_not_what_is_being_written(tmp_path):
    (tmp_path / f"{PREFIX}01234567-table.csv").write_text("half of the t")
    (tmp_path / f"{PREFIX}01234567-last.ckpt").write_text("half of the l")
    folder = tmp_path / f"{PREFIX}01234567-table"
    folder.mkdir()
    (folder / "file").touch()
    with written_beside(tmp_path / "table.csv") as part:
        remove_leftovers(tmp_path, "table*")
        assert {path.name for path in tmp_path.iterdir()} == {part.name, f"{PREFIX}01234567-last.ckpt"}
        part.write_text("all of it")
    remove_leftovers(tmp_path)
    assert (tmp_path / "table.csv").read_text() == "all of it"
    assert os.listdir(tmp_path) == ["table.csv"]


def test_what_cannot_be_written_is_named(tmp_path):
    """Whatever keeps a file from being written, the error says which file; other errors stay as they are."""
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    for path in (tmp_path / "file/more", tmp_path / "folder", tmp_path / ("n" * 300)):
        with pytest.raises(NotWrittenError) as error:
            write_atomically(path, b"")
        assert error.value.filename == str(path)
    with pytest.raises(FileNotFoundError, match="other"), written_beside(tmp_path / "new"):
        (tmp_path / "other").read_bytes()
    assert {path.name for path in tmp_path.iterdir()} == {"file", "folder"}


def test_a_file_that_cannot_be_written_within_a_new_folder_is_named_after_the_folder(tmp_path):
    with pytest.raises(NotWrittenError) as error, folder_written_beside(tmp_path / "new") as part:
        (part / "missing" / "file").write_text("text")
    assert error.value.filename == str(tmp_path / "new")
    assert os.listdir(tmp_path) == []


def test_a_lock_is_held_until_its_release_or_the_end_of_its_process(tmp_path):
    lock = locks.take(tmp_path)
    assert locks.take(tmp_path) is None
    lock.release()
    script = (
        "import sys, time; from rnn_lightning import locks\n"
        "lock = locks.take(sys.argv[1]); print('locked', flush=True); time.sleep(99)"
    )
    process = subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE)
    process.stdout.readline()
    assert locks.take(tmp_path) is None
    process.kill()
    process.communicate()
    lock = locks.take(tmp_path)
    assert lock is not None
    lock.release()
    assert locks.take(tmp_path / "nowhere") is not None, "what is not there keeps nobody out"
