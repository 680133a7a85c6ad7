"""`force_path`: which implementation runs."""

import threading

import pytest

from rnn_lightning import ArgumentError
from rnn_lightning.nn import force_path
from rnn_lightning.nn.path import use_reference


def test_auto_takes_the_reference_for_state_dropout_only():
    assert use_reference(state_dropout=True)
    assert not use_reference(state_dropout=False)
    with force_path("auto"):
        assert use_reference(state_dropout=True)
        assert not use_reference(state_dropout=False)


def test_reference_is_always_the_reference():
    with force_path("reference"):
        assert use_reference(state_dropout=True)
        assert use_reference(state_dropout=False)


def test_torch_has_no_state_dropout():
    with force_path("torch"):
        assert not use_reference(state_dropout=False)
        with pytest.raises(ArgumentError, match="state_dropout") as caught:
            use_reference(state_dropout=True)
    assert "\n" not in str(caught.value)


def test_the_path_before_comes_back():
    with force_path("reference"):
        with force_path("torch"):
            assert not use_reference(state_dropout=False)
        assert use_reference(state_dropout=False)
        with pytest.raises(KeyError), force_path("torch"):
            raise KeyError
        assert use_reference(state_dropout=False)
    assert not use_reference(state_dropout=False)


def test_another_thread_has_its_own_path():
    seen = []
    with force_path("reference"):
        thread = threading.Thread(target=lambda: seen.append(use_reference(state_dropout=False)))
        thread.start()
        thread.join()
    assert seen == [False]


def test_an_unknown_path_is_refused():
    with pytest.raises(ArgumentError, match=r"^path='cudnn' .*auto, torch, reference") as caught, force_path("cudnn"):
        pass
    assert "\n" not in str(caught.value)
    assert not use_reference(state_dropout=False)
