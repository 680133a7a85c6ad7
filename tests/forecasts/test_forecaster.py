"""`Forecaster` against a plain loop over raw values, against the training batches, and against ONNX."""

import math

import numpy as np
import onnxruntime
import pandas as pd
import pytest
import torch
from series_tables import hourly, weekly

from rnn_lightning.data import TimeSeries
from rnn_lightning.data.series.origins import histories
from rnn_lightning.errors import ArgumentError
from rnn_lightning.export import write_onnx
from rnn_lightning.forecasts import CALENDAR, Forecaster, calendar_features, carry_forward
from rnn_lightning.nn import Seq2SeqNet

OPTIONS = {"target": "load", "time": "when", "id": "site", "known": ["price"], "observed": ["wind"]}


def made(data, cell="lstm", **options):
    torch.manual_seed(0)
    return Seq2SeqNet(data.input_size, data.output_size, cell=cell, hidden_size=8, init="glorot", **options).eval()


def panel(difference="auto", **options):
    return TimeSeries(hourly(), **OPTIONS, n_steps=12, difference=difference, **options)


def one(difference="first"):
    return TimeSeries(weekly(), target="y", time="day", difference=difference, season=4, n_steps=12)


@pytest.mark.parametrize("difference", ["none", "first", "seasonal"])
@pytest.mark.parametrize("make", [panel, one])
def test_one_step_ahead_is_what_the_network_learnt_to_say(difference, make):
    """A training window's outputs, brought to the file's units by hand, are the forecaster's from the raw values."""
    data = make(difference)
    net, forecaster = made(data), data.forecaster(made(data))
    data.setup()
    windows = data.datasets["train"]
    start = int(windows.starts[30])
    z = net(windows.__getitems__([30])["x"])[0][0].detach().double()  # (T, C)
    filled = torch.from_numpy(data.panel.filled(data.panel.values))
    raw = torch.from_numpy(data.panel.values)[start - data.lead : start + 12][None].clone()
    raw[:, 0] = filled[start - data.lead]
    known = data.features.known()[start - data.lead + 1 : start + 13][None] if forecaster.known_names else None
    shift, scale = data.scaling["shift"][:1], data.scaling["scale"][:1]
    got = forecaster(raw, known, shift=shift, scale=scale)[0].detach()
    for step in range(12):
        for c, lag in enumerate(data.lags):
            before = filled[start + step + 1 - lag, c] if lag else 0.0
            assert float(got[0, step, c]) == pytest.approx(
                float(before + shift[0, c] + scale[0, c] * z[step, c]), rel=1e-6, abs=1e-6
            )


@pytest.mark.parametrize("difference", ["none", "first", "seasonal"])
def test_a_forecast_is_each_prediction_read_as_the_next_value(difference):
    """The loop reads all of history and forecast anew at every step, without a state."""
    data = panel(difference)
    forecaster = data.forecaster(made(data))
    (given,) = list(histories(data, np.array([0, 1]), np.array([200, 170]), 6))
    got = forecaster.forecast(given.y, 6, given.known, given.shift, given.scale)
    y = given.y
    for step in range(6):
        ahead, _ = forecaster(y, given.known[:, : y.shape[1]], None, given.shift, given.scale)
        assert torch.allclose(got[:, step], ahead[:, -1], rtol=1e-6)
        y = torch.cat((y, ahead[:, -1:]), dim=1)


@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
def test_a_stream_goes_on_where_it_was(cell):
    data = one("seasonal")
    forecaster = data.forecaster(made(data, cell))
    (given,) = list(histories(data, np.array([0]), np.array([160]), 1))  # has missing values
    assert given.y.isnan().any()
    whole, _ = forecaster(given.y, given.known)
    first, state = forecaster(given.y[:, :9], given.known[:, :9])
    second, state = forecaster(given.y[:, 9:11], given.known[:, 9:11], state)
    rest = []
    for t in range(11, given.y.shape[1]):
        value, state = forecaster.step(given.y[:, t], given.known[:, t], state)
        rest.append(value)
    assert torch.allclose(torch.cat((first, second, torch.stack(rest, 1)), dim=1), whole, rtol=1e-6)


