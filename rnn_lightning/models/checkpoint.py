"""Reads checkpoints and weights that contain only tensors and plain values, and belong to the same model."""

from collections.abc import Mapping
from inspect import signature
from pathlib import Path
from typing import Any

from lightning.pytorch import LightningModule
from lightning.pytorch.utilities.rank_zero import rank_zero_info
from torch import Tensor

from rnn_lightning.errors import ArgumentError
from rnn_lightning.nn import RecurrentNet
from rnn_lightning.saved import check_shapes, read_checkpoint, read_description, read_weights, shipped, weights_in

_FREE = ("input_dropout", "output_dropout", "state_dropout", "variational", "init")
_SHAPING = [name for name in signature(RecurrentNet).parameters if name not in _FREE]
"""Arguments that two networks must share so that one can use the other's weights."""
HEAD = ("head.weight", "head.bias")


def check_checkpoint(module: LightningModule, checkpoint: dict[str, Any]) -> None:
    """Raises `ArgumentError` if a checkpoint belongs to another model class or to a network of another shape."""
    name, own = checkpoint.get("model"), type(module).__name__
    if name is not None and name != own:
        raise ArgumentError(f"the checkpoint holds a {name}, but the model is a {own}: give the checkpoint of a {own}")
    _check_arguments(checkpoint.get("hyper_parameters", {}), module.hparams, "the checkpoint")
    check_shapes(module, checkpoint.get("state_dict", {}), "the checkpoint")


def load_weights(net: RecurrentNet, source: str, arguments: dict[str, Any]) -> bool:
    """Loads trained weights into a network, strictly except for a head of another size, which is left unchanged.

    Args:
        net: The network.
        source: The name of a trained network that ships with the package, or a file: a checkpoint, a plain state dict,
            or the JSON file beside a state dict. A file takes precedence over a trained network of the same name.
        arguments: The network's arguments, to report differences.

    Returns:
        Whether the head's weights were loaded as well.

    Raises:
        ArgumentError: The name or file does not exist, or the file can't be read or belongs to another network.
    """
    label = f"weights={source!r}"
    weights, saved = _read_weights(source)
    _check_arguments({k: v for k, v in saved.items() if k != "output_size"}, arguments, label)
    own = net.state_dict()
    fresh = all(key in weights for key in HEAD) and any(weights[key].shape != own[key].shape for key in HEAD)
    if fresh:
        sizes = f"{tuple(weights[HEAD[0]].shape)} there, {tuple(own[HEAD[0]].shape)} in the model"
        weights = {**weights, **{key: own[key] for key in HEAD}}
    check_shapes(net, weights, label)
    net.load_state_dict(weights)
    if fresh:
        rank_zero_info(f"{label}: the head has a different size, {sizes}; it is reinitialised, and the rest is loaded")
    return not fresh


def _read_weights(source: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Reads weights by name, and the known arguments of their network."""
    known = shipped()
    path = known.get(source) if source in known and not Path(source).is_file() else Path(source)
    assert path is not None
    if not path.is_file():
        raise ArgumentError(
            f"weights={source!r}: there is no such file and no such trained network: choose one of {', '.join(known)}"
        )
    if path.suffix == ".json":
        return read_weights(path), read_description(path)["arguments"]
    checkpoint = read_checkpoint(path)
    saved = checkpoint.get("hyper_parameters", {}) if "state_dict" in checkpoint else {}
    return weights_in(checkpoint, source), saved


def _check_arguments(saved: Mapping[str, Any], wanted: Mapping[str, Any], source: str) -> None:
    """Raises `ArgumentError` if weights belong to a network with other arguments."""
    differing = [
        f"{key}={saved[key]!r} (the model has {wanted[key]!r})"
        for key in _SHAPING
        if key in saved and key in wanted and saved[key] != wanted[key]
    ]
    if differing:
        raise ArgumentError(f"{source} belongs to another network, with {', '.join(differing)}: make them equal")
