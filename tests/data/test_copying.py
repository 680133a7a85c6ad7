import math

import pytest
import torch
from torch.nn import functional as F

from rnn_lightning.data import CopyMemory
from rnn_lightning.models import Seq2Seq


def batch_of(count=500, **settings):
    data = CopyMemory(**settings)
    data.setup()
    return data, data.datasets["train"].__getitems__(list(range(count)))


@pytest.mark.parametrize("settings", [{}, {"delay": 1}, {"delay": 5, "n_symbols": 3, "n_recall": 2}], ids=str)
def test_the_symbols_come_first_and_are_asked_for_after_the_delimiter(settings):
    data, batch = batch_of(**settings)
    t, s, r = data.delay, data.n_symbols, data.n_recall
    assert batch["x"].shape == (500, t + 2 * r, s + 2)
    assert (batch["x"].dtype, batch["y"].dtype) == (torch.float32, torch.int64)
    assert (batch["x"].sum(2) == 1).all()
    x, y = batch["x"].argmax(2), batch["y"]
    blank, delimiter = s, s + 1
    for row, target in zip(x.tolist(), y.tolist(), strict=True):
        symbols = row[:r]
        assert all(0 <= symbol < s for symbol in symbols)
        assert row[r:] == [blank] * (t - 1) + [delimiter] + [blank] * r
        assert target == [blank] * (t + r) + symbols
    assert data.output_size == s + 1 == int(y.max()) + 1


def test_symbols_are_uniform():
    _, batch = batch_of(count=8000, n_symbols=8, n_recall=10)
    counts = batch["y"][:, -10:].flatten().bincount(minlength=9).float()
    assert counts[8] == 0
    assert (((counts[:8] - 10_000) ** 2) / 10_000).sum() < 24.4  # chi-square, 7 degrees of freedom, p = 0.001


@pytest.mark.parametrize("delay", [50, 100, 200])
def test_the_baseline_is_the_loss_of_knowing_when_but_not_what(delay):
    data, batch = batch_of(count=20, delay=delay)
    assert data.baseline == pytest.approx(10 * math.log(8) / (delay + 20))
    logits = torch.full((*batch["y"].shape, 9), -1e9)
    logits[:, :-10, 8] = 0  # blank, for sure
    logits[:, -10:, :8] = 0  # any symbol
    assert float(F.cross_entropy(logits.flatten(0, 1), batch["y"].flatten())) == pytest.approx(data.baseline, rel=1e-5)


def test_a_seq2seq_module_takes_the_batches():
    data, batch = batch_of(count=4, delay=5)
    model = Seq2Seq(data.input_size, data.output_size, task="classification", cell="gru", hidden_size=8)
    loss, targets, *_ = model.chunk_step(model.prepare_batch(batch), None)
    assert targets == 4 * 25
    assert float(loss.detach()) / targets == pytest.approx(math.log(9), rel=0.2)  # knows nothing yet
