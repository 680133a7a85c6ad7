"""Entry points of `torch.hub.load`: networks in evaluation mode, from torch alone."""

from typing import Any

from rnn_lightning.nn import Seq2SeqNet, Seq2VecNet


def seq2vec(input_size: int, output_size: int, **options: Any) -> Seq2VecNet:
    """An untrained network that gives one output a sequence.

    Example:
        >>> net = torch.hub.load(REPO, "seq2vec", 28, 10, cell="lstm", hidden_size=150)
        >>> y, state = net(torch.rand(4, 28, 28))  # y (4, 10)

    Args:
        input_size: Features I of each time step.
        output_size: Outputs O.
        **options: The other arguments of `rnn_lightning.nn.Seq2VecNet`, such as cell, hidden_size and num_layers.

    Returns:
        A module in evaluation mode: x (B, T, I) -> y (B, O) and the final state.
    """
    return Seq2VecNet(input_size, output_size, **options).eval()


def seq2seq(input_size: int, output_size: int, **options: Any) -> Seq2SeqNet:
    """An untrained network that gives one output a time step.

    Example:
        >>> net = torch.hub.load(REPO, "seq2seq", 1, 1, num_layers=3, hidden_size=100)
        >>> y, state = net(torch.rand(4, 20, 1))  # y (4, 20, 1)
        >>> y, state = net(torch.rand(4, 20, 1), state)  # goes on where the first 20 steps ended

    Args:
        input_size: Features I of each time step.
        output_size: Outputs O.
        **options: The other arguments of `rnn_lightning.nn.Seq2SeqNet`, such as cell, hidden_size and num_layers.

    Returns:
        A module in evaluation mode: x (B, T, I) -> y (B, T, O) and the final state.
    """
    return Seq2SeqNet(input_size, output_size, **options).eval()
