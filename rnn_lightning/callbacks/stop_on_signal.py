"""`StopOnSignal`: saves a run's state when a signal ends the run, so that it can be resumed from there."""

import os
import signal
import threading
import time
from math import inf
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.plugins.environments import LightningEnvironment, SLURMEnvironment
from lightning.pytorch.trainer.states import TrainerFn
from typing_extensions import override

from rnn_lightning.callbacks.checkpoints import last_of, save
from rnn_lightning.models.place import steps_are_over, waits_for_epoch_end, within_step
from rnn_lightning.models.ranks import reduce, world_size


class StopOnSignal(Callback):
    """Ends a fit on SIGTERM or SIGINT (Ctrl-C): saves `last.ckpt`, and exits with status 143 or 130.

    All processes agree at the end of an optimizer step, so it is enough if one process gets the signal. A validation
    stops after the current batch, and the resumed run repeats the whole validation. Only a validation after the last of
    `max_steps` runs to its end. A second signal ends the process at once if it comes a second or more after the first;
    before that, it counts as a launcher's copy of the first. Test, validate and predict end at once.

    Under SLURM with `auto_requeue`, SIGTERM keeps Lightning's own handler, which is needed to requeue the job.
    Lightning's handler for the signal that requeues the job saves a checkpoint. It is therefore called at the end of a
    step or a validation batch, too.
    """

    def __init__(self) -> None:
        self._signal, self._time = 0, 0.0
        self._ending = 0  # the signal that all processes have agreed on, which takes effect at the end of the epoch
        self._checks: float = 0  # how many more batches of this validation every process has
        self._at_once = self._speaks = False
        self._requeue: Any = None  # Lightning's handler
        self._requeue_signal = self._waiting = 0  # that handler's signal; the same signal once it has arrived, else 0

    @override
    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        self._signal = self._ending = self._waiting = 0  # a script may catch the exit, and use the callback again

    @override
    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._listen(trainer)

    on_sanity_check_start = on_test_start = on_predict_start = on_train_start

    @override
    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if within_step(trainer, pl_module) or not (number := self._agreed(trainer)):
            return
        if waits_for_epoch_end(trainer):
            self._ending = number
        else:
            self._act(trainer, number)

    @override
    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if number := self._ending or self._agreed(trainer):
            self._act(trainer, number)

    @override
    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._ending:
            self._act(trainer, self._ending)

    @override
    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.state.fn != TrainerFn.FITTING:
            self._listen(trainer)
        batches = sum(trainer.num_sanity_val_batches if trainer.sanity_checking else trainer.num_val_batches)
        self._checks = inf if world_size(trainer.strategy) == 1 else -reduce(trainer.strategy, -batches, "max")
        if world_size(trainer.strategy) > 1 and self._checks == inf:
            self._checks = 0  # the number of batches in the other processes is unknown

    @override
    def on_validation_batch_end(self, trainer: Trainer, pl_module: LightningModule, *args: Any, **kwargs: Any) -> None:
        if trainer.state.fn == TrainerFn.FITTING and self._checks > 0:
            self._checks -= 1
            number = self._agreed(trainer)
            if number and (steps_are_over(trainer) or (trainer.sanity_checking and number == self._requeue_signal)):
                self._ending = number
            elif number:
                self._act(trainer, number)

    def _listen(self, trainer: Trainer) -> None:
        """Replaces Lightning's signal handlers. Lightning restores the original handlers at the end of the run."""
        if threading.current_thread() is not threading.main_thread():
            return
        self._at_once = trainer.state.fn != TrainerFn.FITTING
        self._speaks = trainer.is_global_zero
        signal.signal(signal.SIGINT, self._note)
        requeues = _requeue_signal(trainer)
        if requeues is None:
            signal.signal(signal.SIGTERM, self._note)
        elif not self._at_once and callable(handler := signal.getsignal(requeues)) and handler != self._wait:
            self._requeue, self._requeue_signal = handler, requeues
            signal.signal(requeues, self._wait)

    def _note(self, number: int, frame: Any) -> None:
        """Handles a signal that ends the run."""
        first, now = self._signal == 0, time.monotonic()
        if first:
            self._signal, self._time = number, now
            if self._at_once:
                raise SystemExit(128 + number)
            if self._speaks:  # print() is not safe in a signal handler
                os.write(2, b"Stopping: last.ckpt is saved after this step; a second signal ends the run at once\n")
        elif now - self._time >= 1:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)

    def _wait(self, number: int, frame: Any) -> None:
        """Handles the signal that requeues the job."""
        self._waiting = number

    def _agreed(self, trainer: Trainer) -> int:
        """Returns the signal that any process has received; 0 if none has received one."""
        return int(reduce(trainer.strategy, max(self._signal, self._waiting), "max"))

    def _act(self, trainer: Trainer, number: int) -> None:
        if number == self._requeue_signal:
            self._waiting = self._ending = 0
            self._requeue(number, None)  # this saves a checkpoint; SLURM then ends the processes
            return
        if trainer.checkpoint_callbacks and not trainer.fast_dev_run and not trainer.sanity_checking:  # type: ignore[attr-defined]
            save(trainer, last_of(trainer))
        trainer.strategy.barrier()
        # Lightning kills the process that started the others as soon as one of them exits with a status other than 0.
        environment = getattr(trainer.strategy, "cluster_environment", None)
        child = isinstance(environment, LightningEnvironment) and trainer.global_rank > 0
        raise SystemExit(0 if child else 128 + number)


def _requeue_signal(trainer: Trainer) -> signal.Signals | None:
    """Returns the signal on which Lightning requeues a SLURM job; None if Lightning does not requeue."""
    environment = getattr(trainer.strategy, "cluster_environment", None)
    if environment is None and SLURMEnvironment.detect():
        environment = SLURMEnvironment()
    if isinstance(environment, SLURMEnvironment) and environment.auto_requeue:
        return environment.requeue_signal
    return None
