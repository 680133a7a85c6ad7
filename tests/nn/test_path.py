"""`force_path` and `choose_path`: which implementation runs."""

import threading

import pytest
import torch

from rnn_lightning import ArgumentError
from rnn_lightning.nn import Mask, force_path
from rnn_lightning.nn.native import reason, variant
from rnn_lightning.nn.path import choose_path

needs_native = pytest.mark.skipif(reason() is not None, reason="no native recurrence")
FAST = "native" if reason() is None else "torch"
T, B, F, H = 4, 2, 4, 4
X, MASK, LENGTHS = torch.zeros(T, B, F), Mask(torch.ones(1, B, H, dtype=torch.bfloat16), 2.0), torch.tensor([3, 1])
RESET = torch.zeros(T, B, dtype=torch.bool)
GATES = {"RNN_TANH": 1, "RNN_RELU": 1, "LSTM": 4, "GRU": 3}
PROJECTED = [[torch.zeros(16, F), torch.zeros(16, 2), torch.zeros(2, H)]]


def chosen(mode, x=X, mask=None, lengths=None, reset=None, steps=T, hidden=H, weights=None):
    weights = weights or [[torch.zeros(GATES[mode] * hidden, F), torch.zeros(GATES[mode] * hidden, hidden)]]
    return choose_path(mode, x, steps, weights, (), mask, lengths, reset)


@needs_native
def test_auto_takes_the_fast_path_on_a_cpu():
    for mode in GATES:
        for x in (X, X.double()):
            assert chosen(mode, x) == chosen(mode, x, MASK) == chosen(mode, x, lengths=LENGTHS) == "native"


@needs_native
def test_auto_takes_torchs_lstm_where_the_weights_are_large_and_vectors_wide():
    large = {"hidden": 400, "steps": 20}
    assert chosen("LSTM", **large) == ("torch" if variant() == "avx512" else "native")
    assert chosen("LSTM", X.double(), **large) == chosen("GRU", **large) == "native"
    assert chosen("LSTM", mask=MASK, **large) == chosen("LSTM", lengths=LENGTHS, **large) == "native"


@needs_native
@pytest.mark.parametrize(("hidden", "enough"), [(4, 4), (256, 4), (512, 8), (1000, 16)])
def test_auto_takes_torch_for_fewer_steps_than_pay_for_the_packing(hidden, enough):
    few = {"hidden": hidden, "steps": enough - 1}
    assert chosen("GRU", **few) == "torch"
    assert chosen("GRU", hidden=hidden, steps=enough) == "native"
    assert chosen("GRU", mask=MASK, **few) == chosen("GRU", lengths=LENGTHS, **few) == "native"
    assert chosen("GRU", reset=RESET, **few) == "native"


def test_auto_takes_what_can_serve():
    meta, wanted = X.to("meta"), Mask(torch.ones(1, B, H, requires_grad=True), 2.0)
    assert chosen("RNN_TANH", meta) == "torch"
    assert chosen("RNN_TANH", meta, MASK) == chosen("RNN_TANH", meta, lengths=LENGTHS) == "reference"
    assert chosen("RNN_TANH", mask=wanted) == "reference"
    assert chosen("LSTM", weights=PROJECTED, lengths=LENGTHS) == "torch"
    assert chosen("LSTM", weights=PROJECTED, mask=MASK) == "reference"
    assert chosen("GRU", reset=RESET) == ("native" if FAST == "native" else "reference")


class Marked(torch.Tensor):
    """A subclass of Tensor, as those of images or of units."""


def test_subclasses_of_tensors_run_on_torchs_operations():
    assert chosen("GRU", X.as_subclass(Marked)) == "torch"
    weights = [[torch.nn.Parameter(torch.zeros(H, F)), torch.zeros(H, H).as_subclass(Marked)]]
    assert chosen("RNN_TANH", mask=MASK, weights=weights) == "reference"


def test_transforms_run_on_what_has_rules_for_them():
    seen = []

    def look(x):
        seen.append((chosen("GRU"), chosen("GRU", mask=MASK)))
        return x.sum()

    torch.func.grad(look)(X)
    torch.vmap(look)(X)
    torch.func.jvp(look, (X,), (X,))
    with torch.autograd.forward_ad.dual_level():
        look(X)
    assert seen == [("torch", "reference"), *[("reference", "reference")] * 3]


@pytest.mark.parametrize("path", ["reference", pytest.param("native", marks=needs_native)])
def test_a_forced_path_is_always_taken(path):
    with force_path(path):
        assert chosen("LSTM") == chosen("LSTM", mask=MASK) == chosen("GRU") == path


@pytest.mark.parametrize(
    ("path", "options", "words"),
    [
        ("torch", {"mask": MASK}, "state_dropout"),
        ("torch", {"reset": RESET}, "reset"),
        ("native", {"x": X.to("meta")}, "CPU"),
        ("native", {"weights": PROJECTED}, "proj_size"),
        ("native", {"mask": Mask(torch.ones(1, B, H, requires_grad=True), 2.0)}, "gradients of masks"),
    ],
)
def test_a_forced_path_that_cannot_serve_says_so(path, options, words):
    with force_path(path), pytest.raises(ArgumentError, match=words) as caught:
        chosen("LSTM", **options)
    assert "\n" not in str(caught.value)


def test_the_path_before_comes_back():
    with force_path("reference"):
        with force_path("torch"):
            assert chosen("GRU") == "torch"
        assert chosen("GRU") == "reference"
        with pytest.raises(KeyError), force_path("torch"):
            raise KeyError
        assert chosen("GRU") == "reference"
    assert chosen("GRU") == FAST


def test_another_thread_has_its_own_path():
    seen = []
    with force_path("reference"):
        thread = threading.Thread(target=lambda: seen.append(chosen("GRU")))
        thread.start()
        thread.join()
    assert seen == [FAST]


def test_an_unknown_path_is_refused():
    names = r"^path='cudnn' .*auto, torch, native, reference"
    with pytest.raises(ArgumentError, match=names) as caught, force_path("cudnn"):
        pass
    assert "\n" not in str(caught.value)
    assert chosen("GRU") == FAST
