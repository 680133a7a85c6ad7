"""`force_path` and `choose_path`: which implementation runs."""

import threading

import pytest
import torch

from rnn_lightning import ArgumentError
from rnn_lightning.nn import Mask, force_path
from rnn_lightning.nn.path import choose_path

X, MASK = torch.zeros(3, 2, 4), Mask(torch.ones(1, 2, 4), 2.0)


def test_auto_takes_the_fast_path_on_a_cpu():
    for cell in ("RNN_TANH", "RNN_RELU", "GRU"):
        for x in (X, X.double()):
            assert choose_path(cell, x) == choose_path(cell, x, MASK) == choose_path(cell, x, ragged=True) == "fused"
    assert choose_path("LSTM", X) == "torch"
    assert choose_path("LSTM", X, MASK) == choose_path("LSTM", X, ragged=True) == "fused"


def test_auto_takes_torch_for_reduced_precision_without_state_dropout():
    assert choose_path("GRU", X.bfloat16()) == "torch"
    assert choose_path("GRU", X.bfloat16(), MASK) == "fused"
    with torch.autocast("cpu"):
        assert choose_path("GRU", X) == "torch"
        assert choose_path("GRU", X, MASK) == "fused"


def test_auto_takes_torch_for_a_small_gru_without_gradients():
    assert choose_path("GRU", X, step_size=100) == "fused"
    with torch.no_grad():
        assert choose_path("GRU", X, step_size=100) == "torch"
        assert choose_path("GRU", X, step_size=10**8) == choose_path("RNN_TANH", X, step_size=100) == "fused"
        assert choose_path("GRU", X, MASK, step_size=100) == "fused"


def test_auto_takes_what_knows_the_device():
    meta = X.to("meta")
    assert choose_path("RNN_TANH", meta) == "torch"
    assert choose_path("RNN_TANH", meta, MASK) == "reference"


def test_masks_that_want_gradients_go_step_by_step():
    assert choose_path("RNN_TANH", X, Mask(torch.ones(1, 2, 4, requires_grad=True), 2.0)) == "reference"


@pytest.mark.parametrize("path", ["reference", "fused"])
def test_a_forced_path_is_always_taken(path):
    with force_path(path):
        assert choose_path("LSTM", X) == choose_path("LSTM", X, MASK) == choose_path("GRU", X) == path


def test_torch_has_no_state_dropout():
    with force_path("torch"):
        assert choose_path("RNN_TANH", X) == "torch"
        with pytest.raises(ArgumentError, match="state_dropout") as caught:
            choose_path("RNN_TANH", X, MASK)
    assert "\n" not in str(caught.value)


def test_the_path_before_comes_back():
    with force_path("reference"):
        with force_path("torch"):
            assert choose_path("GRU", X) == "torch"
        assert choose_path("GRU", X) == "reference"
        with pytest.raises(KeyError), force_path("torch"):
            raise KeyError
        assert choose_path("GRU", X) == "reference"
    assert choose_path("GRU", X) == "fused"


def test_another_thread_has_its_own_path():
    seen = []
    with force_path("reference"):
        thread = threading.Thread(target=lambda: seen.append(choose_path("GRU", X)))
        thread.start()
        thread.join()
    assert seen == ["fused"]


def test_an_unknown_path_is_refused():
    names = r"^path='cudnn' .*auto, torch, fused, reference"
    with pytest.raises(ArgumentError, match=names) as caught, force_path("cudnn"):
        pass
    assert "\n" not in str(caught.value)
    assert choose_path("GRU", X) == "fused"
