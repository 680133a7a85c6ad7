"""A run that is killed anywhere, once or twice, goes on as if it had not been: steps, validations, weights, best score."""

import functools
import itertools
import random
from pathlib import Path

import pytest
import torch
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import EarlyStopping
from lightning.pytorch.cli import ReduceLROnPlateau

from rnn_lightning.callbacks import BestAndLast, PeriodicCheckpoint
from rnn_lightning.data.loading import EpochSampler, ResumableLoader, TensorBatches, identity
from rnn_lightning.models import Seq2Seq, TruncatedBPTT


class Killed(BaseException):
    """Not an `Exception`: nothing may save on it, as nothing could after a SIGKILL."""


class Killer(Callback):
    """Counts the places that a fit goes through, and ends it at one of them."""

    def __init__(self, at):
        self.at, self.count = at, 0
        self.steps, self.validations, self.starts = [], {}, []

    def _pass(self):
        self.count += 1
        if self.count == self.at:
            raise Killed

    def on_train_epoch_start(self, trainer, module):
        self.starts.append(trainer.current_epoch)
        self._pass()

    def on_train_batch_start(self, trainer, module, batch, batch_idx):
        self._pass()

    def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx):
        self.steps.append(((trainer.current_epoch, batch_idx), trainer.global_step))
        self._pass()

    def on_validation_start(self, trainer, module):
        self._pass()

    def on_validation_end(self, trainer, module):
        if not trainer.sanity_checking:
            self.validations[trainer.global_step] = trainer.callback_metrics["val/loss"].item()
        self._pass()

    def on_train_epoch_end(self, trainer, module):
        self._pass()


def data(seed, n, training):
    generator = torch.Generator().manual_seed(seed)
    dataset = TensorBatches({key: torch.randn(2 * n, 6, 1, generator=generator) for key in "xy"})
    sampler = EpochSampler(dataset) if training else None
    loader = ResumableLoader(dataset, batch_size=2, sampler=sampler, collate_fn=identity, generator=torch.Generator())
    loader.contiguous = True  # a state is carried on
    return loader


def fit(folder, settings, at=None, ckpt_path=None):
    """A fit of the state that is carried on over an own loader without `reset`; returns its trace."""
    torch.manual_seed(0)
    settings = dict(settings)
    tbptt, lr_interval = settings.pop("tbptt"), settings.pop("lr_interval", "epoch")
    scheduler = settings.pop("scheduler", functools.partial(torch.optim.lr_scheduler.ExponentialLR, gamma=0.8))

    module = Seq2Seq(1, 1, cell="gru", hidden_size=3, tbptt=tbptt, carry_state=True, lr_scheduler=scheduler,
                     lr_interval=lr_interval)  # fmt: skip
    killer = Killer(at)
    kept = BestAndLast()
    kept.dirpath = str(folder / "checkpoints")
    stopping = EarlyStopping("val/loss", patience=2, min_delta=0.5)
    trainer = Trainer(
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[killer, PeriodicCheckpoint(every_n_steps=1), stopping, kept],
        **settings,
    )
    killed = False
    try:
        trainer.fit(module, data(1, 4, True), data(2, 2, False), ckpt_path=ckpt_path)
    except Killed:
        killed = True
    return killed, trainer, killer, kept, stopping


def check(folder, settings, kills):
    """Fits with kills at these places, each in the run that goes on from the last; returns whether all took place."""
    steps, validations, path = {}, {}, None
    for at in (*kills, None):
        last = folder / "checkpoints/last.ckpt"
        path = str(last) if last.is_file() else None
        killed, trainer, trace, kept, stopping = fit(folder, settings, at, path)
        for place, step in trace.steps:
            assert steps.setdefault(place, step) == step, "a batch has another step in the resumed run"
        for step, value in trace.validations.items():
            assert validations.setdefault(step, value) == value
        if at is not None and not killed:
            return False, None
    last = torch.load(last, weights_only=True)
    return True, {
        "steps": steps,
        "validations": validations,
        "weights": {name: value.tolist() for name, value in trainer.lightning_module.state_dict().items()},
        "optimizer": str(trainer.optimizers[0].state_dict()),
        "schedulers": str([config.scheduler.state_dict() for config in trainer.lr_scheduler_configs]),
        "epoch": (trainer.current_epoch, trainer.global_step, last["epoch"], last["global_step"]),
        "logged at": last["loops"]["fit_loop"]["epoch_loop.state_dict"]["_batches_that_stepped"],
        "best": (kept.best_model_score.item(), Path(kept.best_model_path).relative_to(folder)),
        "patience": (stopping.wait_count, stopping.best_score.item()),
    }


