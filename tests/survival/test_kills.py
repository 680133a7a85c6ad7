"""Kills at random moments, also while a checkpoint is written and at an epoch's last batch; some runs are killed twice."""

import os
import random
import re
import shutil
import signal
import time
from pathlib import Path

import pytest
from fits import PERIODIC, assert_same_run, kill

from rnn_lightning.files import PREFIX

RUN = ["--data.steps_per_epoch=40", "--model.state_dropout=0.1", *PERIODIC]
OTHER_DISK = Path("/dev/shm")


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    from fits import Place

    place = Place(tmp_path_factory.mktemp("whole"))
    code, out, err = place.run(*RUN, recipe="sine_tbptt")
    assert code == 0, err
    return place, score(out)


def score(out):
    return re.findall(r"test/\w+\s+(\S+)", out)


def kill_once(place, resumed, kind, chance, environment):
    more = ["--ckpt_path=last"] if resumed else []
    if kind == "an epoch's last batch":  # 5 chunks a batch
        epoch = 2 if resumed else 1
        code, _, err = place.run(*RUN, *more, *kill(step=200 * epoch), recipe="sine_tbptt", environment=environment)
        assert code == -signal.SIGKILL, err
        return
    process = place.start(*RUN, *more, recipe="sine_tbptt", environment=environment)
    try:
        begun = time.time()
        while not any(path.stat().st_mtime > begun for path in place.folder.rglob("last.ckpt")):
            assert process.poll() is None, process.communicate()[1]
            time.sleep(0.01)
        time.sleep(chance.uniform(0, 2))
        while kind == "the writing" and process.poll() is None and not list(place.folder.rglob(f"{PREFIX}*")):
            pass
    finally:
        process.kill()
        process.communicate()


KINDS = ["any moment"] * 8 + ["the writing"] * 6 + ["an epoch's last batch"] * 6


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(20))
def test_a_killed_run_ends_as_the_undisturbed_one(seed, whole, place):
    chance, (undisturbed, expected) = random.Random(seed), whole
    temporary = OTHER_DISK / f"kills-{os.getpid()}-{seed}"
    environment = {"TMPDIR": str(temporary)} if seed % 2 and OTHER_DISK.is_dir() else {}
    if environment:
        temporary.mkdir()
    try:
        for time_ in range(1 + seed % 2):  # 10 of them twice
            kill_once(place, time_ > 0, KINDS[seed], chance, environment)
        code, out, err = place.run(*RUN, "--ckpt_path=last", recipe="sine_tbptt", environment=environment)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    assert code == 0, err
    assert_same_run(place, undisturbed)
    assert score(out) == expected
