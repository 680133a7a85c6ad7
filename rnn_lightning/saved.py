"""Reads and writes networks with torch alone, from a run's checkpoint, or as JSON beside a plain state dict.

`NAME.json` names the class, the arguments and the weights' file, `NAME-xxxxxxxx.pt`, where `xxxxxxxx` are the first
eight digits of the file's SHA-256. The shipped weights in `weights/` and the files that `export` writes have this form.
"""

import hashlib
import inspect
import io
import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from rnn_lightning.errors import ArgumentError
from rnn_lightning.files import file_system, write_atomically
from rnn_lightning.fitted import KEY
from rnn_lightning.forecasts import Forecaster
from rnn_lightning.nn import RecurrentNet, Seq2SeqNet, Seq2VecNet

NETWORK_CLASSES: dict[str, type[RecurrentNet]] = {cls.__name__: cls for cls in (Seq2VecNet, Seq2SeqNet)}
_OF_MODEL = {"Seq2Vec": "Seq2VecNet", "Seq2Seq": "Seq2SeqNet"}
_REMEDY = "install the package again, or export the network again"


def shipped() -> dict[str, Path]:
    """Returns the JSON files of the trained networks that ship with the package, by name."""
    return {path.stem: path for path in sorted(Path(__file__).with_name("weights").glob("*.json"))}


def save_network(
    net: RecurrentNet, arguments: dict[str, Any], folder: str | Path, name: str, fitted: dict[str, Any] | None = None
) -> Path:
    """Writes a network's weights and its arguments; earlier weights with the same name are removed.

    Args:
        net: The network.
        arguments: The arguments of `type(net)`, as plain values.
        folder: The folder of the two files; it is created if missing.
        name: The stem of both files.
        fitted: The data module's fitted values, if any: plain values, saved in the JSON file.

    Returns:
        The path of the weights. Equal weights always give the same bytes, and so the same name.
    """
    memory = io.BytesIO()  # not a path, as torch would write the file's name into its bytes
    torch.save({key: value.detach().cpu().clone() for key, value in net.state_dict().items()}, memory)
    weights = memory.getvalue()
    sha256 = hashlib.sha256(weights).hexdigest()
    path = Path(folder, f"{name}-{sha256[:8]}.pt")
    description = {
        "network": type(net).__name__,
        "arguments": arguments,
        "weights": path.name,
        "sha256": sha256,
        **({KEY: fitted} if fitted else {}),
    }
    write_atomically(path, weights)
    write_atomically(path.with_name(f"{name}.json"), json.dumps(description, indent=1) + "\n")
    for other in path.parent.glob(f"{name}-{'[0-9a-f]' * 8}.pt"):
        if other != path:
            other.unlink()
    return path


def load_module(path: str | Path) -> RecurrentNet | Forecaster:
    """Loads a network with `load_network`. A network trained on a `TimeSeries` is returned within a `Forecaster`.

    Its attribute `fitted` has the data module's fitted values, or {}.
    """
    fitted = read_description(path).get(KEY, {})
    module: Any = load_network(path)
    if fitted.get("kind") == "series":
        module = Forecaster(module, fitted)
    module.fitted = fitted
    return module


def load_network(path: str | Path, pretrained: bool = True) -> RecurrentNet:
    """Loads the network of a run's checkpoint, or of `NAME.json`, in evaluation mode on the CPU.

    Args:
        path: The checkpoint (a path or URL), or the JSON file.
        pretrained: Whether to load the trained weights; otherwise the network is untrained.

    Raises:
        ArgumentError: A file is missing, changed or truncated, has another format, or the two files do not match.
    """
    description = read_description(path)
    cls = NETWORK_CLASSES[description["network"]]
    unknown = set(description["arguments"]) - set(inspect.signature(cls).parameters)
    if unknown:
        raise ArgumentError(f"{path}: {cls.__name__} has no argument {', '.join(sorted(unknown))}: {_REMEDY}")
    try:
        net = cls(**description["arguments"])
    except (TypeError, ValueError, RuntimeError) as error:
        raise ArgumentError(f"{path}: its arguments do not make a {cls.__name__} ({error}): {_REMEDY}") from error
    if pretrained:
        weights = read_weights(path)
        check_shapes(net, weights, str(path))
        net.to(next(iter(weights.values())).dtype).load_state_dict(weights)
    return net.eval()


