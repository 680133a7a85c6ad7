"""What a run keeps and shows besides the numbers: checkpoints, and tables of predictions."""

from rnn_lightning.callbacks.checkpoints import BestAndLast, PeriodicCheckpoint
from rnn_lightning.callbacks.prediction_writer import PredictionWriter

__all__ = ["BestAndLast", "PeriodicCheckpoint", "PredictionWriter"]
