"""Forecasts time series in the file's units, with naive answers, scores and intervals. Only torch is needed."""

from rnn_lightning.forecasts.backtest import Errors, backtest, coverage, error_quantiles
from rnn_lightning.forecasts.calendar import CALENDAR, calendar_features
from rnn_lightning.forecasts.forecaster import Forecaster
from rnn_lightning.forecasts.naive import last_value, same_season, seasonal_error
from rnn_lightning.forecasts.scaling import carry_forward, lagged
from rnn_lightning.forecasts.scores import Score, Table, mase

__all__ = [
    "CALENDAR",
    "Errors",
    "Forecaster",
    "Score",
    "Table",
    "backtest",
    "calendar_features",
    "carry_forward",
    "coverage",
    "error_quantiles",
    "lagged",
    "last_value",
    "mase",
    "same_season",
    "seasonal_error",
]
