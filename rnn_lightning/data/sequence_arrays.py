"""`SequenceArrays`: your own labelled sequences, read from an array file.

Legend: N sequences, T time steps, I input features, O outputs.
"""

import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

from rnn_lightning.data.counter_hash import derive_key, splitmix64
from rnn_lightning.data.datamodule import PARTS, SequenceDataModule
from rnn_lightning.data.samples import PaddedBatches
from rnn_lightning.errors import ArgumentError
from rnn_lightning.fitted import check_kind
from rnn_lightning.nn import RecurrentNet, Seq2SeqNet

KIND = "arrays"
"""The kind of fitted values that `SequenceArrays` reads."""
_SPLIT_KEY = derive_key(16)


class SequenceArrays(SequenceDataModule):
    """Sequences of any length from an `.npz` file, with targets for whole sequences or for each step.

    The file, written by `numpy.savez`, has `x` (N, T, I), padded to the same T, and the targets `y`. Whole numbers or
    strings (N,) or (N, T) are classes. Other numbers, (N,), (N, O) or (N, T, O), are values. Two arrays are optional:
    `lengths` (N,) says how many steps of each sequence count, and `split` (N,) names each sequence's part: "train",
    "val" or "test". Without `split`, the parts are chosen at random, with classes in the same proportions. If `split`
    has no "val", only the validation part is chosen in this way. The choice is always the same for the same file.

    Use `Seq2Vec` for one target per sequence, and `Seq2Seq` for one target per step. Training batches have sequences of
    similar length. A batch has `x` (B, T, I) float32, `y`, and `lengths` if the file has `lengths`. `predict` gets the
    test part.

    Args:
        path: The file.
        val: The share of the sequences to validate on, if the file does not say which.
        test: The share of the sequences to test on, if the file has no split.
        fitted: The `fitted_values` of the data that a network was trained on. Their classes are then used. The command
            line takes these values from the checkpoint.
        **settings: Arguments of `SequenceDataModule`.

    Attributes:
        classes: The labels, in the order of their class indices; None if targets are values.
        task: "classification" or "regression".
        baseline: The metrics of the naive answer, keyed by their logged names.
        baseline_name: The name of the naive answer: "majority class" or "mean", both of the training part.

    Raises:
        ArgumentError: The file is missing or has another format, its arrays don't fit together, or a part is empty.
    """

    def __init__(
        self,
        path: str | Path,
        val: float = 0.15,
        test: float = 0.15,
        fitted: dict[str, Any] | None = None,
        batch_size: int = 32,
        **settings: Any,
    ) -> None:
        super().__init__(batch_size=batch_size, **settings)
        path = str(path)  # a Path in the hyperparameters would be pickled in checkpoints
        self.save_hyperparameters(ignore=["fitted"])
        for name, share in (("val", val), ("test", test)):
            if not isinstance(share, (int, float)) or not 0 < share < 1:
                raise ArgumentError(f"{name}={share}: give a share of the sequences between 0 and 1")
        if fitted is not None:
            check_kind(fitted, KIND, "SequenceArrays")
        arrays = _read(path)
        x, y, lengths = arrays["x"], arrays["y"], arrays.get("lengths")
        is_value = y.dtype.kind == "f"
        self.task = "regression" if is_value else "classification"
        if fitted is not None and (fitted["classes"] is None) != is_value:
            wanted, given = ("classes", "values") if is_value else ("values", "classes")
            raise ArgumentError(f"{path}: y has {given}, but the network was trained on {wanted}: give {wanted}")
        self.per_step = y.ndim == 3 if is_value else y.ndim == 2
        within = np.arange(x.shape[1]) < (np.full(len(x), x.shape[1]) if lengths is None else lengths)[:, None]
        counts = within if self.per_step else np.ones(len(y), dtype=bool)
        _check_values(f"{path}: x", x, within)
        _check_values(f"{path}: y", y, counts)
        chosen = _split(path, arrays.get("split"), None if is_value or self.per_step else y, len(x), val, test)
        y = self._targets(path, y, counts, chosen["train"], fitted)
        self.input_size = x.shape[2]
        if fitted is not None and fitted["features"] != self.input_size:
            raise ArgumentError(
                f"{path} has {self.input_size} features per step, but the network was trained on {fitted['features']}"
            )
        per_step = ("x", "y") if self.per_step else ("x",)
        self._parts = {}
        for part, rows in chosen.items():
            tensors = {"x": torch.from_numpy(x[rows].astype(np.float32)), "y": torch.from_numpy(y[rows])}
            steps = None if lengths is None else torch.from_numpy(lengths[rows].astype(np.int64))
            self._parts[part] = PaddedBatches(tensors, steps, per_step)
        self.baseline_name = "mean" if is_value else "majority class"
        self.baseline = _baseline(is_value, *(y[chosen[part]][counts[chosen[part]]] for part in ("train", "test")))

    def _targets(
        self, path: str, y: np.ndarray, counts: np.ndarray, train: np.ndarray, fitted: dict[str, Any] | None
    ) -> np.ndarray:
        """Converts the targets to what a loss takes, and sets `classes` and `output_size`.

        Values become float32 and labels class indices (int64). Both are 0 where targets do not count.
        """
        self.classes: list[Any] | None = None
        if self.task == "regression":
            self.output_size = y.shape[-1] if y.ndim > 1 else 1
            y = y.copy()
            y[~counts] = 0
            return y.astype(np.float32)
        found = np.unique(y[train][counts[train]]).tolist()
        if fitted is None and len(found) < 2:
            raise ArgumentError(f"{path}: the training part has only one class, {found[0]!r}: give two or more")
        self.classes = found if fitted is None else list(fitted["classes"])
        self.output_size = len(self.classes)
        classes = np.asarray(self.classes)  # sorted
        indices = np.minimum(np.searchsorted(classes, y), len(classes) - 1)
        missing = (classes[indices] != y) & counts
        if missing.any():
            raise ArgumentError(
                f"{path}: the class {y[missing][0]!s} is not in the training part, so it can't be learned: leave it out, "
                "or change split"
            )
        return np.where(counts, indices, 0).astype(np.int64)

    @property
    def fitted_values(self) -> dict[str, Any]:
        """The classes and the number of features, as plain values that are saved with the network."""
        return {"kind": KIND, "classes": self.classes, "features": self.input_size}

    def check_model(self, model: Any) -> None:
        """Refuses networks that predict per step if targets are per sequence, and the reverse."""
        net = getattr(model, "net", None)
        if isinstance(net, RecurrentNet) and isinstance(net, Seq2SeqNet) != self.per_step:
            wanted, of = ("Seq2Seq", "step") if self.per_step else ("Seq2Vec", "sequence")
            raise ArgumentError(f"y of the file has one target per {of}: use --model {wanted}")

    def setup(self, stage: str | None = None) -> None:
        """Makes the datasets of all stages."""
        self.datasets = {**self._parts, "predict": self._parts["test"]}


