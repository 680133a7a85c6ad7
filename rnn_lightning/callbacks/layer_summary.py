"""`LayerSummary`: the network at the start of a fit, layer by layer, with parameter counts and shapes."""

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelSummary
from torch import nn

from rnn_lightning.models import Seq2Vec, SequenceModule
from rnn_lightning.nn import RecurrentNet

_NAMES = {"RNN_TANH": "RNN, tanh", "RNN_RELU": "RNN, relu", "LSTM": "LSTM", "GRU": "GRU"}


class LayerSummary(ModelSummary):
    """Prints a table of the layers of a `Seq2Vec` or `Seq2Seq`; of another module Lightning's own summary."""

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Prints, on rank zero."""
        if not isinstance(pl_module, SequenceModule):
            super().on_fit_start(trainer, pl_module)
        elif trainer.is_global_zero:
            print(layer_table(pl_module.net, one_output=isinstance(pl_module, Seq2Vec)), flush=True)


def layer_table(net: RecurrentNet, one_output: bool) -> str:
    """The layers of a network as plain text.

    Args:
        net: The network.
        one_output: Whether the head gives one output a sequence, not one a step.

    Returns:
        A line a layer: what it is, units in and out, parameters, shape of its output (B sequences of T steps).
    """
    layers = net.layers
    directions = 2 if layers.bidirectional else 1
    width = layers.hidden_size * directions
    rows = [("layer", "", "in", "out", "parameters", "output shape")]
    for layer in range(layers.num_layers):
        weights = [w for d in range(directions) for w in layers.all_weights[layer * directions + d]]
        name = _NAMES[layers.mode] + (", both ways" if directions == 2 else "")
        size = layers.input_size if layer == 0 else width
        rows.append((str(layer + 1), name, str(size), str(width), _count(weights), f"(B, T, {width})"))
    shape = f"(B, {net.head.out_features})" if one_output else f"(B, T, {net.head.out_features})"
    ends = (str(net.head.in_features), str(net.head.out_features))
    rows.append(("head", "linear", *ends, _count(list(net.head.parameters())), shape))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [
            cell.rjust(width) if 2 <= column <= 4 else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    lines.insert(1, "-" * max(map(len, lines)))
    extras = [
        f"{n}={getattr(layers, n):g}"
        for n in ("input_dropout", "output_dropout", "state_dropout")
        if getattr(layers, n)
    ]
    if extras and layers.variational:
        extras.append("variational")
    parameters = list(net.parameters())
    frozen = sum(p.numel() for p in parameters if not p.requires_grad)
    total = f"{_count(parameters)} parameters" + (f", {frozen:,} of them frozen" if frozen else "")
    lines.append(", ".join([total, *extras]))
    return "\n".join(lines)


def _count(weights: list[nn.Parameter]) -> str:
    return f"{sum(weight.numel() for weight in weights):,}"
