"""torch.hub, through torch.hub itself: entries, trained networks, and what loading them takes."""

import inspect
import json
import os
import re
import shutil
import stat
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import torch

from rnn_lightning import hub
from rnn_lightning.data import SequenceMNIST
from rnn_lightning.errors import ArgumentError
from rnn_lightning.nn import RecurrentNet, Seq2SeqNet, Seq2VecNet
from rnn_lightning.saved import save_network, shipped

REPO = Path(__file__).parents[1]
DIGITS, SERIES = ("seq2vec_mnist", "seq2vec_mnist_lstm"), ("seq2seq_sine", "seq2seq_sine_deep")

# What a module finds where torch is installed and nothing else: any import of these fails, as does any connection.
ALONE = """
import socket, sys
HIDDEN = {"lightning", "pytorch_lightning", "lightning_fabric", "torchmetrics", "jsonargparse", "matplotlib", "numpy",
          "tensorboard", "tqdm", "yaml", "onnx"}
class Hide:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in HIDDEN:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Hide())
def refuse(*arguments, **options):
    raise OSError("no network")
socket.socket.connect = socket.create_connection = socket.getaddrinfo = refuse
import torch
"""


def load(name, *arguments, repo=REPO, **options):
    return torch.hub.load(str(repo), name, *arguments, source="local", **options)


def figures(name):
    """Those of the shipped network's training, from the JSON beside the weights."""
    training = json.loads(shipped()[name].read_text())["training"]
    return training["runs"][str(training["seed"])]


