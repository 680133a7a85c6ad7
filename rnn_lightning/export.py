"""`python -m rnn_lightning export`: turns a run's checkpoint into files that need neither the run nor Lightning."""

import copy
import importlib.util
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from rnn_lightning.errors import ArgumentError
from rnn_lightning.files import folder_written_beside, remove_leftovers
from rnn_lightning.fitted import KEY
from rnn_lightning.forecasts import Forecaster
from rnn_lightning.nn import RecurrentNet, Seq2SeqNet
from rnn_lightning.saved import load_module, read_description, save_network

NAME = "network"
"""The stem of the exported files."""
_SIZES = {
    **{name: {0: "batch", 1: "time"} for name in ("x", "y", "known")},
    "y_hat": {0: "batch", 1: "steps"},
    **{name: {0: "batch"} for name in ("lengths", "shift", "scale", "last")},
    **{name: {1: "batch"} for name in ("h", "c", "h_0", "c_0")},
}
"""The dimensions of inputs and outputs that may have any size."""


def export(ckpt_path: str, output: str, onnx: bool = True) -> Path:
    """Writes the network of a checkpoint as plain weights, with its arguments as JSON, and as ONNX.

    `output` then contains `network.json` and `network-xxxxxxxx.pt`, which `rnn_lightning.hub.load_exported` reads with
    torch alone, and `network.onnx`, from `x` (batch, time, I) to `y` and the final state `h` (for an LSTM, `h` and
    `c`). In `network_stream.onnx`, the `lengths` of the rows and the initial state `h_0`, `c_0` are also inputs, so
    that a sequence can be read piece by piece. A network that was trained on a `TimeSeries` is written as its
    `Forecaster`; see `write_onnx`.

    Args:
        ckpt_path: A checkpoint of a run.
        output: The folder to write to; it must be new or empty.
        onnx: Whether to write the ONNX files, which need the package onnx.

    Returns:
        The folder.

    Raises:
        ArgumentError: There is no such checkpoint, the folder is not empty, or onnx is not installed.
        NotWrittenError: The folder cannot be written; nothing is left behind.
    """
    folder = Path(output)
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise ArgumentError(f"--output {output} already exists: give a new or an empty folder")
    if onnx and importlib.util.find_spec("onnx") is None:
        raise ArgumentError("the ONNX file needs the package onnx: pip install onnx, or give --onnx=false")
    module, description = load_module(ckpt_path), read_description(ckpt_path)
    net = module.net if isinstance(module, Forecaster) else module
    remove_leftovers(folder.absolute().parent, folder.name)
    with folder_written_beside(folder) as beside:
        save_network(net, description["arguments"], beside, NAME, description.get(KEY))
        if onnx:
            write_onnx(module, beside / f"{NAME}.onnx")
            if not isinstance(module, Forecaster):
                write_onnx(module, beside / f"{NAME}_stream.onnx", stream=True)
    return folder


def write_onnx(module: RecurrentNet | Forecaster, path: str | Path, stream: bool = False) -> None:
    """Writes a network in evaluation mode and single precision as ONNX: x (batch, time, I) to y and the final state.

    The inputs of a `Forecaster` are `y` (batch, time, C) float64, raw values with NaN where a value is missing; `known`
    (batch, time, K) float64, if K > 0, for the steps after those of `y`; `shift` and `scale` (batch, C) float64. Its
    outputs are `y_hat` (batch, time - L, C), the raw predictions of the value after each step; the network's state; and
    `last`, the raw values from which the next differences are computed.

    Batch and time may have any size. The given module is not changed.

    Args:
        module: The network, or the forecaster around one.
        path: The file.
        stream: For a network, whether `lengths` (batch,) int64 and the state before the first step, `h_0` and for an
            LSTM `c_0` (L * D, batch, H), are also inputs. A sequence can then be read piece by piece: pass the outputs
            `h` and `c` of one call as `h_0` and `c_0` to the next. A row of length 0 keeps its state.
    """
    module = copy.deepcopy(module)
    net = module.net if isinstance(module, Forecaster) else module
    net.float().eval()
    state = ["h", "c"] if isinstance(net.layers, torch.nn.LSTM) else ["h"]
    example = _example(module, [f"{name}_0" for name in state] if stream else [])
    outputs = ["y_hat", *state, "last"] if isinstance(module, Forecaster) else ["y", *state]
    sizes = {name: _SIZES[name] for name in (*example, *outputs)}
    if not isinstance(net, Seq2SeqNet):
        sizes["y"] = {0: "batch"}
    with warnings.catch_warnings(), _quiet_stderr():
        warnings.simplefilter("ignore")  # the tracer's warnings are about results that the tests compare with torch
        torch.onnx.export(
            _Stream(net) if stream else module,
            tuple(example.values()) if stream else (),
            str(path),
            kwargs=None if stream else example,
            dynamo=False,  # torch's newer exporter would unroll the recurrence over the example's steps
            input_names=list(example),
            output_names=outputs,
            dynamic_axes=sizes,
        )


def _example(module: RecurrentNet | Forecaster, states: list[str]) -> dict[str, Any]:
    """Returns example inputs by name; for a network, `states` are the names of those that are inputs."""
    if isinstance(module, Forecaster):
        columns, known, steps = len(module.columns), len(module.known_names), module.lead + 3
        raw = {"y": torch.rand(2, steps, columns, dtype=torch.float64)}
        if known:
            raw["known"] = torch.rand(2, steps, known, dtype=torch.float64)
        return raw | {name: torch.ones(2, columns, dtype=torch.float64) for name in ("shift", "scale")}
    layers, x = module.layers, {"x": module.example_input(2, 3)}
    if not states:
        return x
    shape = (layers.num_layers * (2 if layers.bidirectional else 1), 2, layers.hidden_size)
    return x | {"lengths": torch.tensor([3, 2]), **{name: torch.zeros(shape) for name in states}}


class _Stream(torch.nn.Module):
    """A network that takes and returns flat lists of tensors, as an ONNX file does."""

    def __init__(self, net: RecurrentNet) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Tensor, lengths: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        y, after = self.net(x, state if len(state) == 2 else state[0], lengths)
        return (y, *(after if isinstance(after, tuple) else (after,)))


@contextmanager
def _quiet_stderr() -> Iterator[None]:
    """Hides a needless message about the shapes of packed sequences, which the exporter prints from C++."""
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
