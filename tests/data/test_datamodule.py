import inspect
from types import SimpleNamespace

import pytest
import torch
from jsonargparse import ArgumentParser
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint

from rnn_lightning.data import (
    AddingProblem,
    CopyMemory,
    SequenceDataModule,
    SequenceMNIST,
    SineStream,
    SyntheticSine,
    TensorBatches,
)
from rnn_lightning.errors import ArgumentError

# resuming into another folder, and Lightning's own advice
pytestmark = pytest.mark.filterwarnings(
    "ignore:The dirpath has changed", "ignore:Checkpoint directory", "ignore:You requested to overfit"
)

MODEL_ARGUMENTS = (
    "input_size output_size task cell nonlinearity hidden_size num_layers bias bidirectional input_dropout "
    "output_dropout state_dropout variational init tbptt carry_state weights optimizer lr_scheduler lr_interval"
)


class Recorder(LightningModule):
    """Learns nothing; keeps what it was shown, one number a batch and stage."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.shown = {"train": [], "val": [], "test": [], "predict": []}

    def training_step(self, batch, batch_idx):
        self.shown["train"].append((self.current_epoch, batch_idx, float(batch["x"].double().sum())))
        return self.weight * batch["x"].mean()

    def validation_step(self, batch, batch_idx):
        self.shown["val"].append(float(batch["x"].double().sum()))

    def test_step(self, batch, batch_idx):
        self.shown["test"].append(float(batch["x"].double().sum()))

    def predict_step(self, batch, batch_idx):
        self.shown["predict"].append(float(batch["x"].double().sum()))
        return batch["y"]

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


def trainer(tmp_path, **settings):
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False, "accelerator": "cpu"}
    settings.setdefault("callbacks", []).append(
        ModelCheckpoint(
            tmp_path, filename="{step}", every_n_train_steps=1, save_top_k=-1, save_on_train_epoch_end=False
        )
    )
    return Trainer(default_root_dir=tmp_path, **{**quiet, **settings})


def sine(**settings):
    return SyntheticSine(**{"batch_size": 3, "steps_per_epoch": 5, "eval_windows": 4, **settings})


def mnist(folder, **settings):
    return SequenceMNIST(folder, **{"batch_size": 100, "val_size": 150, "verify": False, **settings})


def fit(data, tmp_path, checkpoint=None, **settings):
    model = Recorder()
    trainer(tmp_path, **settings).fit(model, datamodule=data, ckpt_path=checkpoint)
    return model.shown["train"]


@pytest.mark.parametrize("cls", [SequenceMNIST, SyntheticSine, SineStream, AddingProblem, CopyMemory])
def test_the_command_line_knows_every_argument_and_none_is_named_like_a_models(cls):
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(cls, "data")
    names = {name.removeprefix("data.") for name in vars(parser.get_defaults().as_flat())}
    own = {"batch_size", "eval_batch_size", "num_workers", "seed", *inspect.signature(cls).parameters} - {"settings"}
    assert names >= own
    assert not names & set(MODEL_ARGUMENTS.split())
    help_text = parser.format_help()
    assert all(f"--data.{name} " in help_text for name in names)
    assert help_text.count("The seed of the training order") == 1, "also what a base class explains"


def test_loaders_before_setup_say_what_to_do():
    with pytest.raises(ArgumentError, match=r"SyntheticSine has no train data: .* call setup\(\) first"):
        SyntheticSine().train_dataloader()


def test_the_seed_is_the_arguments_then_the_runs_then_0(monkeypatch):
    assert SyntheticSine().resolve_seed() == 0
    monkeypatch.setenv("PL_GLOBAL_SEED", "5")
    assert SyntheticSine().resolve_seed() == 5
    assert SyntheticSine(seed=7).resolve_seed() == 7


@pytest.mark.parametrize("num_workers", [0, 1])
def test_loaders_leave_the_global_generator_alone(num_workers):
    data = sine(num_workers=num_workers)
    data.setup("fit")
    before = torch.get_rng_state()
    assert len(list(data.train_dataloader()) + list(data.val_dataloader())) == 7
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("world", [1, 2, 3])
def test_ranks_share_the_data(world):
    batches, val = [], []
    for rank in range(world):
        data = sine()
        data.trainer = SimpleNamespace(world_size=world, global_rank=rank)
        data.setup("fit")
        assert len(data.train_dataloader()) == 5
        batches.append([batch["x"] for batch in data.train_dataloader()])
        val += [batch["x"] for batch in data.val_dataloader()]
    alone = sine(batch_size=3 * world)
    alone.setup("fit")
    for step, whole in enumerate(alone.train_dataloader()):
        parts = torch.stack([batches[rank][step] for rank in range(world)], dim=1)
        assert torch.equal(parts.flatten(0, 1), whole["x"])  # the ranks' batches are one process's larger batch
    whole = torch.cat([batch["x"] for batch in alone.val_dataloader()])
    assert torch.equal(torch.cat(val).sum(1).sort(0).values, whole.sum(1).sort(0).values)


@pytest.mark.parametrize("kind", ["sine", "mnist"])
@pytest.mark.parametrize(
    "settings",
    [{}, {"limit_train_batches": 3}, {"val_check_interval": 2}, {"accumulate_grad_batches": 2}],
    ids=["plain", "limited", "mid-epoch validation", "accumulated"],
)
def test_a_run_resumed_at_any_step_sees_what_an_undisturbed_one_sees(kind, settings, tmp_path, fake_mnist_dir):
    def data():
        return sine() if kind == "sine" else mnist(fake_mnist_dir)

    settings = {"max_epochs": 3, **settings}
    undisturbed = fit(data(), tmp_path / "first", **settings)
    assert len({numbers[-1] for numbers in undisturbed}) == len(undisturbed)
    steps = sorted(int(path.stem.removeprefix("step=")) for path in (tmp_path / "first").glob("*.ckpt"))
    seen_at = {step: count for count, step in counted(undisturbed, settings)}
    assert steps == sorted(seen_at)  # there is a checkpoint after each step
    # In the first epoch, at and after its end, and in the last: each goes through what comes after.
    for step in {*steps[: len(steps) // 3 + 1], steps[-2]}:
        resumed = fit(data(), tmp_path / "second", tmp_path / "first" / f"step={step}.ckpt", **settings)
        assert resumed == undisturbed[seen_at[step] :], f"resumed after step {step}"


def counted(batches, settings):
    """Pairs of how many batches were seen and how many optimiser steps were made by then."""
    step, waiting = 0, 0
    for count, (epoch, _, _) in enumerate(batches, start=1):
        waiting += 1
        last = count == len(batches) or batches[count][0] != epoch
        if waiting == settings.get("accumulate_grad_batches", 1) or last:
            step, waiting = step + 1, 0
            yield count, step


def test_all_stages_run_and_predict_has_its_targets(tmp_path, fake_mnist_dir):
    data, model = mnist(fake_mnist_dir), Recorder()
    run = trainer(tmp_path, max_epochs=1)
    run.fit(model, datamodule=data)
    assert len(model.shown["train"]) == 5  # 450 images: the last batch has 50
    run.validate(model, datamodule=data, verbose=False)
    run.test(model, datamodule=data, verbose=False)
    predicted = run.predict(model, datamodule=data)
    assert model.shown["predict"] == model.shown["test"]
    assert torch.equal(torch.cat(predicted), data.datasets["test"].tensors["y"])


@pytest.mark.parametrize("kind", ["sine", "mnist"])
def test_overfitting_shows_the_same_batches_and_resumes(kind, tmp_path, fake_mnist_dir):
    data = sine() if kind == "sine" else mnist(fake_mnist_dir)
    settings = {"max_epochs": 3, "overfit_batches": 2}
    shown = fit(data, tmp_path / "first", **settings)
    assert {numbers[-1] for numbers in shown} == {numbers[-1] for numbers in shown[:2]}
    assert len(shown) == 6
    resumed = fit(data, tmp_path / "second", tmp_path / "first" / "step=4.ckpt", **settings)
    assert resumed == shown[4:]
    # in mid-epoch Lightning's own sampler starts the epoch over
    resumed = fit(data, tmp_path / "second", tmp_path / "first" / "step=3.ckpt", **settings)
    assert [numbers[-1] for numbers in resumed] == [shown[i][-1] for i in (0, 0, 1)]


def test_a_derived_module_needs_sizes_and_datasets_only():
    class Constant(SequenceDataModule):
        def __init__(self):
            super().__init__(batch_size=2, eval_batch_size=None, num_workers=0, seed=None)
            self.input_size, self.output_size = 3, 1

        def setup(self, stage=None):
            self.datasets["train"] = TensorBatches({"x": torch.ones(5, 4, 3), "y": torch.ones(5, 1)})

    data = Constant()
    data.setup("fit")
    assert [batch["x"].shape[0] for batch in data.train_dataloader()] == [2, 2, 1]
