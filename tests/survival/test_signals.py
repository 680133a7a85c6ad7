"""SIGTERM and SIGINT: the last state is saved, all processes end, and the run goes on as if nothing had been."""

import re
import signal
import time

import pytest
from fits import PERIODIC, TWO, assert_same_run, kill

CODES = {"SIGTERM": 143, "SIGINT": 130}


def test_figure(out):
    return re.search(r"test/loss\D+([\d.]+)", out).group(1)


test_figure.__test__ = False


@pytest.mark.parametrize(
    ("number", "devices", "rank"),
    [
        ("SIGTERM", [], None),
        ("SIGINT", [], None),
        ("SIGTERM", TWO, None),
        ("SIGTERM", TWO, 1),
        pytest.param("SIGTERM", TWO, 0, marks=pytest.mark.slow),
        pytest.param("SIGINT", TWO, None, marks=pytest.mark.slow),
    ],
)
def test_a_signal_in_training(number, devices, rank, place, other):
    more = [] if rank is None else [("rank", rank)]
    code, out, err = place.run(*devices, *kill(step=6, number=number, **dict(more)))
    assert code == CODES[number], err
    assert "Traceback" not in err, err
    assert place.state()["global_step"] == 6
    code, out, err = place.run(*devices, "--ckpt_path=last")
    assert code == 0, err
    code, whole, err = other.run(*devices)
    assert code == 0, err
    assert_same_run(place, other)
    assert test_figure(out) == test_figure(whole)


@pytest.mark.parametrize("devices", [[], pytest.param(TWO, marks=pytest.mark.slow)])
def test_a_signal_in_validation_stops_it_and_the_resumed_run_repeats_it(devices, place, other):
    many = ["--data.eval_windows=300", "--data.batch_size=5"]
    code, out, err = place.run(*devices, *many, *kill(validation=1, number="SIGTERM", rank=0))
    assert code == 143, err
    assert "validated 0" in out
    assert "validated 1" not in out, "it stops at once"
    assert place.state()["global_step"] == 8
    code, out, err = place.run(*devices, *many, "--ckpt_path=last")
    assert code == 0, err
    assert other.run(*devices, *many)[0] == 0
    assert_same_run(place, other)


def test_the_whole_group_of_batches_is_in_the_checkpoint(place, other):
    group = ["--trainer.accumulate_grad_batches=3", "--data.steps_per_epoch=6"]
    code, out, err = place.run(*group, *kill(step=3, number="SIGTERM"))
    assert code == 143, err
    assert place.run(*group, "--ckpt_path=last")[0] == 0
    assert other.run(*group)[0] == 0
    assert_same_run(place, other)


def test_a_signal_before_training_and_a_second_one_end_at_once(place):
    slow = ["--data.steps_per_epoch=2000", "--trainer.max_epochs=50", "--model.hidden_size=64", *PERIODIC]
    process = place.start(*slow, "--model.tbptt.k1=1", "--trainer.accumulate_grad_batches=1", recipe="sine_tbptt")
    while not list(place.folder.rglob("last.ckpt")):
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.05)
    process.send_signal(signal.SIGSTOP)  # so that both come before the step ends
    process.send_signal(signal.SIGTERM)
    process.send_signal(signal.SIGCONT)
    assert process.wait(30) == 143
    process.communicate()
