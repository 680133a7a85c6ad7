"""A forecast is what the network says when it is shown its own predictions as if they were data."""

import pytest
import torch

from rnn_lightning.errors import ArgumentError
from rnn_lightning.nn import Seq2SeqNet, Seq2VecNet, free_run


@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
def test_it_equals_one_pass_over_what_it_said(cell):
    net = Seq2SeqNet(2, 2, cell, hidden_size=5, num_layers=2, state_dropout=0.5).eval()
    x = torch.randn(3, 7, 2)
    with torch.no_grad():
        y, state = net(x)
        forecast = free_run(net, y[:, -1], state, 6)
        again, _ = net(torch.cat((x, y[:, -1:], forecast[:, :-1]), dim=1))
    assert forecast.shape == (3, 6, 2)
    torch.testing.assert_close(forecast, again[:, -6:])


def test_no_steps_give_nothing():
    net = Seq2SeqNet(1, 1).eval()
    y, state = net(torch.randn(2, 3, 1))
    assert free_run(net, y[:, -1], state, 0).shape == (2, 0, 1)


@pytest.mark.parametrize(
    ("net", "words"),
    [
        (Seq2VecNet(1, 1), "an output at every step"),
        (Seq2SeqNet(2, 1), "input_size=2 and output_size=1"),
        (Seq2SeqNet(1, 1, bidirectional=True), "bidirectional=False"),
    ],
)
def test_what_cannot_feed_on_itself_is_refused(net, words):
    with pytest.raises(ArgumentError, match=words):
        free_run(net.eval(), torch.zeros(1, 1), torch.zeros(1, 1, 128), 3)
