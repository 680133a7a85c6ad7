"""A fit that begins from trained weights, and networks taken out of checkpoints."""

import logging

import pytest
import torch

from rnn_lightning.errors import ArgumentError
from rnn_lightning.models import Seq2Seq, Seq2Vec
from rnn_lightning.saved import load_network, read_description, save_network, shipped

SINE = {"nonlinearity": "relu", "hidden_size": 100}


def is_equal(a, b):
    return all(torch.equal(value, b[name]) for name, value in a.items())


def test_weights_by_the_name_of_a_shipped_network():
    module = Seq2Seq(1, 1, weights="seq2seq_sine", **SINE)
    assert is_equal(module.net.state_dict(), load_network(shipped()["seq2seq_sine"]).state_dict())
    assert not module.fresh_head
    assert module.net.training


def test_a_file_of_that_name_wins(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    other = Seq2Seq(1, 1, **SINE)
    torch.save(other.net.state_dict(), "seq2seq_sine")
    assert is_equal(Seq2Seq(1, 1, weights="seq2seq_sine", **SINE).net.state_dict(), other.net.state_dict())


def test_weights_from_an_export(tmp_path):
    arguments = {"input_size": 2, "output_size": 3, "cell": "lstm", "hidden_size": 4}
    net = Seq2Vec(**arguments).net
    save_network(net, arguments, tmp_path, "network")
    module = Seq2Vec(**arguments, weights=str(tmp_path / "network.json"))
    assert is_equal(net.state_dict(), module.net.state_dict())


@pytest.mark.parametrize("form", ["name", "state dict"])
def test_a_head_of_another_size_starts_fresh_and_that_is_said(form, tmp_path, caplog):
    source = load_network(shipped()["seq2vec_mnist"])
    weights = "seq2vec_mnist" if form == "name" else str(tmp_path / "net.pt")
    torch.save(source.state_dict(), tmp_path / "net.pt")
    torch.manual_seed(3)
    untouched = Seq2Vec(28, 4, hidden_size=150)
    torch.manual_seed(3)
    with caplog.at_level(logging.INFO, logger="lightning.pytorch.utilities.rank_zero"):
        module = Seq2Vec(28, 4, hidden_size=150, weights=weights)
    assert module.fresh_head
    assert is_equal(module.net.layers.state_dict(), source.layers.state_dict())
    assert is_equal(module.net.head.state_dict(), untouched.net.head.state_dict())
    (message,) = [m for m in caplog.messages if "head" in m]
    assert "(10, 150) there, (4, 150) in the model" in message
    assert "it is reinitialised" in message


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (
            {"weights": "seq2seq_cosine"},
            "no such trained network: choose one of seq2seq_sine, seq2seq_sine_deep, seq",
        ),
        ({"weights": "seq2seq_sine", "cell": "gru"}, "nonlinearity='relu'|cell='rnn' .the model has 'gru'."),
        (
            {"weights": "seq2seq_sine", "num_layers": 2, **SINE},
            r"with num_layers=1 \(the model has 2\): make them equal",
        ),
        ({"weights": "seq2seq_sine", **SINE, "hidden_size": 50}, r"with hidden_size=100 \(the model has 50\)"),
    ],
)
def test_weights_of_another_network_are_one_line(options, words):
    with pytest.raises(ArgumentError, match=words) as error:
        Seq2Seq(1, 1, **options)
    assert "\n" not in str(error.value)


def test_only_the_head_may_differ(tmp_path):
    weights = Seq2Seq(1, 1, hidden_size=7).net.state_dict()
    del weights["head.bias"]
    torch.save(weights, tmp_path / "net.pt")
    for output_size in (1, 2):
        with pytest.raises(ArgumentError, match="does not fit"):
            Seq2Seq(1, output_size, hidden_size=7, weights=str(tmp_path / "net.pt"))


@pytest.mark.parametrize("model", [Seq2Seq, Seq2Vec])
def test_the_network_of_a_checkpoint(model, fit, tmp_path):
    module = model(2, 3, task="regression", cell="lstm", hidden_size=7, bidirectional=True, state_dropout=0.1)
    y = torch.randn((2, 5, 3) if model is Seq2Seq else (2, 3))
    fit(module, [(torch.randn(2, 5, 2), y)]).save_checkpoint(tmp_path / "model.ckpt")
    net, arguments = load_network(tmp_path / "model.ckpt"), read_description(tmp_path / "model.ckpt")["arguments"]
    assert type(net) is model.network
    assert is_equal(net.state_dict(), module.net.state_dict())
    assert arguments["state_dropout"] == 0.1
    assert "task" not in arguments


def test_a_file_without_a_network(tmp_path):
    torch.save({"state_dict": {}, "model": "Other", "hyper_parameters": {}}, tmp_path / "other.ckpt")
    torch.save(torch.nn.Linear(1, 1).state_dict(), tmp_path / "net.pt")
    torch.save({"state_dict": {}, "model": "Seq2Seq", "hyper_parameters": {"cell": "rnn"}}, tmp_path / "empty.ckpt")
    for name, words in (
        ("other.ckpt", "a Other"),
        ("net.pt", "not from a model of this package"),
        ("empty.ckpt", "do not make a Seq2SeqNet"),
    ):
        with pytest.raises(ArgumentError, match=words):
            load_network(tmp_path / name)


def test_a_checkpoint_of_other_features_is_refused(tmp_path):
    """The frequencies are part of the weights, so a network of another scale must not take them silently."""
    x = torch.randn(3, 6, 2)
    trained = Seq2Seq(2, 5, hidden_size=4, fourier_frequencies=3, fourier_scale=0.5)
    torch.save({"state_dict": trained.state_dict(), "hyper_parameters": dict(trained.hparams)}, tmp_path / "a.ckpt")
    weights = str(tmp_path / "a.ckpt")
    again = Seq2Seq(2, 5, hidden_size=4, fourier_frequencies=3, fourier_scale=0.5, weights=weights)
    torch.testing.assert_close(again(x)[0], trained(x)[0])
    for other in ({}, {"fourier_frequencies": 2, "fourier_scale": 0.5}, {"fourier_frequencies": 3}):
        with pytest.raises(ArgumentError, match="belongs to another network, with fourier_"):
            Seq2Seq(2, 5, hidden_size=4, weights=weights, **other)
