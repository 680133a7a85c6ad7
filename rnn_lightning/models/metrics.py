"""`Metrics`: metrics of torchmetrics besides a model's own, over all targets that count in validation or test."""

import copy
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from inspect import signature
from typing import Any, TypeAlias

import torch
import torchmetrics
from lightning.pytorch import LightningModule
from lightning.pytorch.utilities.rank_zero import rank_zero_warn
from torch import Tensor, nn
from torchmetrics import Metric

from rnn_lightning.errors import ArgumentError
from rnn_lightning.models.losses import CLASSIFICATION, MULTILABEL
from rnn_lightning.models.named import construct, named, refuses_two
from rnn_lightning.models.objective import Objective
from rnn_lightning.models.ranks import gather

_TORCHS = {**vars(torchmetrics.regression), **vars(torchmetrics.classification), **vars(torchmetrics)}
_NOT_FOUND = "metrics has {name}: there is no such metric of torchmetrics, and no such import path"
_ALL = -1
"""The loader number that stands for all loaders together."""

Named: TypeAlias = Sequence[Metric | str | Mapping[str, Any]] | Mapping[str, Metric | str | Mapping[str, Any]]
"""Metrics, or names of torchmetrics classes; a mapping gives them names of your own."""


class Metrics(nn.Module):
    """Updates metrics batch by batch, and logs them as `val/NAME` and `test/NAME`.

    With several loaders, it also logs the metrics of each loader.

    A metric gets the predictions and the targets that count: probabilities (N, O) and classes (N,), probabilities (N, O)
    and labels (N, O), or predicted and true values, both (N, D), or (N,) if D is 1. A target with a missing value is
    left out.

    Args:
        metrics: Objects or classes of torchmetrics, their names or import paths, or dicts with `class_path` and
            `init_args`. Missing arguments such as `num_classes` and `task` are taken from the objective. A metric is
            logged under the name of its class, or under its key.
        objective: The model's.

    Raises:
        ArgumentError: A metric does not exist or cannot be made, or two have the same name.
    """

    def __init__(self, metrics: Named, objective: Objective) -> None:
        super().__init__()
        # MetricCollection would be read as its names, and a generator only once, although metrics are made several times.
        if isinstance(metrics, str) or not isinstance(metrics, Sequence | Mapping):
            raise ArgumentError(
                f"metrics is a {type(metrics).__name__}: give a list of metrics, or a dict with a name for each"
            )
        pairs = metrics.items() if isinstance(metrics, Mapping) else [(None, metric) for metric in metrics]
        made: dict[str, Metric] = {}
        for key, metric in pairs:
            name, found = _found(metric, objective)
            name = name if key is None else key
            if name in made or name in ("loss", objective.metric):
                raise ArgumentError(f"metrics has {name} twice: give a mapping, with a name for each")
            made[name] = found
        self.names = list(made)
        self._objective = objective
        self._unused = nn.ModuleDict({f"metric {i}": metric for i, metric in enumerate(made.values())})
        self._running = nn.ModuleDict()  # by stage and loader

    @property
    def by_name(self) -> dict[str, Metric]:
        """The metrics by name, without accumulated values."""
        return dict(zip(self.names, self._unused.values(), strict=True))  # type: ignore[arg-type]

    def clear(self, stage: str) -> None:
        """Resets a stage."""
        for place in [place for place in self._running if place.startswith(f"{stage} ")]:
            del self._running[place]

    @torch.no_grad()
    def update(
        self, stage: str, loader: int, loaders: int, found: Mapping[str, Tensor], y: Tensor, valid: Tensor | None
    ) -> None:
        """Adds a chunk: what `Objective.predictions` returns, and the targets from `Objective.prepare`."""
        given = found.get("probability", found["prediction"])  # (..., O or D)
        if valid is not None:
            rows = valid if self._objective.classifies or valid.dim() < y.dim() else valid.all(-1)
            given, y = given[rows], y[rows]
        if len(y) == 0:
            return
        places = given.dim() - 2
        given, y = given.flatten(0, places), y.flatten(0, places)  # (N, O or D), and (N,) or (N, D)
        if y.dim() == 2 and y.shape == given.shape and y.shape[-1] == 1:
            given, y = given[:, 0], y[:, 0]
        y = y.long() if self._objective.task == MULTILABEL else y
        for place in (loader,) if loaders == 1 else (loader, _ALL):
            for name, metric in zip(self.names, self._at(stage, place), strict=True):
                with _refusing(name, metric, f"predictions {_shown(given)} and targets {_shown(y)}"):
                    metric.update(given, y)

    def log(self, stage: str, module: LightningModule) -> None:
        """Logs a stage's metrics, over all ranks, and resets them."""
        ours = [int(key.split()[1]) for key in self._running if key.startswith(f"{stage} ")]
        places = sorted({place for rank in gather(module.trainer.strategy, ours) for place in rank})
        for place in places:
            of = f"/loader_{place}" if len(places) > 1 and place != _ALL else ""
            for name, metric in zip(self.names, self._at(stage, place), strict=True):
                with warnings.catch_warnings():  # this rank may have had no targets even if others had some
                    warnings.filterwarnings("ignore", message="The ``compute`` method of metric")
                    with _refusing(name, metric, "what it got"):
                        value = metric.compute()
                for label, number in _numbers(name, value):
                    module.log(f"{stage}/{label}{of}", number, sync_dist=True)
        self.clear(stage)

    def _at(self, stage: str, place: int) -> Any:
        key = f"{stage} {place}"
        if key not in self._running:
            self._running[key] = copy.deepcopy(self._unused).train()  # Lightning warns about metrics in evaluation mode
        running: Any = self._running[key]
        return running.values()


