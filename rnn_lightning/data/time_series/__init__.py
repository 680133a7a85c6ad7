"""`TimeSeries`: a table of series, from a file to windows of time steps."""

from rnn_lightning.data.time_series.datamodule import TimeSeries

__all__ = ["TimeSeries"]
