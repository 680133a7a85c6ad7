"""Entry points of `torch.hub.load`: networks in evaluation mode, untrained and trained, with torch alone."""

from pathlib import Path
from typing import Any

from rnn_lightning.forecasts import Forecaster
from rnn_lightning.nn import RecurrentNet, Seq2SeqNet, Seq2VecNet
from rnn_lightning.saved import load_module, load_network


def seq2vec(input_size: int, output_size: int, **options: Any) -> Seq2VecNet:
    """An untrained network with one output per sequence.

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
    """An untrained network with one output per time step.

    Example:
        >>> net = torch.hub.load(REPO, "seq2seq", 1, 1, num_layers=3, hidden_size=100)
        >>> y, state = net(torch.rand(4, 20, 1))  # y (4, 20, 1)
        >>> y, state = net(torch.rand(4, 20, 1), state)  # continues after the first 20 steps

    Args:
        input_size: Features I of each time step.
        output_size: Outputs O.
        **options: The other arguments of `rnn_lightning.nn.Seq2SeqNet`, such as cell, hidden_size and num_layers.

    Returns:
        A module in evaluation mode: x (B, T, I) -> y (B, T, O) and the final state.
    """
    return Seq2SeqNet(input_size, output_size, **options).eval()


def seq2vec_mnist(pretrained: bool = True) -> Seq2VecNet:
    """One tanh layer of 150 units that reads a handwritten digit row by row.

    Example:
        >>> net = torch.hub.load(REPO, "seq2vec_mnist")
        >>> images = torch.randint(0, 256, (4, 28, 28), dtype=torch.uint8)  # grey, white on black, as MNIST has them
        >>> y, state = net(images / 255)  # y (4, 10)
        >>> digits = y.argmax(-1)  # (4,)

    Args:
        pretrained: Whether to load the trained weights; if not, the network has the same shape but is untrained.

    Returns:
        A `Seq2VecNet` in evaluation mode: x (B, 28, 28) float in [0, 1], one row per step -> logits y (B, 10) and the
        final state (1, B, 150). State, `lengths`, packed and unbatched input work as in any `Seq2VecNet`.

    Raises:
        ArgumentError: The weights are missing, changed or truncated.
    """
    return _trained("seq2vec_mnist", pretrained)


def seq2vec_mnist_lstm(pretrained: bool = True) -> Seq2VecNet:
    """One LSTM layer of 150 units that reads a handwritten digit row by row.

    Example:
        >>> net = torch.hub.load(REPO, "seq2vec_mnist_lstm")
        >>> images = torch.randint(0, 256, (4, 28, 28), dtype=torch.uint8)  # grey, white on black, as MNIST has them
        >>> y, (h, c) = net(images / 255)  # y (4, 10)
        >>> digits = y.argmax(-1)  # (4,)

    Args:
        pretrained: Whether to load the trained weights; if not, the network has the same shape but is untrained.

    Returns:
        A `Seq2VecNet` in evaluation mode: x (B, 28, 28) float in [0, 1], one row per step -> logits y (B, 10) and the
        final state (h, c), each (1, B, 150). State, `lengths`, packed and unbatched input work as in any `Seq2VecNet`.

    Raises:
        ArgumentError: The weights are missing, changed or truncated.
    """
    return _trained("seq2vec_mnist_lstm", pretrained)


def seq2seq_sine(pretrained: bool = True) -> Seq2SeqNet:
    """One relu layer of 100 units that predicts t sin(t) / 3 + 2 sin(5 t) a step ahead.

    Example:
        >>> net = torch.hub.load(REPO, "seq2seq_sine")
        >>> t = 12.2 + 0.1 * torch.arange(20)  # spacing 0.1, within [0, 30]
        >>> y, state = net((t * t.sin() / 3 + 2 * (5 * t).sin())[None, :, None])  # y (1, 20, 1): the value 0.1 later
        >>> y, state = net(y[:, -1:], state)  # continues with its own prediction

    Args:
        pretrained: Whether to load the trained weights; if not, the network has the same shape but is untrained.

    Returns:
        A `Seq2SeqNet` in evaluation mode: x (B, T, 1), the raw values -> y (B, T, 1), each the value one step later, and
        the final state (1, B, 100). State, `lengths`, packed and unbatched input and `step` work as in any
        `Seq2SeqNet`.

    Raises:
        ArgumentError: The weights are missing, changed or truncated.
    """
    return _trained("seq2seq_sine", pretrained)


def seq2seq_sine_deep(pretrained: bool = True) -> Seq2SeqNet:
    """Three tanh layers of 100 units with state dropout, for the same series as `seq2seq_sine`.

    Example:
        >>> net = torch.hub.load(REPO, "seq2seq_sine_deep")
        >>> t = 12.2 + 0.1 * torch.arange(20)  # spacing 0.1, within [0, 30]
        >>> y, state = net((t * t.sin() / 3 + 2 * (5 * t).sin())[None, :, None])  # y (1, 20, 1): the value 0.1 later
        >>> y, state = net(y[:, -1:], state)  # continues with its own prediction

    Args:
        pretrained: Whether to load the trained weights; if not, the network has the same shape but is untrained.

    Returns:
        A `Seq2SeqNet` in evaluation mode (its dropout is on after `train()`): x (B, T, 1), the raw values -> y (B, T, 1),
        each the value one step later, and the final state (3, B, 100). Everything else works as in any `Seq2SeqNet`.

    Raises:
        ArgumentError: The weights are missing, changed or truncated.
    """
    return _trained("seq2seq_sine_deep", pretrained)


def load_exported(folder: str | Path) -> RecurrentNet | Forecaster:
    """Loads a network written by `python -m rnn_lightning export`.

    Example:
        >>> net = hub.load_exported("exported")
        >>> y, state = net(x)

    Args:
        folder: The `--output` of the export, which contains `network.json` and the weights.

    Returns:
        A `Seq2VecNet` or `Seq2SeqNet` in evaluation mode on the CPU; for a network trained on a `TimeSeries`, a
        `Forecaster` around the network, which takes and returns values in the file's units. Its attribute `fitted` has
        the values that were fitted on the training part: `level` and `vocabulary` for a text (characters in the order
        of their tokens from 1 on, or words), `classes` for labelled sequences, and {} if nothing was fitted.

    Raises:
        ArgumentError: A file is missing, changed or truncated.
    """
    return load_module(Path(folder, "network.json"))


def _trained(name: str, pretrained: bool) -> Any:
    return load_network(Path(__file__).with_name("weights") / f"{name}.json", pretrained)
