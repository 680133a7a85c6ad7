"""Reading checkpoints and weights: only tensors and plain values, and only those of the same model."""

import pickle
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn

from rnn_lightning.errors import ArgumentError

NETWORK = (
    "input_size",
    "output_size",
    "cell",
    "nonlinearity",
    "hidden_size",
    "num_layers",
    "bias",
    "bidirectional",
)
"""Arguments that two networks must share if one is to run on the other's weights."""


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """Loads a checkpoint or a state dict to the CPU; code that a file may name is never run (`weights_only=True`).

    Raises:
        ArgumentError: There is no such file, or it is no readable checkpoint.
    """
    if not Path(path).is_file():
        raise ArgumentError(
            f"there is no checkpoint {str(path)!r}: give the path of a .ckpt file that a fit has written"
        )
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError, OSError) as error:
        raise ArgumentError(
            f"{str(path)!r} is no readable checkpoint: it is cut off, or holds more than tensors and plain values"
        ) from error
    if not isinstance(checkpoint, dict):
        raise ArgumentError(f"{str(path)!r} holds a {type(checkpoint).__name__}: give a checkpoint or a state dict")
    return checkpoint


def check_checkpoint(module: LightningModule, checkpoint: dict[str, Any]) -> None:
    """Raises `ArgumentError` if a checkpoint is of another class of model, or of a network of another shape."""
    name, own = checkpoint.get("model"), type(module).__name__
    if name is not None and name != own:
        raise ArgumentError(f"the checkpoint holds a {name}, the model is a {own}: give the checkpoint of a {own}")
    saved, wanted = checkpoint.get("hyper_parameters", {}), module.hparams
    differing = [
        f"{key}={saved[key]!r} (the model has {wanted[key]!r})"
        for key in NETWORK
        if key in saved and key in wanted and saved[key] != wanted[key]
    ]
    if differing:
        raise ArgumentError(f"the checkpoint is of another network, with {', '.join(differing)}: make them equal")
    check_shapes(module, checkpoint.get("state_dict", {}), "the checkpoint")


def check_shapes(module: nn.Module, weights: dict[str, Tensor], source: str) -> None:
    """Raises `ArgumentError` if the names or shapes of weights are not those of a module's parameters."""
    own = {name: value.shape for name, value in module.state_dict().items()}
    given = {name: value.shape for name, value in weights.items()}
    for name in sorted(own.keys() | given.keys()):
        if own.get(name) != given.get(name):
            found, needed = (str(tuple(s[name])) if name in s else "missing" for s in (given, own))
            raise ArgumentError(
                f"{source} does not fit the network: {name} is {found} there, {needed} in the model; "
                "give the weights of a network of the same arguments"
            )


def load_weights(net: nn.Module, path: str | Path) -> None:
    """Loads a network's weights from a checkpoint of its LightningModule or from a plain state dict, strictly.

    Raises:
        ArgumentError: The file is not there, not readable, or of another network.
    """
    weights = read_checkpoint(path)
    if "state_dict" in weights:
        prefix = "net."
        weights = {k.removeprefix(prefix): v for k, v in weights["state_dict"].items() if k.startswith(prefix)}
    if not all(isinstance(value, Tensor) for value in weights.values()):
        raise ArgumentError(
            f"weights={str(path)!r} holds no state dict: give a checkpoint, or a file of tensors by name"
        )
    check_shapes(net, weights, f"weights={str(path)!r}")
    net.load_state_dict(weights)
