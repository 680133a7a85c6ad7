"""Lightning callbacks for checkpoints, figures and numbers in TensorBoard, progress, and predictions."""

from rnn_lightning.callbacks.beside_baseline import BesideBaseline
from rnn_lightning.callbacks.checkpoints import BestAndLast, PeriodicCheckpoint
from rnn_lightning.callbacks.class_figures import ClassFigures
from rnn_lightning.callbacks.event_file import EventFile
from rnn_lightning.callbacks.figure_callback import FigureCallback
from rnn_lightning.callbacks.forecasts import Forecasts
from rnn_lightning.callbacks.gradient_reach import GradientReach
from rnn_lightning.callbacks.hyper_parameters import HyperParameters
from rnn_lightning.callbacks.network_graph import NetworkGraph
from rnn_lightning.callbacks.prediction_writer import PredictionWriter
from rnn_lightning.callbacks.progress import PlainProgress, progress
from rnn_lightning.callbacks.series_figures import SeriesFigures
from rnn_lightning.callbacks.stop_on_signal import StopOnSignal
from rnn_lightning.callbacks.tensorboard import TensorBoardCallback
from rnn_lightning.callbacks.text_samples import TextSamples
from rnn_lightning.callbacks.vital_signs import VitalSigns

TENSORBOARD_CALLBACKS: dict[str, type[TensorBoardCallback]] = {
    "series_figures": SeriesFigures,
    "class_figures": ClassFigures,
    "forecasts": Forecasts,
    "text_samples": TextSamples,
    "gradient_reach": GradientReach,
    "vital_signs": VitalSigns,
    "network_graph": NetworkGraph,
    "hyper_parameters": HyperParameters,
}
"""The callbacks that write to TensorBoard in every fit on the command line. `--NAME.enabled=false` disables one."""

__all__ = [
    "TENSORBOARD_CALLBACKS",
    "BesideBaseline",
    "BestAndLast",
    "ClassFigures",
    "EventFile",
    "FigureCallback",
    "Forecasts",
    "GradientReach",
    "HyperParameters",
    "NetworkGraph",
    "PeriodicCheckpoint",
    "PlainProgress",
    "PredictionWriter",
    "SeriesFigures",
    "StopOnSignal",
    "TensorBoardCallback",
    "TextSamples",
    "VitalSigns",
    "progress",
]
