"""`TargetLoss`: a loss of torch.nn, or one of your own, computed for each target and weighted like the built-in losses.

Legend: N targets that count, O outputs, D values of a target.
"""

import copy
from collections.abc import Callable, Mapping
from inspect import Parameter, signature
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rnn_lightning.errors import ArgumentError
from rnn_lightning.models.named import construct, named, refuses_two

Loss: TypeAlias = nn.Module | Callable[..., Tensor] | str
"""A loss of torch.nn or one of your own, or its name."""

CLASSIFICATION, REGRESSION, MULTILABEL = "classification", "regression", "multilabel"
_TASKS: dict[type[nn.Module], str] = {
    nn.CrossEntropyLoss: CLASSIFICATION,
    nn.MultiMarginLoss: CLASSIFICATION,
    nn.BCEWithLogitsLoss: MULTILABEL,
    nn.MultiLabelSoftMarginLoss: MULTILABEL,
    nn.MSELoss: REGRESSION,
    nn.L1Loss: REGRESSION,
    nn.SmoothL1Loss: REGRESSION,
    nn.HuberLoss: REGRESSION,
    nn.PoissonNLLLoss: REGRESSION,
    nn.GaussianNLLLoss: REGRESSION,
}
_INSTEAD = {
    nn.NLLLoss: "it takes log-probabilities, but the network's outputs are logits: use CrossEntropyLoss",
    nn.BCELoss: "it takes probabilities, but the network's outputs are logits: use BCEWithLogitsLoss",
}
_NOT_FOUND = (
    "loss={name} is not found: give the name of a loss of torch.nn such as HuberLoss, or the import path of a class or "
    "function"
)
_SMALLEST_VARIANCE = 1e-6
"""For `GaussianNLLLoss`; torch's own `eps` clamps the variance, and a clamped variance has no gradient."""


