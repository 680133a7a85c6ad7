"""Intervals come from the validation part alone."""

import numpy as np
import pandas as pd
import torch
from series_tables import hourly

from rnn_lightning.data import TimeSeries
from rnn_lightning.data.series import compare, forecast
from rnn_lightning.nn import Seq2SeqNet


def net_of(data):
    torch.manual_seed(0)
    return Seq2SeqNet(data.input_size, data.output_size, hidden_size=4).eval()


def test_values_of_the_test_part_change_no_interval_before_it():
    """Forecasts from the last validation step on: only the true values beside them differ."""
    table, other = hourly(), hourly()
    for name, start in (("a", 204), ("b", 170)):  # 15 % of 240 and of 200
        rows = other.index[other["site"] == name][start:]
        other.loc[rows, "load"] = np.random.default_rng(0).normal(1e4, 1e5, len(rows))
    found = []
    for frame in (table, other):
        data = TimeSeries(frame, target="load", time="when", id="site", n_steps=12, horizon=6, origin="2024-03-08")
        found.append(forecast(net_of(data), data))
    first, second = found
    columns = ["load_forecast", "load_lower", "load_upper"]
    assert first[columns].notna().to_numpy().all()
    pd.testing.assert_frame_equal(first[columns], second[columns])


def test_what_validation_has_not_seen_is_outside_of_the_intervals():
    """A series that is calm until its test part: 90 % intervals hold a few of the values there."""
    noise = np.random.default_rng(0).normal(size=400)
    table = pd.DataFrame({"t": range(400), "y": np.where(np.arange(400) < 340, noise, 100 * noise)})
    data = TimeSeries(table, target="y", time="t", n_steps=12, horizon=5, difference="none")
    _, held = compare(net_of(data), data).coverage["y"]
    assert 0 < held < 0.2
    calm = TimeSeries(table[:340], target="y", time="t", n_steps=12, horizon=5, difference="none")
    assert 0.75 < compare(net_of(calm), calm).coverage["y"][1] <= 1