def run(code, folder, torch_alone=True):
    """Runs Python in a process of its own, in a folder of its own, so that no other copy of the package is found."""
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"} | {"TORCH_HOME": str(folder)}
    return subprocess.run(
        [sys.executable, "-P", "-B", "-c", (ALONE if torch_alone else "import torch\n") + code],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.fixture
def checkout(tmp_path):
    """A copy of what a checkout holds."""
    folder = tmp_path / "checkout"
    shutil.copytree(REPO / "rnn_lightning", folder / "rnn_lightning", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(REPO / "hubconf.py", folder)
    return folder


@pytest.fixture
def cached(checkout, tmp_path):
    """The checkout as torch.hub keeps what it has downloaded: `list` and `help` know no local folder."""
    before = torch.hub.get_dir()
    torch.hub.set_dir(tmp_path / "hub")
    shutil.copytree(checkout, tmp_path / "hub" / "someone_rnn_lightning_main")
    yield "someone/rnn_lightning:main", {"trust_repo": True, "skip_validation": True, "verbose": False}
    torch.hub.set_dir(before)


@pytest.mark.parametrize(("name", "shape"), [("seq2vec", (4, 2)), ("seq2seq", (4, 7, 2))])
def test_generic_entries(name, shape):
    net = load(name, 3, 2, cell="lstm", hidden_size=5, num_layers=2)
    assert not net.training
    y, (h, c) = net(torch.randn(4, 7, 3))
    assert y.shape == shape
    assert h.shape == c.shape == (2, 4, 5)


def test_the_entries_are_these_and_need_torch(cached):
    repo, options = cached
    assert sorted(torch.hub.list(repo, **options)) == sorted(("seq2seq", "seq2vec", *DIGITS, *SERIES))
    assert set(shipped()) == {*DIGITS, *SERIES}
    sys.path.insert(0, str(REPO))
    try:
        import hubconf
    finally:
        sys.path.remove(str(REPO))
    assert hubconf.dependencies == ["torch"]


@pytest.mark.parametrize("name", DIGITS + SERIES)
def test_the_help_tells_what_one_needs(name, cached):
    repo, options = cached
    text = torch.hub.help(repo, name, **{k: v for k, v in options.items() if k != "verbose"})
    assert f'torch.hub.load(REPO, "{name}")' in text
    assert "(B, 28, 28)" in text if name in DIGITS else "(B, T, 1)" in text
    assert str(figures(name)["test"]) not in text, "figures stand in the model card, which is made from the JSON"
    example = "\n".join(re.findall(r">>> (.*)", text))
    assert len(example.splitlines()) <= 4
    names = {"torch": torch, "REPO": str(REPO)}
    exec(example.replace("(REPO, ", "(REPO, source='local', model="), names)
    assert names["y"].shape == ((4, 10) if name in DIGITS else (1, 1, 1))


@pytest.mark.parametrize("name", DIGITS + SERIES)
def test_a_trained_network_is_a_whole_module(name):
    net = load(name)
    assert isinstance(net, Seq2VecNet if name in DIGITS else Seq2SeqNet)
    assert not net.training
    assert all(p.requires_grad for p in net.parameters()), "it can be trained on"
    x = torch.rand(4, 28, net.layers.input_size)
    with torch.no_grad():
        y, state = net(x)
        _, before = net(x[:, :11])
        after, ended = net(x[:, 11:], before)  # the state goes in and out
        torch.testing.assert_close(after, y if name in DIGITS else y[:, 11:])
        torch.testing.assert_close(ended, state)
        short, _ = net(x, lengths=torch.tensor([28, 5, 1, 11]))
        alone, _ = net(x[1:2, :5])
        torch.testing.assert_close(short[1:2] if name in DIGITS else short[1:2, :5], alone)
        for rows in (0, 1, 300):
            assert len(net(torch.rand(rows, 28, net.layers.input_size))[0]) == rows
        torch.testing.assert_close(net(x[2])[0], y[2])  # unbatched


@pytest.mark.parametrize("name", DIGITS + SERIES)
def test_untrained_is_of_the_same_shape(name):
    trained, untrained = load(name), load(name, pretrained=False)
    assert not untrained.training
    shapes = [{k: v.shape for k, v in net.state_dict().items()} for net in (trained, untrained)]
    assert shapes[0] == shapes[1]
    assert not torch.equal(trained.head.weight, untrained.head.weight)


@pytest.mark.parametrize("name", DIGITS)
@torch.no_grad()
def test_digits(name, mnist_dir):
    """As many right as the figures beside the weights say; a few images may fall otherwise on another machine."""
    data, net, hits = SequenceMNIST(mnist_dir, eval_batch_size=1000), load(name), 0
    data.setup("test")
    for batch in data.test_dataloader():
        hits += int((net(batch["x"])[0].argmax(-1) == batch["y"]).sum())
    assert hits / 10_000 == pytest.approx(figures(name)["test"], abs=0.0003)
    assert hits / 10_000 >= 0.97


@pytest.mark.parametrize("name", SERIES)
@torch.no_grad()
def test_series(name):
    """On fresh windows, and with the formula written once more."""
    generator = torch.Generator().manual_seed(20)
    start = torch.rand(20_000, 1, generator=generator, dtype=torch.float64) * 28
    t = start + 0.1 * torch.arange(21)
    f = (t * t.sin() / 3 + 2 * (5 * t).sin()).float()[..., None]
    y, _ = load(name)(f[:, :-1])
    mse = float(((y - f[:, 1:]) ** 2).mean())
    assert mse == pytest.approx(figures(name)["test"], rel=0.05)
    assert 0.0295 < mse <= 0.045, "below the first there is no honest model"


def test_loading_takes_torch_alone(checkout):
    code = f"""
for name in {DIGITS + SERIES}:
    net = torch.hub.load({str(checkout)!r}, name, source="local")
    y, state = net(torch.rand(2, 28, net.layers.input_size))
    assert y.isfinite().all()
import rnn_lightning
assert rnn_lightning.__file__.startswith({str(checkout)!r})
assert not HIDDEN & {{name.partition(".")[0] for name in sys.modules}}
print("loaded")
"""
    done = run(code, checkout.parent)
    assert done.stdout.strip() == "loaded", done.stderr


def test_from_a_zip_as_github_serves_it(checkout):
    """torch.hub's own way from `owner/name` to a module: only the transfer itself is replaced."""
    work, root = checkout.parent, "someone-rnn_lightning-0123abc"
    with zipfile.ZipFile(work / "served.zip", "w", zipfile.ZIP_DEFLATED) as served:
        served.writestr(f"{root}/", "")  # GitHub's archive begins with its folder
        for file in sorted(checkout.rglob("*")):
            served.write(file, f"{root}/{file.relative_to(checkout)}")
    shutil.rmtree(checkout)
    code = """
import shutil
asked = []
def download(url, path, *arguments, **options):
    asked.append(url)
    shutil.copy("served.zip", path)
torch.hub.download_url_to_file = download
options = {"trust_repo": True, "skip_validation": True, "verbose": False}
net = torch.hub.load("someone/rnn_lightning:main", "seq2seq_sine", **options)
y, state = net(torch.rand(2, 20, 1))
assert len(asked) == 1 and asked[0].endswith("someone/rnn_lightning/zipball/main"), asked
assert torch.hub.get_dir() in sys.modules["rnn_lightning"].__file__
assert torch.hub.load("someone/rnn_lightning:main", "seq2vec_mnist", **options)(torch.rand(1, 28, 28))[0].shape == (1, 10)
assert len(asked) == 1  # from its cache
print("loaded")
"""
    done = run(code, work)
    assert done.stdout.strip().splitlines()[-1:] == ["loaded"], done.stderr


@pytest.mark.slow
def test_from_a_folder_that_cannot_be_written_to(checkout):
    files = sorted(checkout.rglob("*"))
    for path in [checkout, *files]:
        path.chmod(path.stat().st_mode & ~(stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH))
    try:
        done = run(f"torch.hub.load({str(checkout)!r}, 'seq2vec_mnist', source='local')\n", checkout.parent)
        assert done.returncode == 0, done.stderr
        assert sorted(checkout.rglob("*")) == files, "nothing is written, also where one may"
    finally:
        for path in [checkout, *files]:
            path.chmod(path.stat().st_mode | stat.S_IWUSR)


@pytest.mark.parametrize(
    "damage", ["changed", *(pytest.param(damage, marks=pytest.mark.slow) for damage in ("cut off", "gone"))]
)
def test_damaged_weights_are_one_line(checkout, damage):
    (file,) = (checkout / "rnn_lightning" / "weights").glob("seq2seq_sine-*.pt")
    data = file.read_bytes()
    if damage == "gone":
        file.unlink()
    else:
        file.write_bytes(data[:-1] if damage == "cut off" else data[:5000] + bytes((data[5000] ^ 1,)) + data[5001:])
    done = run(f"torch.hub.load({str(checkout)!r}, 'seq2seq_sine', source='local')\n", checkout.parent)
    assert done.returncode != 0
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("rnn_lightning.errors.ArgumentError: ")
    assert file.name in last
    assert ("cannot read" if damage == "gone" else "changed or truncated") in last


def test_what_export_writes_is_read(tmp_path):
    arguments = {"input_size": 2, "output_size": 3, "cell": "lstm", "hidden_size": 4}
    net, x = Seq2VecNet(**arguments).eval(), torch.randn(2, 5, 2)
    save_network(net, arguments, tmp_path, "network")
    assert torch.equal(hub.load_exported(tmp_path)(x)[0], net(x)[0])
    assert torch.equal(hub.load_exported(str(tmp_path))(x)[0], net(x)[0])
    with pytest.raises(ArgumentError, match=r"there is no .*network.json"):
        hub.load_exported(tmp_path / "nowhere")


def test_entries_say_what_they_return():
    for name in DIGITS + SERIES:
        returns = inspect.signature(getattr(hub, name), eval_str=True).return_annotation
        assert issubclass(returns, RecurrentNet)
        assert isinstance(getattr(hub, name)(), returns)
