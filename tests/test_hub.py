"""torch.hub, through torch.hub itself."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

REPO = str(Path(__file__).parents[1])


@pytest.mark.parametrize(("name", "shape"), [("seq2vec", (4, 2)), ("seq2seq", (4, 7, 2))])
def test_generic_entries(name, shape):
    net = torch.hub.load(REPO, name, 3, 2, source="local", cell="lstm", hidden_size=5, num_layers=2)
    assert not net.training
    y, (h, c) = net(torch.randn(4, 7, 3))
    assert y.shape == shape
    assert h.shape == c.shape == (2, 4, 5)


def test_loading_imports_torch_alone():
    code = (
        "import sys, torch\n"
        f"torch.hub.load({REPO!r}, 'seq2seq', 1, 1, source='local')\n"
        "loaded = {name.partition('.')[0] for name in sys.modules}\n"
        "assert not loaded & {'lightning', 'pytorch_lightning', 'jsonargparse', 'torchmetrics', 'matplotlib'}, loaded\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_the_entries_are_these_and_need_torch(monkeypatch):
    monkeypatch.syspath_prepend(REPO)
    import hubconf

    assert hubconf.dependencies == ["torch"]
    entries = {name for name, value in vars(hubconf).items() if callable(value) and not name.startswith("_")}
    assert entries == {"seq2seq", "seq2vec"}
