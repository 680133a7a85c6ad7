"""Settings of the Trainer and the data that do not go with a module's, refused before any work is done."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from lightning.pytorch.callbacks import LearningRateFinder, StochasticWeightAveraging
from lightning.pytorch.trainer.states import TrainerFn
from lightning.pytorch.utilities.rank_zero import rank_zero_info

from rnn_lightning.errors import ArgumentError
from rnn_lightning.nn import native
from rnn_lightning.nn.stack import RecurrentLayers

if TYPE_CHECKING:
    from rnn_lightning.models.tbptt_module import TruncatedBPTTModule

_REFUSED = {
    LearningRateFinder: "it counts one optimizer step a batch and steps a scheduler of its own, which manual "
    "optimisation does not; find the rate with tbptt=null on sequences of k2 steps",
    StochasticWeightAveraging: "its schedule is never stepped under manual optimisation; "
    "use lightning.pytorch.callbacks.WeightAveraging, or tbptt=null",
}


def check_trainer(module: "TruncatedBPTTModule") -> None:
    """Raises `ArgumentError` where the module cannot be run as its Trainer is set."""
    trainer = module.trainer
    if module.carry_state:
        # The data module is the Trainer's; loaders that were handed over alone are asked when they are there.
        data = getattr(trainer, "datamodule", None)
        if data is not None and not getattr(data, "contiguous", False):
            raise ArgumentError(
                f"carry_state=true needs data whose rows continue from batch to batch, {type(data).__name__} is not "
                "contiguous: set carry_state=false, or give a data module with contiguous = True"
            )
    if trainer.state.fn == TrainerFn.FITTING and trainer.precision == "16-true":
        raise ArgumentError(
            "trainer.precision=16-true: small gradients vanish in float16 without a scaler; use 16-mixed or bf16-true"
        )
    if module.tbptt is not None and trainer.state.fn == TrainerFn.FITTING:
        for callback in trainer.callbacks:  # type: ignore[attr-defined]
            for refused, instead in _REFUSED.items():
                if isinstance(callback, refused):
                    raise ArgumentError(f"{refused.__name__} does not go with tbptt: {instead}")
        if trainer.gradient_clip_val:
            raise ArgumentError(
                f"trainer.gradient_clip_val={trainer.gradient_clip_val} does not go with tbptt: "
                f"set tbptt.gradient_clip_val={trainer.gradient_clip_val} of the model instead"
            )
        if trainer.accumulate_grad_batches != 1:
            raise ArgumentError(
                f"trainer.accumulate_grad_batches={trainer.accumulate_grad_batches} does not go with tbptt: "
                f"set tbptt.step_every={trainer.accumulate_grad_batches} of the model instead"
            )


def tell_what_is_slow(module: "TruncatedBPTTModule") -> None:
    """Says in one line, if the layers would run on the recurrence in C, that it is not there, and why."""
    why = native.reason()
    if (
        why is not None
        and module.device.type == "cpu"
        and any(isinstance(m, RecurrentLayers) for m in module.modules())
    ):
        rank_zero_info(
            f"No recurrence in C ({why}): layers run on torch's kernels, with state dropout or resets step by step, which "
            "is slower"
        )


def check_loaders(module: "TruncatedBPTTModule", loaders: Any) -> None:
    """Raises `ArgumentError` if a state would be carried from batch to batch of a loader whose rows do not continue.

    Shuffled rows would be trained on without a word, each with the state of another.

    Args:
        module: With or without `carry_state`; one that makes its own loaders may itself say `contiguous = True`.
        loaders: One loader, or any nest of them, as the Trainer has them.
    """
    if not module.carry_state or _says_contiguous(getattr(module.trainer, "datamodule", None), module):
        return
    for loader in _flat(loaders):
        if not _says_contiguous(loader, getattr(loader, "dataset", None)):
            raise ArgumentError(
                f"carry_state=true needs batches whose rows continue from batch to batch, this {type(loader).__name__} "
                "does not say that its own do: if they do, set contiguous = True on its dataset; else set carry_state=false"
            )


def _says_contiguous(*parts: Any) -> bool:
    return any(getattr(part, "contiguous", False) is True for part in parts)


def _flat(loaders: Any) -> Iterator[Any]:
    if isinstance(loaders, Mapping):
        loaders = list(loaders.values())
    if isinstance(loaders, (list, tuple)):
        for part in loaders:
            yield from _flat(part)
    elif loaders is not None:
        yield loaders
