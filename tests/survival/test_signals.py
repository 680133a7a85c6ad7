"""SIGTERM and SIGINT: the last state is saved, all processes end, and the run goes on as if nothing had been."""

import functools
import os
import re
import signal
import time

import pytest
import torch
from fits import TWO, Place, assert_same_run, kill

pytestmark = pytest.mark.slow  # each starts two or three fits in processes of their own
CODES = {"SIGTERM": 143, "SIGINT": 130}


def test_figure(out):
    return re.search(r"test/loss\D+([\d.]+)", out).group(1)


test_figure.__test__ = False


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """Gives the place and the output of an undisturbed fit, of which there is one for all tests."""

    @functools.cache
    def fit(*arguments):
        place = Place(tmp_path_factory.mktemp("undisturbed"))
        code, out, err = place.run(*arguments)
        assert code == 0, err
        return place, out

    return fit


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
def test_a_signal_in_training(number, devices, rank, place, undisturbed):
    more = [] if rank is None else [("rank", rank)]
    code, out, err = place.run(*devices, *kill(step=6, number=number, **dict(more)))
    assert code == CODES[number], err
    assert "Traceback" not in err, err
    assert place.state()["global_step"] == 6
    code, out, err = place.run(*devices, "--ckpt_path=last")
    assert code == 0, err
    whole, printed = undisturbed(*devices)
    assert_same_run(place, whole)
    assert test_figure(out) == test_figure(printed)


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


def test_a_signal_in_the_validation_after_the_last_step_lets_it_end(place, other):
    """Lightning resumes nothing after the last of `max_steps`: a validation that is left out then would stay so."""
    steps = ["--trainer.max_steps=8"]
    code, _, err = place.run(*steps, *kill(validation=1, number="SIGTERM"))
    assert code == 143, err
    assert place.run(*steps, "--ckpt_path=last")[0] == 0
    assert other.run(*steps)[0] == 0
    assert_same_run(place, other)


def test_the_whole_group_of_batches_is_in_the_checkpoint(place, other):
    group = ["--trainer.accumulate_grad_batches=3", "--data.steps_per_epoch=6"]
    code, _out, err = place.run(*group, *kill(step=3, number="SIGTERM"))
    assert code == 143, err
    assert place.run(*group, "--ckpt_path=last")[0] == 0
    assert other.run(*group)[0] == 0
    assert_same_run(place, other)


def test_a_second_signal_ends_at_once(place):
    process = place.start(*kill(sleep=60))
    try:
        while "sleeps" not in (line := process.stdout.readline()):
            assert line or process.poll() is None, process.stderr.read()
        process.send_signal(signal.SIGTERM)
        time.sleep(0.2)
        process.send_signal(signal.SIGTERM)  # a launcher's copy of the first
        time.sleep(1.2)
        assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == -signal.SIGTERM
    finally:
        process.kill()
        process.communicate()


@pytest.fixture
def job(place):
    """A job of SLURM, and a `scontrol` that writes down what it is asked."""
    tool = place.folder / "bin/scontrol"
    tool.parent.mkdir()
    tool.write_text(f'#!/bin/sh\necho "$@" > "{place.folder}/asked"\n')
    tool.chmod(0o755)
    return {"SLURM_JOB_ID": "7", "SLURM_JOB_NAME": "fit", "SLURM_NTASKS": "1", "SLURM_PROCID": "0",
            "SLURM_LOCALID": "0", "SLURM_NODEID": "0", "SLURM_NODELIST": "localhost",
            "PATH": f"{tool.parent}{os.pathsep}{os.environ['PATH']}"}  # fmt: skip


@pytest.mark.parametrize("where", [{"step": 6}, {"validation": 1}])
def test_slurm_requeues_the_job(where, place, job, undisturbed):
    """Lightning's own handlers stay where they are needed: the job is saved, requeued, and goes on in its folder."""
    whole, printed = undisturbed()
    code, _, err = place.run(*kill(number="SIGUSR1", **where), environment=job)
    assert code == 0, err  # nobody has killed it
    assert (place.folder / "asked").read_text().split() == ["requeue", "7"]
    saved = place.folder / "runs/job_7/sine_seq2seq/hpc_ckpt_1.ckpt"
    assert torch.load(saved, weights_only=True)["global_step"] == where.get("step", 8)
    code, out, err = place.run(environment=job)
    assert code == 0, err
    assert "hpc_ckpt_1.ckpt" in err, "the requeued job goes on from it"
    assert [path.name for path in (place.folder / "runs/sine_seq2seq").iterdir()] == ["version_0"]
    assert_same_run(place, whole)
    assert test_figure(out) == test_figure(printed)
    code, _, err = place.run(environment={**job, "SLURM_JOB_ID": "8"})
    assert code == 0, err
    assert "hpc_ckpt_1.ckpt" not in err, "another job has nothing to do with it"
    assert_same_run(place, whole)


def test_a_job_is_requeued_after_the_chunk_and_the_batch(place, job, other):
    """The signal comes in the middle of a batch's chunks; what is saved then is not a part of a batch."""
    recipe = {"recipe": "sine_tbptt"}
    code, _, err = place.run(*kill(chunk=7, number="SIGUSR1"), environment=job, **recipe)
    assert code == 0, err
    saved = place.folder / "runs/job_7/sine_tbptt/hpc_ckpt_1.ckpt"
    assert torch.load(saved, weights_only=True)["global_step"] == 10
    assert place.run(environment=job, **recipe)[0] == 0
    assert other.run(**recipe)[0] == 0
    assert_same_run(place, other)


def test_slurm_keeps_sigterm(place, job):
    code, out, err = place.run(*kill(step=2, number="SIGTERM"), environment=job)
    assert "Bypassing SIGTERM" in out + err, (code, err)
