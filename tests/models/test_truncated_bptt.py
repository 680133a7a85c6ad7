import pytest

from rnn_lightning import ArgumentError
from rnn_lightning.models import TruncatedBPTT


def test_k2_is_k1_if_not_given():
    assert TruncatedBPTT(5).k2 == TruncatedBPTT(5, None).k2 == 5
    assert TruncatedBPTT(5, 8).k2 == 8


@pytest.mark.parametrize(("step_every", "batches"), [("chunk", 0), ("batch", 1), (3, 3)])
def test_batches_per_step(step_every, batches):
    assert TruncatedBPTT(5, step_every=step_every).batches_per_step == batches


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ({"k1": 0}, "k1"),
        ({"k1": -1}, "k1"),
        ({"k1": 2.5}, "k1"),
        ({"k1": True}, "k1"),
        ({"k1": 5, "k2": 4}, "k2"),
        ({"k1": 5, "k2": 5.5}, "k2"),
        ({"k1": 5, "step_every": "epoch"}, "step_every"),
        ({"k1": 5, "step_every": 0}, "step_every"),
        ({"k1": 5, "gradient_clip_val": 0.0}, "gradient_clip_val"),
        ({"k1": 5, "gradient_clip_val": float("nan")}, "gradient_clip_val"),
        ({"k1": 5, "gradient_clip_algorithm": "max"}, "gradient_clip_algorithm"),
    ],
)
def test_a_wrong_value_is_one_line_that_names_it(arguments, name):
    with pytest.raises(ArgumentError, match=f"tbptt.{name}") as error:
        TruncatedBPTT(**arguments)
    assert "\n" not in str(error.value)
