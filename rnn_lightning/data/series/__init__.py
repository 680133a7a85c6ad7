"""`TimeSeries`: reads tables of time series, cuts them into windows for a network, and makes forecasts from them."""

from rnn_lightning.data.series.datamodule import TimeSeries
from rnn_lightning.data.series.forecasting import Intervals, compare, forecast

__all__ = ["Intervals", "TimeSeries", "compare", "forecast"]
