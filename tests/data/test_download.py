import errno
import gzip
import hashlib
import http.server
import socket
import threading
from pathlib import Path
from urllib.error import URLError

import pytest
import torch

from rnn_lightning.data.download import download
from rnn_lightning.errors import ArgumentError

CONTENT = bytes(range(256)) * 700
PACKED = gzip.compress(CONTENT)
SHA256 = hashlib.sha256(PACKED).hexdigest()


class Handler(http.server.BaseHTTPRequestHandler):
    """Each folder is a mirror with its own fault."""

    def do_GET(self):
        self.server.asked.append(self.path)
        folder = self.path.split("/")[1]
        if folder == "missing":
            self.send_error(404)
            return
        body = {
            "good": PACKED,
            "other": gzip.compress(b"another file"),
            "page": b"<html>log in to the network</html>",
            "short": PACKED[:-20],
            "broken": PACKED[:500],
        }[folder]
        self.send_response(200)
        self.send_header("Content-Length", str(len(PACKED) if folder == "broken" else len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.asked = []
        server.mirrors = lambda *folders: [f"http://127.0.0.1:{server.server_port}/{folder}/" for folder in folders]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def fetch(folder, mirrors):
    return download("digits.gz", folder, mirrors, SHA256, "put it there by hand")


def test_the_file_is_placed_alone(server, tmp_path):
    path = fetch(tmp_path / "new" / "folder", server.mirrors("good"))
    assert path == tmp_path / "new" / "folder" / "digits.gz"
    assert path.read_bytes() == PACKED
    assert [file.name for file in path.parent.iterdir()] == ["digits.gz"]


@pytest.mark.parametrize("fault", ["missing", "other", "page", "short", "broken"])
def test_the_next_mirror_is_tried_after_a_fault(server, tmp_path, fault):
    assert fetch(tmp_path, server.mirrors(fault, "good", "good")).read_bytes() == PACKED
    assert server.asked == [f"/{fault}/digits.gz", "/good/digits.gz"]


def test_no_good_mirror_is_one_line_and_leaves_nothing(server, tmp_path):
    with pytest.raises(ArgumentError, match=r"digits.gz .*Not Found.*invalid hash value.*by hand") as caught:
        fetch(tmp_path, server.mirrors("missing", "other"))
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_no_network_is_one_line(monkeypatch, tmp_path):
    def unreachable(request):
        assert socket.getdefaulttimeout() > 0, "a mirror that is silent is left"
        raise URLError(OSError(-2, "Name or service\nnot known"))

    monkeypatch.setattr(torch.hub, "urlopen", unreachable)
    with pytest.raises(ArgumentError, match=r"from any of the mirrors .*a\.org: .*not known; b\.org: .*by hand") as e:
        fetch(tmp_path, ["https://a.org/x/", "https://b.org/y/"])
    assert "\n" not in str(e.value)
    assert socket.getdefaulttimeout() is None


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()], ids=["full", "ctrl-c"])
@pytest.mark.parametrize("old", [None, b"old"], ids=["new", "replaced"])
def test_an_interrupted_write_leaves_what_was_there(server, monkeypatch, tmp_path, error, old):
    if old:
        (tmp_path / "digits.gz").write_bytes(old)

    def interrupted(source, target):
        assert Path(source).read_bytes() == PACKED  # all of it is written before it gets its name
        assert Path(source).parent == Path(target).parent  # else replacing is no single step
        raise error

    monkeypatch.setattr(torch.hub.shutil, "move", interrupted)
    expected = ArgumentError if isinstance(error, OSError) else KeyboardInterrupt
    with pytest.raises(expected):
        fetch(tmp_path, server.mirrors("good"))
    assert [file.read_bytes() for file in tmp_path.iterdir()] == ([old] if old else [])


def test_a_folder_that_cannot_be_made_is_one_line(server, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ArgumentError, match=r"cannot write .*by hand"):
        fetch(tmp_path / "file" / "folder", server.mirrors("good"))


def test_what_a_killed_download_has_left_is_removed(server, tmp_path):
    leftover = tmp_path / ".part-01234567-digits.gz/digits.gz.1234.partial"
    leftover.parent.mkdir()
    leftover.write_bytes(PACKED[:500])
    fetch(tmp_path, server.mirrors("good"))
    assert [path.name for path in tmp_path.iterdir()] == ["digits.gz"]


def test_a_full_disk_is_no_fault_of_the_mirror(server, tmp_path, monkeypatch):
    def full(url, path, *_, **__):
        Path(f"{path}.partial").write_bytes(PACKED[:500])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("rnn_lightning.data.download.download_url_to_file", full)
    with pytest.raises(
        ArgumentError, match=r"cannot write .*digits.gz \(No space left on device\): put it there by hand"
    ):
        fetch(tmp_path, server.mirrors("good", "good"))
    assert list(tmp_path.iterdir()) == []
