"""A callback that does something to its own process at a place of a fit; for runs in processes of their own."""

import os
import signal
import time

from lightning.pytorch import Callback


class Killer(Callback):
    """Sends itself signals at the end of an optimizer step, or in the middle of a validation.

    Args:
        step: At the end of the batch that reaches this step.
        chunk: Before the optimizer step of this chunk instead, counted from 1.
        validation: In this validation instead, counted from 0; the one before training is none.
        number: The signal, by name.
        rank: Only this process; None for all.
        sleep: Instead of a signal, the first batch takes so many seconds.
    """

    def __init__(
        self,
        step: int = -1,
        chunk: int = -1,
        validation: int = -1,
        number: str = "SIGKILL",
        rank: int | None = None,
        sleep: float = 0.0,
    ) -> None:
        self.sleep = sleep
        self.step, self.validation, self.number, self.rank = step, validation, number, rank
        self.chunk = chunk
        self.seen, self.done = 0, False

    def _kill(self, trainer):
        if not self.done and self.rank in (None, trainer.global_rank):
            self.done = True
            os.kill(os.getpid(), getattr(signal, self.number))

    def on_train_batch_start(self, trainer, module, batch, batch_idx):
        if self.sleep:
            print("sleeps", flush=True)
            time.sleep(self.sleep)

    def on_before_optimizer_step(self, trainer, module, optimizer):
        if 0 <= self.chunk <= trainer.global_step + 1:
            self._kill(trainer)

    def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx):
        if 0 <= self.step <= trainer.global_step:
            self._kill(trainer)

    def on_validation_batch_end(self, trainer, module, outputs, batch, batch_idx, dataloader_idx=0):
        if not trainer.sanity_checking and self.seen == self.validation:
            print("validated", batch_idx, flush=True)
            self._kill(trainer)

    def on_validation_end(self, trainer, module):
        self.seen += not trainer.sanity_checking