def _read(path: str) -> dict[str, np.ndarray]:
    """Reads the arrays of a file and checks their types and sizes."""
    file = Path(path).expanduser()
    if not os.path.isfile(file):  # also false for a name that no file system allows
        raise ArgumentError(f"path={path}: there is no such file")
    try:
        with open(file, "rb") as opened:
            found = np.load(opened, allow_pickle=False)
            members: dict[str, Any] = {} if isinstance(found, np.ndarray) else dict(found)
    except (OSError, ValueError, zipfile.BadZipFile, EOFError, MemoryError) as error:
        why = "Python objects are not read" if "pickle" in str(error) else error  # numpy would advise reading them
        raise ArgumentError(
            f"{path} is not an .npz file of plain arrays ({why}): write one with numpy.savez"
        ) from error
    arrays = {name: value for name, value in members.items() if isinstance(value, np.ndarray)}  # not other files in it
    missing = {"x", "y"} - arrays.keys()
    if missing:
        there = ", ".join(sorted(arrays)) or "none"
        raise ArgumentError(f"{path} has no array {' and '.join(sorted(missing))}; its arrays are: {there}")
    x, y = arrays["x"], arrays["y"]
    if x.ndim != 3 or 0 in x.shape or x.dtype.kind not in "biuf":
        raise ArgumentError(
            f"{path}: x has type {x.dtype} and shape {x.shape}: give numbers (sequences, steps, features)"
        )
    dims = {"f": (1, 2, 3), "i": (1, 2), "u": (1, 2), "b": (1, 2), "U": (1, 2)}.get(y.dtype.kind, ())
    steps_fit = y.shape[1:2] == x.shape[1:2] or y.ndim == 1 or (y.ndim == 2 and y.dtype.kind == "f")
    if y.ndim not in dims or len(y) != len(x) or not steps_fit or 0 in y.shape:
        raise ArgumentError(
            f"{path}: y has type {y.dtype} and shape {y.shape}, but x has shape {x.shape}: give classes (whole numbers "
            "or strings) (N,) or (N, T), or values (floats) (N,), (N, O) or (N, T, O)"
        )
    lengths = arrays.get("lengths")
    if lengths is not None:
        if lengths.shape != (len(x),) or lengths.dtype.kind not in "iu":
            found = f"lengths has type {lengths.dtype} and shape {lengths.shape}"
            raise ArgumentError(f"{path}: {found}: give one whole number for each sequence")
        if lengths.min() < 1 or lengths.max() > x.shape[1]:
            wrong = int(np.flatnonzero((lengths < 1) | (lengths > x.shape[1]))[0])
            raise ArgumentError(
                f"{path}: sequence {wrong} has length {lengths[wrong]}: a sequence has 1 to {x.shape[1]} steps"
            )
    return arrays


