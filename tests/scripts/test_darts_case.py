"""`scripts/darts_case.py`: Darts reads and forecasts the same as our networks, apart from its weights."""

import numpy as np
import pandas as pd
import pytest
import torch

pytest.importorskip("darts", reason="the benchmark compares with Darts")
pytest.importorskip("pytorch_lightning", reason="Darts trains with it")
from darts_case import ALONE, HIDDEN, Prepared, backtested, interpolated, rnn_model
from pytorch_lightning import Trainer

from rnn_lightning.data import TimeSeries
from rnn_lightning.data.series.forecasting import errors_of
from rnn_lightning.nn import Seq2SeqNet

pytestmark = pytest.mark.filterwarnings("ignore")  # what Darts' fits warn of is not ours


def series(difference, calendar=True):
    """Two series of hours, with calendar and different levels."""
    hours = pd.date_range("2024-01-01", periods=240, freq="h")
    wave = 5 * np.sin(2 * np.pi * np.arange(240) / 24) + np.random.default_rng(0).normal(size=240).cumsum()
    table = pd.concat(
        [pd.DataFrame({"id": name, "at": hours, "y": level + wave}) for name, level in (("a", 0), ("b", 50))]
    )
    return TimeSeries(
        table, target="y", time="at", id="id", n_steps=24, difference=difference, calendar=calendar, stride=7
    )


@pytest.mark.parametrize(("difference", "calendar"), [("none", False), ("first", True), ("seasonal", True)])
def test_our_network_with_darts_weights_makes_the_same_errors(difference, calendar):
    data = series(difference, calendar)
    prepared, model = Prepared(data), rnn_model(data, seed=0)
    read, known = prepared.part("train")
    trainer = Trainer(max_steps=5, **ALONE)
    model.fit(read, future_covariates=known, trainer=trainer, stride=data.stride)
    net = Seq2SeqNet(data.input_size, 1, cell="lstm", hidden_size=HIDDEN)
    net.layers.load_state_dict(model.model.rnn.state_dict())
    net.head.load_state_dict(model.model.V.state_dict())
    ours = errors_of("test", data.forecaster(net.eval()), data).by
    darts, last = (torch.cat(parts) for parts in zip(*backtested(model, prepared), strict=True))
    torch.testing.assert_close(darts, ours["the network"][..., 0].abs(), rtol=1e-4, atol=1e-4, equal_nan=True)
    torch.testing.assert_close(last, ours["the last value"][..., 0].abs(), equal_nan=True)


@pytest.mark.parametrize("difference", ["first", "seasonal"])
def test_darts_trains_on_our_windows(difference):
    from darts.utils.data import ShiftedTorchTrainingDataset

    data = series(difference)
    data.stride = 1
    data.setup("fit")
    read, known = Prepared(data).part("train")
    n = data.n_steps
    windows = ShiftedTorchTrainingDataset(
        read, future_covariates=known, input_chunk_length=n, output_chunk_length=n, shift=1
    )
    ours = data.datasets["train"].__getitems__(list(range(len(data.datasets["train"]))))
    assert len(windows) == len(ours["x"])
    theirs = {
        tuple(np.concatenate((w.past_target, w.future_covariates, w.future_target), axis=1).round(3).ravel())
        for w in (windows[at] for at in range(len(windows)))
    }
    mine = torch.cat((ours["x"], ours["y"]), dim=-1).numpy()
    assert theirs == {tuple(window.round(3).ravel()) for window in mine}


def test_missing_values_are_interpolated_up_to_the_origin():
    y = np.array([[[1.0], [np.nan], [3.0], [np.nan], [np.nan]]])
    assert interpolated(y)[0, :, 0].tolist() == [1, 2, 3, 3, 3]


def test_darts_validates_on_the_validation_part():
    data = series("first")
    values, calendar = Prepared(data).part("val")
    for s, (val, test) in enumerate(data.cuts):
        rows = slice(data.panel.offsets[s] + val - data.n_steps, data.panel.offsets[s] + test)
        expected = data.features.steps().x[rows, :1].numpy()
        np.testing.assert_allclose(values[s].values(), expected, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(calendar[s].values(), data.features.known()[rows], atol=1e-6)
