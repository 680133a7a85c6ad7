"""Optimizer steps by themselves: a linear model, torch's own optimizer, no Trainer."""

import pytest
import torch

from rnn_lightning import NonFiniteLossError
from rnn_lightning.models.update import Update


class OneDevice:
    """What an `Update` asks of Lightning's strategy."""

    def backward(self, loss, optimizer):
        loss.backward()


def update(net, **options):
    return Update(torch.optim.SGD(net.parameters(), 0.1), OneDevice(), net.parameters, **options)


@pytest.mark.parametrize("each", [True, False])
def test_a_step_has_the_gradient_of_the_mean_over_its_targets(each):
    x, y = torch.randn(10, 3), torch.randn(10, 1)
    torch.manual_seed(0)
    net = torch.nn.Linear(3, 1)
    wanted = torch.nn.Linear(3, 1)
    wanted.load_state_dict(net.state_dict())
    optimizer = torch.optim.SGD(wanted.parameters(), 0.1)
    parts = [slice(0, 2), slice(2, 9), slice(9, 10)]
    for part in parts if each else [slice(0, 10)]:
        optimizer.zero_grad()
        (wanted(x[part]) - y[part]).square().mean().backward()
        optimizer.step()
    ours = update(net, each=each)
    for number, part in enumerate(parts, 1):
        last = each or number == 3
        ours.add((net(x[part]) - y[part]).square().sum(), float(part.stop - part.start), passes_per_batch=3, last=last)
        assert (ours.pending.divisor is None) is False
        if last:
            assert ours.step()
    assert ours.pending.divisor is None
    for a, b in zip(net.parameters(), wanted.parameters(), strict=True):
        torch.testing.assert_close(a, b)


def test_without_targets_or_data_no_weight_moves():
    net = torch.nn.Linear(3, 1)
    before = net.weight.detach().clone()
    ours = update(net)
    ours.add(None, 0.0, passes_per_batch=1, last=True)  # a device that has no more data
    assert all(p.grad is not None and not p.grad.any() for p in net.parameters())
    assert ours.step()
    assert torch.equal(net.weight, before)


def test_it_says_when_the_steps_are_taken_and_when_a_loss_is_bad():
    net, taken = torch.nn.Linear(3, 1), []
    ours = update(net, max_steps=2, steps_taken=lambda: len(taken))
    for wanted in (True, False):
        ours.add(net(torch.ones(1, 3)).sum(), 1.0, passes_per_batch=1, last=True)
        taken.append(1)
        assert ours.step() is wanted
    with pytest.raises(NonFiniteLossError, match="step 2:"):
        ours.add(net(torch.full((1, 3), float("nan"))).sum(), 1.0, passes_per_batch=1, last=True)
