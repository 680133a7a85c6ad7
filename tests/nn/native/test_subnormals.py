"""The backward pass treats subnormal numbers as zero, on its own threads and only while it runs."""

import pytest
import torch
from torch import nn

from rnn_lightning.nn import GRU, LSTM, RNN, force_path
from rnn_lightning.nn.native import reason

pytestmark = pytest.mark.skipif(reason() is not None, reason="no native recurrence")
TINY = 1e-40  # subnormal in float32


@pytest.fixture(params=[1, 2])
def threads(request):
    torch.set_num_threads(request.param)


def vanishing(kind, dtype=torch.float32):
    """Gradients at every input of a long sequence, where only the last step has a loss."""
    torch.manual_seed(0)
    layer, x = kind(1, 8).to(dtype), torch.randn(400, 20, 1).to(dtype).requires_grad_()
    with force_path("native"):
        layer(x)[0][-1].sum().backward()
    return x.grad[:, :, 0].abs().amax(1), layer


@pytest.mark.usefixtures("threads")
@pytest.mark.parametrize("kind", [RNN, GRU, LSTM])
def test_gradients_that_vanish_end_at_zero_and_the_others_are_exact(kind):
    found, layer = vanishing(kind)
    exact, wide = vanishing(kind, torch.float64)
    smallest = torch.finfo(torch.float32).tiny
    assert exact.min() < smallest / 100 < 1e10 * smallest < exact.max()
    torch.testing.assert_close(found.double(), exact, rtol=1e-2, atol=1e3 * smallest)
    assert (found[exact < smallest / 100] == 0).all()
    for mine, true in zip(layer.parameters(), wide.parameters(), strict=True):
        torch.testing.assert_close(mine.grad, true.grad.float(), rtol=1e-4, atol=1e-4)


@pytest.mark.usefixtures("threads")
@pytest.mark.parametrize("kind", [RNN, GRU, LSTM])
def test_other_operations_keep_subnormal_numbers(kind):
    vanishing(kind)
    many = torch.full((1_000_000,), TINY)  # on all threads of torch
    assert int((many * 1).count_nonzero()) == len(many)
    assert nn.functional.relu(torch.tensor(TINY)) > 0


def test_a_mode_that_you_set_stays():
    if not torch.set_flush_denormal(True):
        pytest.skip("this processor has no such mode")
    try:
        vanishing(LSTM)
        assert torch.tensor([TINY]) * 1 == 0
    finally:
        torch.set_flush_denormal(False)


def test_the_forward_pass_keeps_subnormal_states():
    layer = RNN(1, 1, nonlinearity="relu", bias=False)
    with torch.no_grad(), force_path("native"):
        layer.weight_ih_l0.fill_(1)
        layer.weight_hh_l0.fill_(1)
        assert layer(torch.tensor([[[TINY]], [[0.0]]]))[0][-1].item() == pytest.approx(TINY, rel=1e-3)