SETTINGS = {
    "automatic": {"max_epochs": 2, "tbptt": None},
    "truncated": {"max_epochs": 2, "tbptt": TruncatedBPTT(2)},
    "accumulated": {"max_epochs": 2, "tbptt": TruncatedBPTT(2, step_every=2), "lr_interval": "step"},
    "validated twice an epoch": {"max_epochs": 2, "tbptt": TruncatedBPTT(3), "val_check_interval": 2},
    "validated every second epoch": {"max_epochs": 3, "tbptt": TruncatedBPTT(3), "check_val_every_n_epoch": 2},
    "a scheduler that follows a metric": {
        "max_epochs": 3,
        "tbptt": None,
        "scheduler": functools.partial(ReduceLROnPlateau, monitor="val/loss", patience=0, threshold=0.5),
    },
    "limited by steps": {"max_steps": 12, "tbptt": None},
    "limited by steps within an epoch": {"max_steps": 10, "tbptt": None},
    "limited by steps, validated every second epoch": {
        "max_steps": 12,
        "tbptt": None,
        "check_val_every_n_epoch": 2,
        "lr_interval": "batch",
    },
}


def check_kills(tmp_path, name, kills):
    """Compares a run that is killed at these places with the undisturbed one; whether all of them took place."""
    expected = check(tmp_path / "whole", SETTINGS[name], [])[1]
    happened = True
    for number, places in enumerate(kills):
        happened, found = check(tmp_path / f"{number}", SETTINGS[name], places)
        if not happened:
            break
        assert found == expected, f"killed at places {places}"
    return happened


pytestmark = pytest.mark.filterwarnings("ignore:Detected call of `lr_scheduler.step")  # torch counts by object


# The places: 1 the first epoch's start, then two a batch (4 batches), a validation's start and end, the epoch's end.
@pytest.mark.parametrize(
    ("name", "kills"),
    [
        ("truncated", [[9, 3], [10, 4], [11, 5], [12, 7]]),
        ("accumulated", [[10], [5, 9]]),
        pytest.param("a scheduler that follows a metric", [[6], [10, 6], [17]], marks=pytest.mark.slow),
        ("limited by steps", [[12, 3], [13, 13], [34], [36]]),
        pytest.param("limited by steps within an epoch", [[27], [29]], marks=pytest.mark.slow),
        pytest.param("validated twice an epoch", [[6], [7, 6], [13]], marks=pytest.mark.slow),
        ("validated every second epoch", [[9, 2], [10, 12]]),
    ],
)
def test_kills_around_an_epochs_end(name, kills, tmp_path):
    assert check_kills(tmp_path, name, kills)


def test_a_kill_at_an_epochs_last_batch_and_another_in_the_next_epoch(tmp_path):
    """12 steps in all, where it took 14: the epoch after the first kill had no start, and ran twice after the second."""
    settings = {"max_epochs": 3, "tbptt": None}
    expected = check(tmp_path / "whole", settings, [])[1]
    # The first kill comes in the validation after step 4, when step 4 has been saved; the second after step 6.
    happened, found = check(tmp_path / "killed", settings, [10, 8])
    assert happened
    assert len(found["steps"]) == 12
    assert found == expected


@pytest.mark.slow
@pytest.mark.parametrize("name", SETTINGS)
def test_one_kill_anywhere(name, tmp_path):
    assert not check_kills(tmp_path, name, ([at] for at in itertools.count(1)))


@pytest.mark.slow
@pytest.mark.parametrize("name", SETTINGS)
def test_two_kills_anywhere(name, tmp_path):
    chance = random.Random(0)
    assert check_kills(tmp_path, name, [[chance.randint(2, 18), chance.randint(2, 8)] for _ in range(20)])