def read_description(path: str | Path) -> dict[str, Any]:
    """Returns the checked contents of `NAME.json`, or the same information from a checkpoint.

    `NAME.json` has `network`, `arguments`, `weights` and `sha256`, a checkpoint only the first two. Both also
    have `fitted` if the data module fitted something.

    Raises:
        ArgumentError: There is no such file, or it has another format.
    """
    if Path(path).suffix != ".json":
        return _describe(read_checkpoint(path), str(path))
    if not Path(path).is_file():
        raise ArgumentError(f"there is no file {path}: give the --output of an export, or install the package again")
    try:
        found = json.loads(Path(path).read_text(encoding="utf-8"))
    except (ValueError, OSError, RecursionError) as error:
        raise ArgumentError(f"{path} is not readable JSON ({error}): {_REMEDY}") from error
    kinds = {"network": str, "arguments": dict, "weights": str, "sha256": str}
    if not isinstance(found, dict) or not all(isinstance(found.get(key), kind) for key, kind in kinds.items()):
        raise ArgumentError(f"{path} does not describe a network, which needs {', '.join(kinds)}: {_REMEDY}")
    if found["network"] not in NETWORK_CLASSES:
        raise ArgumentError(
            f"{path}: network={found['network']!r} is not one of {', '.join(NETWORK_CLASSES)}: {_REMEDY}"
        )
    if not found["weights"].isprintable() or Path(found["weights"]).name != found["weights"] or not found["weights"]:
        raise ArgumentError(f"{path}: weights={found['weights']!r} must be a file beside it, not a path: {_REMEDY}")
    return found


def read_weights(path: str | Path) -> dict[str, Tensor]:
    """Reads a network's weights, without running any code in the file.

    Args:
        path: `NAME.json`, which names the weights and their hash; or a checkpoint or a plain state dict.

    Raises:
        ArgumentError: The file is missing, changed or truncated, or is not a state dict.
    """
    if Path(path).suffix != ".json":
        return weights_in(read_checkpoint(path), str(path))
    description = read_description(path)
    file = Path(path).with_name(description["weights"])
    try:
        data = file.read_bytes()
    except OSError as error:
        raise ArgumentError(f"cannot read the weights {file} ({error.strerror or error}): {_REMEDY}") from error
    sha256 = hashlib.sha256(data).hexdigest()
    if sha256 != description["sha256"]:
        raise ArgumentError(
            f"the weights {file} have been changed or truncated: their SHA-256 is {sha256[:8]}..., not "
            f"{description['sha256'][:8]}...; {_REMEDY}"
        )
    return weights_in(_loaded(io.BytesIO(data), str(file)), str(file))


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """Loads a checkpoint or a state dict to the CPU; code that a file may name is never run (`weights_only=True`).

    Args:
        path: A file, or a URL that fsspec knows.

    Raises:
        ArgumentError: There is no such file, or it is not a readable checkpoint.
    """
    files, place = file_system(path)
    if not files.isfile(place):
        raise ArgumentError(f"there is no checkpoint {str(path)!r}: give the path of a .ckpt file that a fit wrote")
    with files.open(place, "rb") as file:
        return _loaded(file, str(path))


def _loaded(file: Any, source: str) -> dict[str, Any]:
    """Loads an open file; `source` is its name, for messages."""
    try:
        checkpoint = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # torch's reader may raise anything on such bytes
        raise ArgumentError(
            f"{source!r} is not a readable checkpoint: it is truncated, or contains more than tensors and plain values"
        ) from error
    if not isinstance(checkpoint, dict):
        raise ArgumentError(f"{source!r} holds a {type(checkpoint).__name__}: give a checkpoint or a state dict")
    if not isinstance(checkpoint.get("state_dict", {}), dict):
        raise ArgumentError(f"{source!r} is damaged: its state_dict is a {type(checkpoint['state_dict']).__name__}")
    return checkpoint


