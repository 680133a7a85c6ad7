"""A network as JSON and a plain state dict: what is written is what is read, and nothing else is."""

import json
import random

import pytest
import torch

from rnn_lightning.errors import ArgumentError
from rnn_lightning.nn import Seq2SeqNet, Seq2VecNet
from rnn_lightning.saved import (
    check_parts,
    load_module,
    load_network,
    read_checkpoint,
    read_weights,
    save_network,
    shipped,
)

ARGUMENTS = {"input_size": 3, "output_size": 2, "cell": "gru", "hidden_size": 5, "num_layers": 2, "bidirectional": True}


@pytest.fixture
def saved(tmp_path):
    """A network, and the JSON of its files."""
    net = Seq2SeqNet(**ARGUMENTS).eval()
    save_network(net, ARGUMENTS, tmp_path, "net")
    return net, tmp_path / "net.json"


def edit(path, **changes):
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


@pytest.mark.parametrize("kind", [Seq2VecNet, Seq2SeqNet])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_round_trip(kind, dtype, tmp_path):
    net = kind(**ARGUMENTS).to(dtype).eval()
    save_network(net, ARGUMENTS, tmp_path, "net")
    loaded, x = load_network(tmp_path / "net.json"), torch.randn(2, 4, 3, dtype=dtype)
    assert type(loaded) is kind
    assert not loaded.training
    assert torch.equal(loaded(x)[0], net(x)[0])
    assert torch.equal(loaded(x)[1], net(x)[1])


@pytest.mark.parametrize("fitted", [{}, {"level": "bytes", "vocabulary": None}])
@pytest.mark.parametrize("form", ["export", "checkpoint"])
def test_a_loaded_module_has_its_fitted_values(form, fitted, tmp_path):
    """A checkpoint also has weights that are not the network's, and arguments that are not the network's."""
    net = Seq2SeqNet(**ARGUMENTS).eval()
    save_network(net, ARGUMENTS, tmp_path, "net", fitted)
    weights = {f"net.{name}": value for name, value in net.state_dict().items()}
    content = {"state_dict": {**weights, "loss.weight": torch.ones(2)}, "hyper_parameters": {**ARGUMENTS, "task": "x"}}
    torch.save({**content, "model": "Seq2Seq", "fitted": fitted}, tmp_path / "last.ckpt")
    loaded = load_module(tmp_path / ("net.json" if form == "export" else "last.ckpt"))
    assert type(loaded) is Seq2SeqNet
    assert loaded.fitted == fitted
    x = torch.randn(2, 4, 3)
    assert torch.equal(loaded(x)[0], net(x)[0])


def test_each_optimizers_state_needs_all_of_its_parts():
    whole = {"state": {}, "param_groups": []}
    check_parts({"optimizer_states": [whole, whole]}, "last.ckpt")
    with pytest.raises(ArgumentError, match="its optimizer_states lacks state or param_groups"):
        check_parts({"optimizer_states": [whole, {"state": {}}]}, "last.ckpt")


def test_sparse_tensors_are_no_weights(tmp_path):
    torch.save({"weight": torch.eye(3).to_sparse()}, tmp_path / "sparse.pt")
    with pytest.raises(ArgumentError, match="contains no state dict"):
        read_weights(tmp_path / "sparse.pt")


def test_untrained_is_of_the_same_shape(saved):
    net, path = saved
    other = load_network(path, pretrained=False)
    assert {k: v.shape for k, v in other.state_dict().items()} == {k: v.shape for k, v in net.state_dict().items()}
    assert not torch.equal(other.head.weight, net.head.weight)


def test_the_file_is_named_after_its_bytes_and_replaces_the_one_before(saved):
    net, path = saved
    (first,) = path.parent.glob("net-*.pt")
    assert save_network(net, ARGUMENTS, path.parent, "net").read_bytes() == first.read_bytes()
    other = path.parent / "net-other-01234567.pt"
    other.touch()
    torch.nn.init.zeros_(net.head.bias)
    second = save_network(net, ARGUMENTS, path.parent, "net")
    assert set(path.parent.iterdir()) == {path, second, other}
    assert second != first


