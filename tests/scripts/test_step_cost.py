"""`scripts/step_cost.py`: the bytes that autograd keeps, counted against a closed form."""

import torch
from lightning.pytorch import Trainer
from step_cost import Ledger, StepCost
from torch.autograd.graph import saved_tensors_hooks

from rnn_lightning.data import SyntheticSine
from rnn_lightning.models import Seq2Seq, TruncatedBPTT


def test_a_storage_counts_once_and_until_the_backward_pass():
    w = torch.ones(1000, requires_grad=True)
    ledger = Ledger({w.untyped_storage().data_ptr()})
    with saved_tensors_hooks(ledger.keep, lambda packed: packed.tensor):
        x = torch.ones(1000)
        first = (w * x).sum()  # keeps x, and w, which is a parameter
        second = (w * x.view(10, 100).flatten()).sum()  # the same storage
        assert ledger.now == 4000
        third = (w * torch.ones(1000)).sum()
        assert ledger.now == ledger.peak == 8000
        (first + second + third).backward()
    assert (ledger.now, ledger.peak) == (0, 8000)


def test_what_is_kept_grows_with_the_reach_of_the_gradients():
    kept = {}
    for k in (5, 20, 40):
        cost = StepCost()
        data = SyntheticSine(n_steps=40, batch_size=8, steps_per_epoch=4, eval_windows=8)
        tbptt = TruncatedBPTT(k1=k, step_every="batch") if k < 40 else None
        settings = {"accelerator": "cpu", "logger": False, "enable_checkpointing": False, "max_epochs": 1}
        trainer = Trainer(**settings, enable_progress_bar=False, enable_model_summary=False, callbacks=[cost])
        trainer.fit(Seq2Seq(1, 1, cell="rnn", hidden_size=32, tbptt=tbptt), data)
        kept[k] = cost.result()["kept"]
        assert cost.result()["milliseconds"] > 0
        assert len(cost.times) == 3  # all but the one that is measured otherwise
    assert kept[5] >= 5 * 8 * 32 * 4  # the hidden states of a chunk
    assert kept[40] >= 40 * 8 * 32 * 4
    assert 3 < kept[20] / kept[5] < 4.5
    assert 1.8 < kept[40] / kept[20] < 2.5
