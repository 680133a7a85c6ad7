"""`python -m rnn_lightning export`: from a run's checkpoint to files that need neither the run nor Lightning."""

import copy
import importlib.util
import shutil
import tempfile
import warnings
from pathlib import Path

import torch

from rnn_lightning.errors import ArgumentError
from rnn_lightning.nn import RecurrentNet, Seq2SeqNet
from rnn_lightning.saved import load_network, read_description, save_network

NAME = "network"
"""The stem of the exported files."""


def export(ckpt_path: str, output: str, onnx: bool = True) -> Path:
    """Writes the network of a checkpoint as plain weights, its arguments as JSON, and an ONNX file.

    `output` then holds `network.json` and `network-xxxxxxxx.pt`, which `rnn_lightning.hub.load_exported` reads with torch
    alone, and `network.onnx`: from `x` (batch, time, I) to `y` and the final state `h`, for LSTM also `c`.

    Args:
        ckpt_path: A checkpoint of a run.
        output: The folder to write; it must be new, or empty.
        onnx: Whether to write the ONNX file, which needs the package onnx.

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
        beside.chmod(0o755)  # mkdtemp's folder is for its maker alone
        if folder.exists():
            folder.rmdir()
        beside.rename(folder)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return folder


def write_onnx(net: RecurrentNet, path: str | Path) -> None:
    """Writes a network in evaluation mode, in single precision, as ONNX: x (batch, time, I) to y and the final state.

    Batch and time may be of any size then, whatever they were here. The network that is given stays as it is.
    """
    net = copy.deepcopy(net).float().eval()
    state = ["h", "c"] if isinstance(net.layers, torch.nn.LSTM) else ["h"]
    sequence = {0: "batch", 1: "time"}
    sizes = {
        "x": sequence,
        "y": sequence if isinstance(net, Seq2SeqNet) else {0: "batch"},
        **{name: {1: "batch"} for name in state},
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the tracer warns of what the tests compare with torch
        torch.onnx.export(
            net,
            (net.example_input(2, 3),),
            str(path),
            dynamo=False,  # torch's other exporter unrolls the recurrence over the steps it is shown
            input_names=["x"],
            output_names=["y", *state],
            dynamic_axes=sizes,
        )
