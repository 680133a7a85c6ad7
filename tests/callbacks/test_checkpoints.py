import signal

import pytest
import torch
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from torch.utils.data import DataLoader

from rnn_lightning import ArgumentError
from rnn_lightning.callbacks import BestAndLast, PeriodicCheckpoint, StopOnSignal
from rnn_lightning.callbacks.checkpoints import last_of
from rnn_lightning.models import Seq2Seq, TruncatedBPTT


class Saved(Callback):
    """Notes the step and batch of each checkpoint."""

    def __init__(self):
        self.at = []

    def on_save_checkpoint(self, trainer, module, checkpoint):
        self.at.append((trainer.global_step, module.accumulating))


@pytest.fixture
def run(tmp_path, silent_trainer):
    """A fit of 8 batches; where checkpoints were saved."""

    def fit(tbptt, **rule):
        callbacks = [PeriodicCheckpoint(dirpath=str(tmp_path / "kept"), **rule), Saved()]
        data = [(torch.randn(2, 9, 1), torch.randn(2, 9, 1)) for _ in range(8)]
        trainer = silent_trainer(max_epochs=1, callbacks=callbacks)
        trainer.fit(Seq2Seq(1, 1, hidden_size=3, tbptt=tbptt), DataLoader(data, batch_size=None))
        return callbacks[1].at

    return fit


@pytest.mark.parametrize(
    ("tbptt", "steps", "at"),
    [
        (None, 3, [3, 6]),
        (TruncatedBPTT(3), 4, [6, 9, 12, 18, 21, 24]),  # 3 steps a batch: at the end of the batch that passes 4, 8, ...
        (TruncatedBPTT(3), 100, []),
        (TruncatedBPTT(3, step_every=3), 2, [2]),
    ],
)
def test_by_steps_at_the_end_of_the_batch_in_which_they_came(run, tmp_path, tbptt, steps, at):
    found = run(tbptt, every_n_steps=steps)
    assert [step for step, _ in found] == at
    assert (tmp_path / "kept/last.ckpt").is_file() == bool(at)


def test_by_time_under_manual_optimisation_but_not_while_gradients_wait(run):
    found = run(TruncatedBPTT(3, step_every=3), every_n_seconds=1e-9)
    assert [step for step, _ in found] == [1, 2, 3]
    assert not any(accumulating for _, accumulating in found)


@pytest.mark.parametrize("arguments", [{}, {"every_n_steps": 0}, {"every_n_seconds": -1.0}])
def test_a_rule_must_be_given(arguments):
    with pytest.raises(ArgumentError, match="every_n"):
        PeriodicCheckpoint(**arguments)


def test_a_fit_runs_after_a_signal_has_stopped_another_with_the_same_callback(silent_trainer):
    class CtrlC(Callback):
        def on_train_batch_start(self, trainer, module, batch, batch_idx):
            signal.raise_signal(signal.SIGINT)

    data = DataLoader([(torch.randn(2, 9, 1), torch.randn(2, 9, 1)) for _ in range(2)], batch_size=None)
    stop, model = StopOnSignal(), Seq2Seq(1, 1, hidden_size=3)
    with pytest.raises(SystemExit, match="130"):
        silent_trainer(max_epochs=1, callbacks=[stop, CtrlC()]).fit(model, data)
    again = silent_trainer(max_epochs=1, callbacks=[stop])
    again.fit(model, data)
    assert again.global_step == 2


def test_the_last_checkpoint_is_in_the_runs_folder_whatever_else_saves():
    best = BestAndLast()
    best.dirpath = "run/checkpoints"
    trainer = Trainer(accelerator="cpu", logger=False, callbacks=[ModelCheckpoint(dirpath="elsewhere"), best])
    assert last_of(trainer) == "run/checkpoints/last.ckpt"


def test_the_checkpoints_of_a_run_that_was_moved_are_where_it_is_now():
    callback, old = BestAndLast(), "/old/checkpoints/best.ckpt"
    state = {**callback.state_dict(), "dirpath": "/old/checkpoints", "last_model_path": "", "best_model_path": old}
    callback.dirpath = "new/checkpoints"
    callback.load_state_dict({**state, "kth_best_model_path": old, "best_k_models": {old: torch.tensor(1.0)}})
    assert callback.best_k_models == {"new/checkpoints/best.ckpt": torch.tensor(1.0)}
    assert callback.best_model_path == callback.kth_best_model_path == "new/checkpoints/best.ckpt"
    assert callback.last_model_path == ""
