"""Free running: a network that predicts its next input continues a sequence by itself, from its own predictions.

Legend: B batch, I input features, O outputs.
"""

import torch
from torch import Tensor

from rnn_lightning.errors import ArgumentError
from rnn_lightning.nn.networks import RecurrentNet, Seq2SeqNet
from rnn_lightning.nn.state import State


def check_free_run(net: RecurrentNet) -> None:
    """Raises `ArgumentError` if a network cannot read its own predictions."""
    if not isinstance(net, Seq2SeqNet):
        raise ArgumentError(
            "a forecast needs a network with an output at every step: use Seq2Seq, or leave the horizon out"
        )
    if net.embedding is not None:
        raise ArgumentError(
            "a network of tokens can't forecast values: draw tokens with generate, or leave the horizon out"
        )
    inputs, outputs = net.input_size, net.head.out_features
    if inputs != outputs:
        raise ArgumentError(
            f"a forecast feeds every prediction back as the next input, but the network has input_size={inputs} and "
            f"output_size={outputs}: make them equal, or leave the horizon out"
        )
    if net.layers.bidirectional:
        raise ArgumentError("a forecast needs bidirectional=False: a backward direction starts at the sequence's end")


@torch.no_grad()
def free_run(net: Seq2SeqNet, y: Tensor, state: State, steps: int) -> Tensor:
    """Continues from the last prediction, without true inputs.

    Args:
        net: A network in evaluation mode, with as many outputs as inputs: y at step t predicts x at step t + 1.
        y: (B, O), the prediction at the last step that had a true input.
        state: The state after that step.
        steps: How many steps to predict.

    Returns:
        (B, steps, O). The first prediction is one step after `y`, with `y` as the input.

    Raises:
        ArgumentError: The network cannot read its own predictions.
    """
    check_free_run(net)
    forecast = []
    for _ in range(steps):
        y, state = net.step(y, state)
        forecast.append(y)
    return torch.stack(forecast, dim=1) if forecast else y.new_zeros(len(y), 0, y.shape[1])