class TargetLoss:
    """Sums a loss over the targets that count, and sums their weights.

    A loss with an argument or attribute `reduction` is called with "none", so that it returns one value per target. Any
    other loss gets the targets that count and returns their mean, or one value per target. So the mean over all
    targets, chunks and devices equals the loss computed on all targets at once. This also holds for class weights of
    `CrossEntropyLoss`, as torch also divides by the sum of the weights.

    `GaussianNLLLoss` reads 2 D outputs: D means, then D numbers whose softplus is the variance.

    Args:
        loss: A loss of torch.nn (an object, a class or its name), a dict with `class_path` and `init_args`, the import
            path of a function, or a callable from outputs (N, O) and targets, (N,) classes or (N, D) values.
        output_size: O.

    Attributes:
        call: The function or module that is called.
        task: The task that the loss is for, or None for any task.

    Raises:
        ArgumentError: The loss does not exist, or does not fit the outputs and targets.
    """

    def __init__(self, loss: "Loss | Mapping[str, Any]", output_size: int) -> None:
        self.call: Any = _found(loss)
        self.output_size = output_size
        self.options: dict[str, str] = {}
        if isinstance(self.call, nn.Module):
            self.call = copy.deepcopy(self.call)  # the copy is changed below; the caller keeps the original
            _make_ready(self.call, output_size)
        elif "reduction" in _parameters(self.call):
            self.options = {"reduction": "none"}
        takes = self.call.forward if isinstance(self.call, nn.Module) else self.call
        if not isinstance(self.call, nn.GaussianNLLLoss) and (refusal := refuses_two(takes, **self.options)):
            raise ArgumentError(f"loss={self.name} {refusal}: a loss takes outputs and targets, and no other argument")
        self.task = next((task for cls, task in _TASKS.items() if isinstance(self.call, cls)), None)
        self.gaussian = isinstance(self.call, nn.GaussianNLLLoss)
        if self.task is not None:
            self._try()
        self.ignore_index: int = getattr(self.call, "ignore_index", -100)

    @property
    def name(self) -> str:
        """The loss's name."""
        return getattr(self.call, "__name__", type(self.call).__name__)

    @property
    def target_size(self) -> int | None:
        """D, if targets are values; None if the loss may take any number of values."""
        if self.gaussian:
            return self.output_size // 2
        return None if self.task is None else self.output_size

    @property
    def plain_outputs(self) -> bool:
        """Whether the outputs are values like the targets."""
        return self.task == REGRESSION and not self.gaussian and not self._log_rates

    def values(self, y_hat: Tensor) -> Tensor:
        """Predicts the targets' values: the mean if the outputs are a distribution, otherwise the outputs."""
        if self.gaussian:
            return y_hat[..., : self.output_size // 2]
        return y_hat.exp() if self._log_rates else y_hat

    def more(self, y_hat: Tensor) -> dict[str, Tensor]:
        """Returns what else the outputs contain: for `GaussianNLLLoss` the `variance` of each value."""
        return {"variance": self._variance(y_hat)} if self.gaussian else {}

    def sums(self, y_hat: Tensor, y: Tensor, valid: Tensor | None) -> tuple[Tensor, Tensor | float]:
        """Sums the losses over the targets that count, and sums the targets' weights.

        Args:
            y_hat: (N, O).
            y: (N,) classes or (N, D) values.
            valid: (N,) or (N, D) bool, true where a target, or one of its values, counts; None if all do.
        """
        if valid is not None:
            some = valid if valid.dim() == 1 else valid.any(-1)
            y_hat, y, valid = y_hat[some], y[some], None if valid.dim() == 1 else valid[some]
        if len(y) == 0:
            return y_hat.flatten()[:0].sum(), 0.0
        losses = self._losses(y_hat, y)
        self._check(losses, y_hat, y)
        if valid is not None and losses.shape != y.shape:  # the loss needs whole targets
            return self.sums(y_hat, y, valid.all(-1))
        if losses.dim() == 0:  # the mean over all targets
            return losses * len(y), float(len(y))
        if valid is not None:
            return losses[valid].sum() / y.shape[-1], valid.sum() / y.shape[-1]
        return losses.sum() / losses[0].numel(), self._weight(y)

    def _check(self, losses: Any, y_hat: Tensor, y: Tensor) -> None:
        """Raises `ArgumentError` if a loss did not return a tensor with the mean, or with a value for each target."""
        shape = tuple(losses.shape) if isinstance(losses, Tensor) else None
        if shape is None:
            what = f"a {type(losses).__name__}"
        elif shape not in ((), (len(y),), (len(y), 1), tuple(y.shape), tuple(y_hat.shape)):
            what = f"shape {shape}"
        elif not losses.is_floating_point():
            what = f"{losses.dtype}"
        elif y_hat.requires_grad and not losses.requires_grad:
            what = "a tensor without a gradient"
        else:
            return
        raise ArgumentError(
            f"loss={self.name} gave {what} for {len(y)} targets: return a tensor computed from the outputs, with the "
            "mean over the targets or one value for each"
        )

    def _try(self) -> None:
        """Calls a torch loss once, so that wrong arguments are found before any work is done."""
        place = next(self.call.buffers(), torch.zeros(()))
        y_hat = torch.zeros(1, self.output_size, dtype=place.dtype, device=place.device)
        y = torch.zeros(1, dtype=torch.int64) if self.task == CLASSIFICATION else torch.zeros(1, self.target_size or 1)
        try:
            self._losses(y_hat, y.to(place.device))
        except (RuntimeError, ValueError, TypeError) as error:
            raise ArgumentError(f"loss={self.name} does not go with {self.output_size} outputs: {error}") from error

    def _losses(self, y_hat: Tensor, y: Tensor) -> Tensor:
        if self.gaussian:
            return self.call(self.values(y_hat), y, self._variance(y_hat))
        return self.call(y_hat, y, **self.options)

    def _variance(self, y_hat: Tensor) -> Tensor:
        return F.softplus(y_hat[..., self.output_size // 2 :]) + _SMALLEST_VARIANCE

    @property
    def _log_rates(self) -> bool:
        return isinstance(self.call, nn.PoissonNLLLoss) and self.call.log_input

    def _weight(self, y: Tensor) -> Tensor | float:
        weight = getattr(self.call, "weight", None)
        if isinstance(self.call, nn.CrossEntropyLoss) and weight is not None:
            return weight[y].sum()
        return float(len(y))


def is_torchs_loss(cls: Any) -> bool:
    """Whether this is a class of torch.nn that is a loss."""
    return (
        isinstance(cls, type) and cls.__name__.endswith("Loss") and getattr(nn.modules.loss, cls.__name__, None) is cls
    )


def _found(loss: Any) -> Any:
    torchs = {name: cls for name, cls in vars(nn).items() if is_torchs_loss(cls)}
    loss, arguments = named(loss, torchs, _NOT_FOUND)
    if isinstance(getattr(loss, "func", loss), type):  # a class, or a partial of one
        arguments = {name: _as_tensor(name, value) for name, value in arguments.items()}
        instead = "give a class of torch.nn with its arguments"
        loss = construct(loss, arguments, "loss", instead, is_own=loss not in torchs.values())
    elif arguments:
        raise ArgumentError(f"loss has init_args {sorted(arguments)}: they are for a class, not for a function")
    if not callable(loss):
        raise ArgumentError(f"loss={loss!r}: give a loss of torch.nn such as HuberLoss, or a callable")
    for cls, instead in _INSTEAD.items():
        if isinstance(loss, cls):
            raise ArgumentError(f"loss={type(loss).__name__}: {instead}")
    return loss


def _make_ready(loss: nn.Module, output_size: int) -> None:
    """Makes a module return one value per target. Its buffers are settings, so they are not saved in checkpoints."""
    if hasattr(loss, "reduction"):
        setattr(loss, "reduction", "none")  # noqa: B010  # mypy knows modules' attributes as tensors only
    for module in loss.modules():
        for name, buffer in list(module.named_buffers(recurse=False)):
            whole = buffer.float() if not buffer.is_floating_point() and name in _WEIGHTS else buffer
            module.register_buffer(name, whole, persistent=False)
    for name in _WEIGHTS:
        weight = getattr(loss, name, None)
        if type(loss) in _TASKS and isinstance(weight, Tensor) and weight.numel() not in (output_size, 1):
            raise ArgumentError(
                f"loss.{name} has {weight.numel()} values, but output_size is {output_size}: give one for each output"
            )
    if isinstance(loss, nn.CrossEntropyLoss) and loss.weight is not None and loss.weight.numel() != output_size:
        raise ArgumentError(f"loss.weight has 1 value, but output_size is {output_size}: give one for each class")
    if isinstance(loss, nn.GaussianNLLLoss) and output_size % 2:
        raise ArgumentError(
            f"loss=GaussianNLLLoss with output_size={output_size}: it needs two outputs for each value to predict, its "
            "mean and its variance; give an even output_size"
        )


_WEIGHTS = ("weight", "pos_weight")


def _as_tensor(name: str, value: Any) -> Any:
    is_list = name in _WEIGHTS and value is not None and not isinstance(value, Tensor)
    return torch.tensor(value, dtype=torch.get_default_dtype()) if is_list else value


def _parameters(call: Callable[..., Any]) -> Mapping[str, Parameter]:
    try:
        return signature(call).parameters
    except (TypeError, ValueError):  # some built-in functions have none
        return {}
