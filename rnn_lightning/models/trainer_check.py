"""Refuses settings of the Trainer, and data, that contradict a module's settings, before any work is done."""

from typing import TYPE_CHECKING, Any

from lightning.pytorch.callbacks import LearningRateFinder, StochasticWeightAveraging
from lightning.pytorch.trainer.states import TrainerFn
from lightning.pytorch.utilities.combined_loader import CombinedLoader
from lightning.pytorch.utilities.rank_zero import rank_zero_info

from rnn_lightning.errors import ArgumentError
from rnn_lightning.models.epochs import stage_of
from rnn_lightning.nn import native
from rnn_lightning.nn.stack import RecurrentLayers

if TYPE_CHECKING:
    from rnn_lightning.models.tbptt_module import TruncatedBPTTModule

_REFUSED = {
    LearningRateFinder: "it relies on one optimizer step per batch and on its own scheduler, which manual "
    "optimisation does not step; find the rate with tbptt=null on sequences of k2 steps",
    StochasticWeightAveraging: "its schedule is never stepped under manual optimisation; "
    "use lightning.pytorch.callbacks.WeightAveraging, or tbptt=null",
}


def check_trainer(module: "TruncatedBPTTModule") -> None:
    """Raises `ArgumentError` if the module cannot run with its Trainer's settings."""
    trainer = module.trainer
    data = getattr(trainer, "datamodule", None)
    if module.carry_state and data is not None and not _says_contiguous(data):  # loaders: see check_loaders
        raise ArgumentError(
            f"carry_state=true needs data whose rows continue from batch to batch, but {type(data).__name__} is not "
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
                    raise ArgumentError(f"{refused.__name__} does not work with tbptt: {instead}")
        if trainer.gradient_clip_val:
            raise ArgumentError(
                f"trainer.gradient_clip_val={trainer.gradient_clip_val} does not work with tbptt: "
                f"set tbptt.gradient_clip_val={trainer.gradient_clip_val} of the model instead"
            )
        if trainer.accumulate_grad_batches != 1:
            raise ArgumentError(
                f"trainer.accumulate_grad_batches={trainer.accumulate_grad_batches} does not work with tbptt: "
                f"set tbptt.step_every={trainer.accumulate_grad_batches} of the model instead"
            )


def tell_what_is_slow(module: "TruncatedBPTTModule") -> None:
    """Says in one line that the recurrence in C is missing, and why, if the layers would use it."""
    why = native.reason()
    if (
        why is not None
        and module.device.type == "cpu"
        and any(isinstance(m, RecurrentLayers) for m in module.modules())
    ):
        rank_zero_info(
            f"No recurrence in C ({why}): layers run on torch's kernels, which is slower, or step by step with "
            "state dropout or resets"
        )


def check_loaders(module: "TruncatedBPTTModule") -> None:
    """Raises `ArgumentError` if a state would be carried from batch to batch of a loader whose rows do not continue.

    Shuffled rows would otherwise train without an error, each with another row's state. A module that makes its own
    loaders may set `contiguous = True`.
    """
    trainer = module.trainer
    if not module.carry_state or _says_contiguous(getattr(trainer, "datamodule", None), module):
        return
    loaders = {
        "train": trainer.train_dataloader,
        "val": trainer.val_dataloaders,
        "test": trainer.test_dataloaders,
        "predict": trainer.predict_dataloaders,
    }
    for loader in CombinedLoader(loaders[stage_of(trainer)]).flattened:
        if not _says_contiguous(loader, getattr(loader, "dataset", None)):
            raise ArgumentError(
                f"carry_state=true needs batches whose rows continue from batch to batch, but this {type(loader).__name__} "
                "does not say that its rows do: set contiguous = True on its dataset if they do, else set carry_state=false"
            )


def _says_contiguous(*parts: Any) -> bool:
    return any(getattr(part, "contiguous", False) is True for part in parts)