def _numbers(name: str, value: Any) -> list[tuple[str, Tensor]]:
    """Returns the parts of a metric's value that can be logged: a number, or one number for each class or name."""
    if isinstance(value, Mapping):
        return [pair for key, part in value.items() for pair in _numbers(f"{name}_{key}", part)]
    value = torch.as_tensor(value)
    if value.dim() == 0:
        return [(name, value.float())]
    if value.dim() == 1:
        return [(f"{name}_{i}", part.float()) for i, part in enumerate(value)]
    rank_zero_warn(f"metrics.{name} is of shape {tuple(value.shape)}: only a number, or one for each class, is logged")
    return []


def _found(metric: Any, objective: Objective) -> tuple[str, Metric]:
    """Makes a metric, and returns its name and the metric."""
    metric, arguments = named(metric, _TORCHS, _NOT_FOUND)
    if isinstance(metric, Metric) and not arguments:
        name, found = type(metric).__name__, copy.deepcopy(metric)
    elif isinstance(metric, type) and issubclass(metric, Metric):
        name, arguments = metric.__name__, {**_following(metric, objective), **arguments}
        instead = "give it as class_path and init_args"
        found = construct(metric, arguments, f"metrics.{name}", instead, is_own=not _is_torchmetrics(metric))
    else:
        raise ArgumentError(f"metrics has {metric!r}: give a metric of torchmetrics, or its name")
    if refusal := refuses_two(found.update):
        raise ArgumentError(f"metrics.{name} can't be used: its update {refusal}; it gets predictions and targets")
    return name, found


@contextmanager
def _refusing(name: str, metric: Metric, given: str) -> Iterator[None]:
    """Says in one line what a torchmetrics metric can't take; an error in a metric of your own keeps its traceback."""
    try:
        yield
    except (TypeError, ValueError, RuntimeError, IndexError) as error:
        if not _is_torchmetrics(type(metric)):
            raise
        raise ArgumentError(
            f"metrics.{name} can't take {given} ({error}): leave it out, or give its arguments"
        ) from error


def _is_torchmetrics(cls: type) -> bool:
    return cls.__module__.partition(".")[0] == "torchmetrics"


def _shown(values: Tensor) -> str:
    return f"{values.dtype} of shape {tuple(values.shape)}"


def _following(cls: type, objective: Objective) -> dict[str, Any]:
    """Returns those arguments of a metric that follow from the objective."""
    size = objective.target_size
    task = "multiclass" if objective.task == CLASSIFICATION else "multilabel"
    known = {"task": task, "num_classes": size, "num_labels": size}
    return {name: value for name, value in known.items() if name in signature(cls).parameters}