def test_the_weights_are_a_plain_state_dict_of_their_own_size(saved):
    net, path = saved
    (file,) = path.parent.glob("*.pt")
    weights = torch.load(file, weights_only=True)
    assert all(torch.equal(weights[key], value) for key, value in net.state_dict().items())
    assert file.stat().st_size < 4 * sum(p.numel() for p in net.parameters()) + 10_000


@pytest.mark.parametrize("seed", range(3))
def test_a_changed_byte_is_refused(saved, seed):
    (file,) = saved[1].parent.glob("*.pt")
    data = bytearray(file.read_bytes())
    data[random.Random(seed).randrange(len(data))] ^= 1
    file.write_bytes(data)
    with pytest.raises(ArgumentError, match=r"changed or truncated.*install the package again"):
        load_network(saved[1])
    load_network(saved[1], pretrained=False)


def test_a_truncated_file_is_refused(saved):
    (file,) = saved[1].parent.glob("*.pt")
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(ArgumentError, match="changed or truncated"):
        load_network(saved[1])


class Evil:
    """Pickles to a call."""

    def __reduce__(self):
        return (open, ("/dev/null",))


def test_code_in_the_weights_is_not_run_even_if_the_hash_is_right(saved, monkeypatch):
    import hashlib

    (file,) = saved[1].parent.glob("*.pt")
    torch.save({"head.weight": Evil()}, file)
    edit(saved[1], sha256=hashlib.sha256(file.read_bytes()).hexdigest())
    with pytest.raises(ArgumentError, match="more than tensors"):
        load_network(saved[1])


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"network": "Transformer"}, "not one of Seq2VecNet, Seq2SeqNet"),
        ({"arguments": None}, "does not describe a network"),
        ({"arguments": {**ARGUMENTS, "depth": 3}}, "no argument depth"),
        ({"arguments": {"input_size": 3}}, "do not make a Seq2SeqNet"),
        ({"arguments": {**ARGUMENTS, "hidden_size": -1}}, "hidden_size=-1"),
        ({"arguments": {**ARGUMENTS, "hidden_size": "5"}}, "hidden_size='5'"),
        ({"arguments": {**ARGUMENTS, "hidden_size": 6}}, "does not fit the network: head.weight"),
        ({"weights": "../net.pt"}, "not a path"),
        ({"weights": "gone.pt"}, "cannot read the weights"),
    ],
)
def test_a_description_that_is_wrong(saved, changes, words):
    edit(saved[1], **changes)
    with pytest.raises(ArgumentError, match=words) as error:
        load_network(saved[1])
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(("text", "words"), [("{", "is not readable JSON"), ("[]", "does not describe a network")])
def test_a_file_that_is_no_description(tmp_path, text, words):
    (tmp_path / "net.json").write_text(text)
    with pytest.raises(ArgumentError, match=words):
        load_network(tmp_path / "net.json")


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(ArgumentError, match="there is no"):
        load_network(tmp_path / "net.json")


def test_what_ships_is_small_and_whole():
    files = [file for path in shipped().values() for file in path.parent.glob(f"{path.stem}-????????.pt")]
    assert len(files) == len(shipped()) == 4, "one file of weights for each description"
    assert sum(file.stat().st_size for file in files) < 3_000_000
    assert max(file.stat().st_size for file in files) <= 1_000_000
    for path in shipped().values():
        load_network(path)
        assert path.with_suffix(".md").is_file(), "a model card beside each"


@pytest.mark.parametrize("value", [None, [1], "x", torch.zeros(2)])
@pytest.mark.parametrize("read", [read_checkpoint, read_weights, load_network])
def test_weights_that_are_no_dict_are_one_line_whoever_reads_them(read, value, tmp_path):
    torch.save({"state_dict": value, "hyper_parameters": {}, "model": "Seq2Seq"}, tmp_path / "wrong.ckpt")
    with pytest.raises(ArgumentError, match="is damaged: its state_dict is a"):
        read(tmp_path / "wrong.ckpt")