def test_shift_and_scale_of_a_new_series_come_from_its_history():
    data = panel("none")
    forecaster = data.forecaster(made(data))
    (given,) = list(histories(data, np.array([0]), np.array([200]), 1))
    y = given.y[:, forecaster.lead :]
    shift, scale = y.mean(1), y.std(1, correction=0)
    expected, state = forecaster(given.y, given.known, None, shift, scale)
    assert torch.allclose(forecaster(given.y, given.known)[0], expected)
    with pytest.raises(ArgumentError, match="give shift and scale"):
        forecaster(given.y, given.known, state)
    assert torch.equal(
        torch.stack(forecaster.scaling("b")), torch.stack((data.scaling["shift"][1], data.scaling["scale"][1]))
    )
    with pytest.raises(ArgumentError, match="'z'"):
        forecaster.scaling("z")


def test_wrong_arguments_get_one_line():
    data = panel("first")
    net = made(data)
    forecaster = data.forecaster(net)
    y = torch.zeros(1, 5, 2)
    with pytest.raises(ArgumentError, match="load, wind"):
        forecaster(y[..., :1])
    with pytest.raises(ArgumentError, match="price"):
        forecaster(y)
    with pytest.raises(ArgumentError, match="shift is given without scale: give both, or neither"):
        forecaster(y, torch.zeros(1, 5, 5), shift=torch.zeros(2))
    with pytest.raises(ArgumentError, match="give 7"):
        forecaster.forecast(y, 3, torch.zeros(1, 6, 5))
    with pytest.raises(ArgumentError, match="cannot forecast"):
        Forecaster(Seq2SeqNet(3, 1), data.fitted_values)


def test_missing_values_are_carried_forward():
    nan = math.nan
    y = torch.tensor([[nan, 1.0, nan, nan, 4.0, nan]])[..., None]
    assert carry_forward(y)[0, 1:, 0].tolist() == [1, 1, 1, 4, 4]
    assert carry_forward(y)[0, 0, 0].isnan()


def test_the_calendar_is_that_of_pandas():
    times = pd.date_range("1899-12-30", "2104-03-05", freq="61h")
    features = calendar_features(times.to_numpy(), CALENDAR)
    begin = pd.to_datetime([f"{t.year - (t.month < 3)}-03-01" for t in times])
    end = pd.to_datetime([f"{t.year + (t.month >= 3)}-03-01" for t in times])
    shares = (times.hour / 24, times.day_of_week / 7, (times - begin) / (end - begin))
    for i, share in enumerate(shares):
        assert np.allclose(features[:, 2 * i], np.sin(2 * np.pi * share), atol=1e-9)
        assert np.allclose(features[:, 2 * i + 1], np.cos(2 * np.pi * share), atol=1e-9)
    assert torch.equal(calendar_features([t.to_pydatetime() for t in times[:50]], CALENDAR), features[:50])


def test_the_calendar_of_an_export_is_that_of_the_data():
    data = panel()
    forecaster = data.forecaster(made(data))
    times = data.panel.grid.times(data.panel.numbers[:50])
    assert torch.equal(forecaster.calendar(times), data.features.known()[:50, 1:])
    assert forecaster.known_names == ["price", "sin_hour", "cos_hour", "sin_weekday", "cos_weekday", "sin_yearday",
                                      "cos_yearday"]  # fmt: skip


@pytest.mark.parametrize("cell", ["gru", "lstm"])
@pytest.mark.parametrize("make", [panel, one])
def test_onnx_gives_the_same_from_raw_values_of_any_length(cell, make, tmp_path):
    data = make("seasonal")
    forecaster = data.forecaster(made(data, cell))
    write_onnx(forecaster, tmp_path / "network.onnx")
    session = onnxruntime.InferenceSession(str(tmp_path / "network.onnx"))
    series = np.zeros(2, np.int64)
    (given,) = list(histories(data, series, np.array([150, 155]), 1))
    for rows, steps in ((2, data.lead + 8), (1, data.lead + 1), (2, given.y.shape[1])):
        y, known = given.y[:rows, -steps:], None if given.known is None else given.known[:rows, -steps:]
        expected, state = forecaster(y, known, None, given.shift[:rows], given.scale[:rows])
        inputs = {"y": y, "known": known, "shift": given.shift[:rows], "scale": given.scale[:rows]}
        got = session.run(None, {name: value.numpy() for name, value in inputs.items() if value is not None})
        assert np.allclose(got[0], expected.detach(), rtol=1e-5)
        assert np.allclose(got[-1], state[1], rtol=1e-6, equal_nan=True)
