"""`python -m rnn_lightning export`: from a run's checkpoint to files that need neither the run nor Lightning."""

import copy
import importlib.util
import shutil
import tempfile
import warnings
from pathlib import Path
from typing import Any

import torch

from rnn_lightning.errors import ArgumentError
from rnn_lightning.fitted import KEY
from rnn_lightning.forecasts import Forecaster
from rnn_lightning.nn import RecurrentNet, Seq2SeqNet
from rnn_lightning.saved import load_module, read_description, save_network

NAME = "network"
"""The stem of the exported files."""


def export(ckpt_path: str, output: str, onnx: bool = True) -> Path:
    """Writes the network of a checkpoint as plain weights, its arguments as JSON, and an ONNX file.

    `output` then holds `network.json` and `network-xxxxxxxx.pt`, which `rnn_lightning.hub.load_exported` reads with torch
    alone, and `network.onnx`: from `x` (batch, time, I) to `y` and the final state `h`, for LSTM also `c`. A network that
    was trained on a `TimeSeries` is written as its `Forecaster`: see `write_onnx`.

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
    module, description = load_module(ckpt_path), read_description(ckpt_path)
    net = module.net if isinstance(module, Forecaster) else module
    folder.absolute().parent.mkdir(parents=True, exist_ok=True)
    beside = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.absolute().parent))
    try:
        save_network(net, description["arguments"], beside, NAME, description.get(KEY))
        if onnx:
            write_onnx(module, beside / f"{NAME}.onnx")
        beside.chmod(0o755)  # mkdtemp's folder is for its maker alone
        if folder.exists():
            folder.rmdir()
        beside.rename(folder)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return folder


def write_onnx(module: RecurrentNet | Forecaster, path: str | Path) -> None:
    """Writes a network in evaluation mode, in single precision, as ONNX: x (batch, time, I) to y and the final state.

    Of a `Forecaster`, the inputs are its own: `y` (batch, time, C) float64, raw values and NaN where one is missing;
    `known` (batch, time, K) float64, if K > 0, of the steps after those of `y`; `shift` and `scale` (batch, C) float64.
    The outputs are `y_hat` (batch, time - L, C), the raw predictions of each step's next one, the network's state, and
    `last`, the raw values that a further step looks back to.

    Batch and time may be of any size then, whatever they were here. The module that is given stays as it is.
    """
    module = copy.deepcopy(module)
    net = module.net if isinstance(module, Forecaster) else module
    net.float().eval()
    state = ["h", "c"] if isinstance(net.layers, torch.nn.LSTM) else ["h"]
    sequence = {0: "batch", 1: "time"}
    sizes: dict[str, dict[int, str]] = {name: {1: "batch"} for name in state}
    example: dict[str, Any] = {}
    if isinstance(module, Forecaster):
        columns, known = len(module.columns), len(module.known_names)
        steps = module.lead + 3
        example["y"] = torch.rand(2, steps, columns, dtype=torch.float64)
        if known:
            example["known"] = torch.rand(2, steps, known, dtype=torch.float64)
        sizes |= dict.fromkeys(example, sequence)
        example |= {name: torch.ones(2, columns, dtype=torch.float64) for name in ("shift", "scale")}
        sizes |= {"shift": {0: "batch"}, "scale": {0: "batch"}, "y_hat": {0: "batch", 1: "steps"}, "last": {0: "batch"}}
        outputs = ["y_hat", *state, "last"]
    else:
        example["x"] = torch.zeros(2, 3, net.layers.input_size)
        sizes |= {"x": sequence, "y": sequence if isinstance(net, Seq2SeqNet) else {0: "batch"}}
        outputs = ["y", *state]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the tracer warns of what the tests compare with torch
        torch.onnx.export(
            module,
            (),
            str(path),
            kwargs=example,
            dynamo=False,  # torch's other exporter unrolls the recurrence over the steps it is shown
            input_names=list(example),
            output_names=outputs,
            dynamic_axes=sizes,
        )
