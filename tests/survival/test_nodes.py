"""Two "machines" on the loopback, started by torchrun: with one folder, and with a disk of its own each."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from fits import ALWAYS, SETTINGS, Place, kill

HERE = Path(__file__).parent
NODES = ["--trainer.num_nodes=2", "--trainer.devices=1", "--trainer.strategy=ddp"]


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def start(folders, *arguments, recipe="sine_tbptt", settings=SETTINGS):
    """Starts torchrun once for each folder."""
    port, environment = free_port(), {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(HERE)}
    return [
        subprocess.Popen(
            [sys.executable, "-m", "torch.distributed.run", "--nnodes=2", "--nproc_per_node=1", f"--node_rank={rank}",
             "--master_addr=127.0.0.1", f"--master_port={port}",
             "-m", "rnn_lightning", "fit", "--config", recipe, *settings, *NODES, *arguments],
            cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            start_new_session=True,
        )
        for rank, folder in enumerate(folders)
    ]  # fmt: skip


def end(processes):
    try:
        outputs = [process.communicate(timeout=900) for process in processes]
    finally:
        for process in processes:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
    return [process.returncode for process in processes], outputs


def folders_of(tmp_path, disks):
    folders = [tmp_path / "node 0", tmp_path / ("node 0" if disks == "shared" else "node 1")]
    for folder in folders:
        folder.mkdir(exist_ok=True)
    return folders


def loss(out):
    return float(re.search(r"test/loss\D+([\d.]+)", out).group(1))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("recipe", "disks"),
    [("sine_tbptt", "own"), ("sine_tbptt", "shared"), ("mnist_rnn", "own"), ("mnist_rnn", "shared")],
)
def test_two_nodes_equal_one_process_and_resume(recipe, disks, tmp_path, other, fake_mnist_dir):
    folders = folders_of(tmp_path, disks)
    own = [f"--data.data_dir={fake_mnist_dir}", "--data.verify=false", "--data.val_size=100"]
    how = {"recipe": recipe, "settings": SETTINGS if recipe == "sine_tbptt" else [*ALWAYS, *own]}
    data = ["--data.batch_size=10"]  # of each process, as is the number of steps of the sine
    codes, outputs = end(start(folders, *data, "--trainer.max_epochs=2", **how))
    assert codes == [0, 0], outputs
    assert not any("strides" in err for _, err in outputs)
    for folder in folders:
        assert {path.name for path in folder.rglob("*.ckpt")} == {"best.ckpt", "last.ckpt"}
    if disks == "own":
        one, two = (next(folder.rglob("best.ckpt")).read_bytes() for folder in folders)
        assert one == two
    codes, outputs = end(start(folders, *data, "--ckpt_path=last", **how))
    assert codes == [0, 0], outputs
    found = Place(folders[0]).state()
    assert found["epoch"] == 3
    # One process on the joined batch.
    code, out, err = other.run("--data.batch_size=20", **how)
    assert code == 0, err
    print(f"test/loss of {recipe}, {disks}: two nodes {loss(outputs[0][0])}, one process {loss(out)}")
    assert loss(outputs[0][0]) == pytest.approx(loss(out), rel=1e-4)
    whole = other.state()
    assert whole["global_step"] == found["global_step"]
    for name, value in whole["state_dict"].items():
        torch.testing.assert_close(value, found["state_dict"][name], rtol=1e-4, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("disks", ["own", "shared"])
def test_a_killed_node_ends_the_other_in_seconds_and_both_resume(disks, tmp_path):
    folders = folders_of(tmp_path, disks)
    periodic = ["--trainer.callbacks+=PeriodicCheckpoint", "--trainer.callbacks.every_n_steps=1"]
    processes = start(folders, *periodic, *kill(step=25, rank=1))
    processes[1].wait(900)
    begun = time.monotonic()
    codes, outputs = end(processes)
    assert time.monotonic() - begun < 60
    assert all(codes)
    assert len(re.findall("^error: ", outputs[0][1], re.MULTILINE)) == 1, outputs[0][1]
    codes, outputs = end(start(folders, *periodic, "--ckpt_path=last"))
    assert codes == [0, 0], outputs
