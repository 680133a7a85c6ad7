"""`NetworkGraph`: shows the network's graph in TensorBoard."""

import warnings

import torch
from lightning.pytorch import LightningModule, Trainer
from typing_extensions import override

from rnn_lightning.callbacks.tensorboard import TensorBoardCallback
from rnn_lightning.models import SequenceModule
from rnn_lightning.nn.dropout import without_dropout


class NetworkGraph(TensorBoardCallback):
    """Adds the network's graph to TensorBoard, traced in evaluation mode on one short sequence of zeros.

    `TensorBoardLogger(log_graph=True)` would need an `example_input_array`.

    Args:
        enabled: Whether to add the graph.
    """

    @override
    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not (self.writes(trainer) and isinstance(pl_module, SequenceModule)):
            return
        net = pl_module.net
        with warnings.catch_warnings(), torch.no_grad(), without_dropout(net):
            warnings.simplefilter("ignore")  # the tracer warns about sizes that it treats as constants
            self.writer(trainer).add_graph(net, net.example_input())
