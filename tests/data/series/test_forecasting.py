"""Forecasts of several series, and intervals, which come from the validation part alone."""

import numpy as np
import pandas as pd
import pytest
import torch
from series_tables import hourly, weekly

from rnn_lightning.data import TimeSeries
from rnn_lightning.data.series import Intervals, compare, forecast
from rnn_lightning.data.series.origins import origins_of
from rnn_lightning.nn import Seq2SeqNet


def net_of(data):
    torch.manual_seed(0)
    return Seq2SeqNet(data.input_size, data.output_size, hidden_size=4).eval()


def test_each_series_is_forecast_from_its_own_end_in_its_own_units():
    """The histories differ in length, so the series are not forecast in the table's order."""
    tables = [
        pd.DataFrame({"day": pd.date_range("2024-01-01", periods=n), "id": name, "y": size * np.sin(np.arange(n))})
        for name, n, size in (("long", 60, 1.0), ("short", 20, 1000.0))
    ]
    sizes = {"n_steps": 5, "season": 24, "horizon": 3}
    data = TimeSeries(pd.concat(tables), target="y", time="day", id="id", difference="none", **sizes)
    net = net_of(data)
    found, forecaster, reach = forecast(net, data, intervals=Intervals(level=0.5)), data.forecaster(net), []
    for table in tables:
        name, past = table["id"].iloc[0], table.iloc[-25:]
        days = pd.date_range(past["day"].iloc[0], periods=len(past) + 3)
        shift, scale = forecaster.scaling(name)
        own = found[found["id"] == name]
        assert own["day"].tolist() == [str(day.date()) for day in days[-3:]]
        y = torch.tensor(past["y"].tolist(), dtype=torch.float64)[None, :, None]
        known = forecaster.calendar(days[1:].to_numpy())[None]
        np.testing.assert_allclose(own["y_forecast"], forecaster.forecast(y, 3, known, shift, scale)[0, :, 0])
        reach.append((own["y_upper"] - own["y_forecast"]).to_numpy() / scale.item())
    np.testing.assert_allclose(*reach)
    assert (reach[0] > 0).all()


@pytest.mark.parametrize("part", ["val", "test"])
def test_a_backtest_begins_where_there_is_a_season_to_repeat(part):
    """In the short series, a season is longer than what comes before each part."""
    table = hourly(steps=(240, 60))
    data = TimeSeries(table, target="load", time="when", id="site", n_steps=12, season=55, difference="none")
    series, steps = origins_of(data, part)
    assert steps.min() >= 54
    assert set(series) == ({0, 1} if part == "test" else {0})


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


def test_sampled_intervals_are_the_same_each_time_and_change_no_other_random_numbers():
    """Some values of the validation part are missing, and paths draw only from errors that are known."""
    data = TimeSeries(weekly(), target="y", time="day", n_steps=8, horizon=3)
    torch.manual_seed(0)
    net = Seq2SeqNet(data.input_size, data.output_size, hidden_size=4, state_dropout=0.5).eval()
    first = forecast(net, data, intervals=Intervals(samples=40))
    torch.manual_seed(1)
    before = torch.get_rng_state()
    again = forecast(net, data, intervals=Intervals(samples=40))
    assert torch.equal(torch.get_rng_state(), before)
    assert not net.training
    assert (first["y_lower"] < first["y_upper"]).all()
    pd.testing.assert_frame_equal(first, again)