def _check_values(name: str, values: np.ndarray, counts: np.ndarray) -> None:
    """Raises `ArgumentError` if a value that counts is not a number in float32. All integers are.

    `values` are (N, ...) or (N, T, ...), and `counts` is (N,) or (N, T) bool. Messages begin with `name`.
    """
    if values.dtype.kind != "f":
        return
    large = ~(np.abs(values) <= np.finfo(np.float32).max).reshape(*counts.shape, -1).all(axis=-1)  # true for NaN
    wrong = np.argwhere(large & counts)
    if len(wrong):
        what = "a value beyond float32" if np.isfinite(values[tuple(wrong[0])]).all() else "NaN or infinity"
        where = ", step ".join(map(str, wrong[0]))
        raise ArgumentError(f"{name} has {what} in sequence {where}: fill it in, or leave it out")


def _split(
    path: str, given: np.ndarray | None, classes: np.ndarray | None, count: int, val: float, test: float
) -> dict[str, np.ndarray]:
    """Returns the numbers of the sequences in each part: as given, or chosen at random."""
    names = np.full(count, "train", dtype="U5") if given is None else given.astype("U16")
    if names.shape != (count,) or not set(names.tolist()) <= set(PARTS):
        other = next(iter(set(names.ravel().tolist()) - set(PARTS)), None)
        found = f"has shape {names.shape}" if other is None else f"has {other!r}"
        raise ArgumentError(f"{path}: split {found}: it must say train, val or test for each of the {count} sequences")
    order = splitmix64(torch.arange(count), _SPLIT_KEY).numpy()
    for part, share in (("test", test), ("val", val)):
        if (names == part).any() or (part == "test" and given is not None):
            continue
        pool = np.flatnonzero(names == "train")
        groups = [pool] if classes is None else [pool[classes[pool] == c] for c in np.unique(classes[pool])]
        for group in groups:
            ranked = group[np.argsort(order[group])]
            names[ranked[: round(share * (count if given is None else len(pool)) * len(group) / len(pool))]] = part
    chosen = {part: np.flatnonzero(names == part) for part in PARTS}
    for part, rows in chosen.items():
        if not len(rows):
            raise ArgumentError(
                f"{path}: no sequence is left for {part}: change split, or val and test, or give more sequences"
            )
    return chosen


def _baseline(is_value: bool, train: np.ndarray, test: np.ndarray) -> dict[str, float]:
    """Returns the test metrics of always answering with the training part's majority class, or its mean."""
    if not is_value:
        return {"test/acc": float((test == np.bincount(train).argmax()).mean())}
    errors = test - train.mean(axis=0)
    return {"test/loss": float(np.square(errors).mean()), "test/mae": float(np.abs(errors).mean())}