def check_parts(checkpoint: dict[str, Any], source: str) -> None:
    """Raises `ArgumentError` if a part of a run's checkpoint has an unexpected type."""
    for name, (kind, inner, keys) in _PARTS.items():
        if name not in checkpoint:
            continue
        part: Any = checkpoint[name]
        values = part.values() if isinstance(part, dict) else part
        if not isinstance(part, kind) or not all(isinstance(value, inner) for value in values):
            raise ArgumentError(f"{source!r} is damaged: its {name} is not a {kind.__name__} as written by a fit")
        holders: Any = [part] if kind is dict else part
        if not all(key in holder for holder in holders for key in keys):
            raise ArgumentError(f"{source!r} is damaged: its {name} lacks {' or '.join(keys)}")


_PARTS: dict[str, tuple[type, type, tuple[str, ...]]] = {
    "state_dict": (dict, Tensor, ()),
    "hyper_parameters": (dict, object, ()),
    "training": (dict, object, ()),
    "loops": (dict, dict, ("fit_loop",)),
    "optimizer_states": (list, dict, ("state", "param_groups")),
    "lr_schedulers": (list, dict, ()),
    "callbacks": (dict, dict, ()),
    "ranks": (list, dict, ("generators",)),
    "metrics": (dict, Tensor, ()),
}
"""For each part of a checkpoint: its type, its elements' type, and the keys that it (or each element) must have."""


def weights_in(checkpoint: dict[str, Any], source: str) -> dict[str, Tensor]:
    """Returns the network's weights from a checkpoint of its LightningModule, or from a plain state dict.

    Raises:
        ArgumentError: It contains no weights.
    """
    weights = checkpoint
    if "state_dict" in checkpoint:
        prefix = "net."
        weights = {k.removeprefix(prefix): v for k, v in checkpoint["state_dict"].items() if k.startswith(prefix)}
    if not weights or not all(map(_is_weight, weights.keys(), weights.values())):
        raise ArgumentError(
            f"{source!r} contains no state dict: give a checkpoint, or a file of floating-point tensors keyed by name"
        )
    return weights


def _is_weight(name: Any, value: Any) -> bool:
    kinds = (torch.float32, torch.float64, torch.bfloat16, torch.float16)
    is_tensor = isinstance(name, str) and isinstance(value, Tensor)
    return is_tensor and value.dtype in kinds and value.layout == torch.strided


def _describe(checkpoint: dict[str, Any], source: str) -> dict[str, Any]:
    """Returns the class and the arguments of a checkpoint's network."""
    model, saved = checkpoint.get("model"), checkpoint.get("hyper_parameters")
    network = str(checkpoint.get("network", _OF_MODEL.get(str(model))))
    if "state_dict" not in checkpoint or network not in NETWORK_CLASSES or not isinstance(saved, dict):
        found = f"holds a {model}" if model else "is not from a model of this package"
        raise ArgumentError(
            f"{source!r} {found}: give a checkpoint of {' or '.join(_OF_MODEL)}; for your own model use torch.onnx.export"
        )
    accepted = inspect.signature(NETWORK_CLASSES[network]).parameters
    fitted = {KEY: checkpoint[KEY]} if checkpoint.get(KEY) else {}
    return {"network": network, "arguments": {key: saved[key] for key in accepted if key in saved}, **fitted}


def check_shapes(module: torch.nn.Module, weights: dict[str, Tensor], source: str) -> None:
    """Raises `ArgumentError` if the names or shapes of weights differ from those of a module's parameters."""
    if not all(isinstance(name, str) and isinstance(value, Tensor) for name, value in weights.items()):
        raise ArgumentError(f"{source} is damaged: its state_dict has entries that are not tensors")
    own = {name: value.shape for name, value in module.state_dict().items()}
    given = {name: value.shape for name, value in weights.items()}
    for name in sorted(own.keys() | given.keys()):
        if own.get(name) != given.get(name):
            found, needed = (str(tuple(s[name])) if name in s else "missing" for s in (given, own))
            raise ArgumentError(
                f"{source} does not fit the network: {name} is {found} there but {needed} in the model: "
                "give the weights of a network with the same arguments"
            )
