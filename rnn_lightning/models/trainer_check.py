"""Settings of the Trainer and the data that do not go with a module's, refused before any work is done."""

from typing import TYPE_CHECKING

from lightning.pytorch.callbacks import LearningRateFinder, StochasticWeightAveraging
from lightning.pytorch.trainer.states import TrainerFn

from rnn_lightning.errors import ArgumentError

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
        # The data module is the Trainer's; loaders that were handed over alone say nothing of their order.
        data = getattr(trainer, "datamodule", None)
        if data is not None and not getattr(data, "contiguous", False):
            raise ArgumentError(
                f"carry_state=true needs data whose rows go on from batch to batch, {type(data).__name__} is not "
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
