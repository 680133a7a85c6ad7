"""Writes predictions as tables, arrays and figures."""

from rnn_lightning.predictions.arrays import PredictionArrays
from rnn_lightning.predictions.classes import ClassTally
from rnn_lightning.predictions.sequence import ShownSequence
from rnn_lightning.predictions.table import Prediction, PredictionTable, merge_tables

__all__ = ["ClassTally", "Prediction", "PredictionArrays", "PredictionTable", "ShownSequence", "merge_tables"]
