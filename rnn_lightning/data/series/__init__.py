"""`TimeSeries`: a table of series, from a file to windows of time steps and to forecasts."""

from rnn_lightning.data.series.datamodule import TimeSeries
from rnn_lightning.data.series.forecasting import Intervals, compare, forecast

__all__ = ["Intervals", "TimeSeries", "compare", "forecast"]
