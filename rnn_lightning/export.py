"""`python -m rnn_lightning export`: from a run's checkpoint to files that need neither the run nor Lightning."""

import copy
import importlib.util
import os
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor

from rnn_lightning.errors import ArgumentError
from rnn_lightning.nn import RecurrentNet, Seq2SeqNet
from rnn_lightning.saved import load_network, read_description, save_network

NAME = "network"
"""The stem of the exported files."""


def export(ckpt_path: str, output: str, onnx: bool = True) -> Path:
    """Writes the network of a checkpoint as plain weights, its arguments as JSON, and an ONNX file.

    `output` then holds `network.json` and `network-xxxxxxxx.pt`, which `rnn_lightning.hub.load_exported` reads with torch
    alone, and `network.onnx`: from `x` (batch, time, I) to `y` and the final state `h`, for LSTM also `c`. In
    `network_stream.onnx` the `lengths` of the rows and the initial state `h_0`, `c_0` are inputs, too, so that a sequence
    can be read piece by piece.

    Args:
        ckpt_path: A checkpoint of a run.
        output: The folder to write; it must be new, or empty.
        onnx: Whether to write the ONNX files, which need the package onnx.

    Returns:
        The folder.

    Raises:
        ArgumentError: There is no such checkpoint, the folder holds something already, or onnx is not installed.
    """
    folder = Path(output)
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise ArgumentError(f"--output {output} is there already: give a new or an empty folder")
    if onnx and importlib.util.find_spec("onnx") is None:
        raise ArgumentError("the ONNX file needs the package onnx: pip install onnx, or give --onnx=false")
    net, arguments = load_network(ckpt_path), read_description(ckpt_path)["arguments"]
    folder.absolute().parent.mkdir(parents=True, exist_ok=True)
    beside = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.absolute().parent))
    try:
        save_network(net, arguments, beside, NAME)
        if onnx:
            write_onnx(net, beside / f"{NAME}.onnx")
            write_onnx(net, beside / f"{NAME}_stream.onnx", stream=True)
        beside.chmod(0o755)  # mkdtemp's folder is for its maker alone
        if folder.exists():
            folder.rmdir()
        beside.rename(folder)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return folder


def write_onnx(net: RecurrentNet, path: str | Path, stream: bool = False) -> None:
    """Writes a network in evaluation mode, in single precision, as ONNX: x (batch, time, I) to y and the final state.

    Batch and time may be of any size then, whatever they were here. The network that is given stays as it is.

    Args:
        net: The network.
        path: The file.
        stream: Whether `lengths` (batch,) int64 and the state before the first step, `h_0` and for LSTM `c_0`
            (L * D, batch, H), are inputs, too. A sequence can then be read piece by piece: what comes out as `h` and `c`
            goes into the next call as `h_0` and `c_0`. A row of length 0 keeps its state.
    """
    net = copy.deepcopy(net).float().eval()
    layers = net.layers
    state = ["h", "c"] if isinstance(layers, torch.nn.LSTM) else ["h"]
    sequence, rows = {0: "batch", 1: "time"}, {1: "batch"}
    sizes = {
        "x": sequence,
        "y": sequence if isinstance(net, Seq2SeqNet) else {0: "batch"},
        **dict.fromkeys(state, rows),
    }
    inputs: tuple[Tensor, ...] = (torch.zeros(2, 3, layers.input_size),)
    names: list[str] = ["x"]
    module: torch.nn.Module = net
    if stream:
        before = [f"{name}_0" for name in state]
        sizes |= {"lengths": {0: "batch"}, **dict.fromkeys(before, rows)}
        names += ["lengths", *before]
        shape = (layers.num_layers * (2 if layers.bidirectional else 1), 2, layers.hidden_size)
        inputs += (torch.tensor([3, 2]), *(torch.zeros(shape) for _ in state))
        module = _Stream(net)
    with warnings.catch_warnings(), _quiet_stderr():
        warnings.simplefilter("ignore")  # the tracer warns of what the tests compare with torch
        torch.onnx.export(
            module,
            inputs,
            str(path),
            dynamo=False,  # torch's other exporter unrolls the recurrence over the steps it is shown
            input_names=names,
            output_names=["y", *state],
            dynamic_axes=sizes,
        )


class _Stream(torch.nn.Module):
    """A network whose inputs and outputs are tensors in a row, as those of an ONNX file."""

    def __init__(self, net: RecurrentNet) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Tensor, lengths: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        y, after = self.net(x, state if len(state) == 2 else state[0], lengths)
        return (y, *(after if isinstance(after, tuple) else (after,)))


@contextmanager
def _quiet_stderr() -> Iterator[None]:
    """The exporter writes from C++ that it does not know the shapes of packed sequences, which need not be known."""
    try:
        stderr = os.dup(2)
    except OSError:  # a process without one
        yield
        return
    try:
        with open(os.devnull, "w") as nowhere:
            os.dup2(nowhere.fileno(), 2)
            yield
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
