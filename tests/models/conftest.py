"""Small fits without files, and the gradient of every optimizer step."""

import pytest
import torch
from lightning.pytorch import Callback, Trainer
from torch.utils.data import DataLoader


def first(items):
    return items[0]


class Gradients(Callback):
    """Keeps a copy of all gradients as each optimizer step finds them."""

    def __init__(self):
        self.steps = []

    def on_before_optimizer_step(self, trainer, module, optimizer):
        self.steps.append({n: p.grad.clone() for n, p in module.named_parameters() if p.grad is not None})


@pytest.fixture
def fit():
    """Fits a module to a list of batches and returns the Trainer; `val` gives validation batches."""

    def run(module, batches, val=None, epochs=1, callbacks=(), **settings):
        settings = {"logger": False, "enable_checkpointing": False, **settings}
        trainer = Trainer(
            accelerator="cpu",
            max_epochs=epochs,
            enable_progress_bar=False,
            enable_model_summary=False,
            callbacks=list(callbacks),
            **settings,
        )
        loaders = [DataLoader(b, batch_size=1, collate_fn=first) for b in (batches, val) if b is not None]
        for loader in loaders:
            loader.contiguous = getattr(module, "carry_state", False)
        trainer.fit(module, *loaders)
        return trainer

    return run


@pytest.fixture
def gradients_of(fit):
    """The gradients of every optimizer step of one epoch, at fixed weights."""

    def run(module, batches, **settings):
        module.optimizer = lambda parameters: torch.optim.SGD(parameters, lr=0.0)
        record = Gradients()
        fit(module, batches, callbacks=[record], **settings)
        return record.steps

    return run
