"""MASE and coverage against utilsforecast, quantiles against numpy, and what the table says."""

import math

import numpy as np
import pandas as pd
import pytest
import torch
from utilsforecast import losses

from rnn_lightning import ArgumentError
from rnn_lightning.forecasts import (
    Errors,
    Table,
    coverage,
    error_quantiles,
    last_value,
    mase,
    same_season,
    seasonal_error,
)
from rnn_lightning.forecasts.backtest import LAST, NETWORK, SEASON


def test_mase_is_that_of_utilsforecast():
    rng = np.random.default_rng(0)
    train = pd.DataFrame({"unique_id": np.repeat(list("abc"), 60), "ds": np.tile(range(60), 3)})
    train["y"] = rng.normal(size=180).cumsum()
    test = pd.DataFrame({"unique_id": np.repeat(list("abc"), 12), "ds": np.tile(range(60, 72), 3)})
    test["y"], test["model"] = rng.normal(size=36), rng.normal(size=36)
    expected = losses.mase(test, ["model"], 7, train)["model"].mean()
    errors = torch.from_numpy((test["y"] - test["model"]).to_numpy().copy()).view(3, 12)
    naive = torch.stack(
        [
            seasonal_error(torch.from_numpy(y.to_numpy().copy())[:, None], 7)[0]
            for _, y in train.groupby("unique_id")["y"]
        ]
    )
    assert mase(errors, torch.arange(3), naive) == pytest.approx(expected)
    constant = naive.clone()
    constant[1] = 0
    assert mase(errors, torch.arange(3), constant) == pytest.approx(
        losses.mase(test[test.unique_id != "b"], ["model"], 7, train)["model"].mean()
    )
    assert math.isnan(mase(errors[:1], torch.zeros(1, dtype=torch.long), torch.zeros(1)))


def test_coverage_is_that_of_utilsforecast():
    rng = np.random.default_rng(1)
    errors, scale = torch.from_numpy(rng.normal(size=(40, 6, 1))), torch.full((40, 1), 2.0)
    bounds = error_quantiles(torch.from_numpy(rng.normal(size=(60, 6, 1))), torch.full((60, 1), 2.0), 0.8)
    frame = pd.DataFrame({"unique_id": "a", "ds": range(240), "y": errors.reshape(-1).numpy()})
    frame["m-lo-80"] = (bounds[0] * 2).expand(40, 6, 1).reshape(-1).numpy()
    frame["m-hi-80"] = (bounds[1] * 2).expand(40, 6, 1).reshape(-1).numpy()
    assert float(coverage(errors, scale, bounds).mean()) == pytest.approx(
        float(losses.coverage(frame, ["m"], 80)["m"][0])
    )


def test_intervals_hold_their_level_of_new_errors_of_the_same_kind():
    generator = torch.Generator().manual_seed(0)
    shares = []
    for _ in range(300):
        errors = torch.randn(40, 1, 1, generator=generator, dtype=torch.float64).exp()
        bounds = error_quantiles(errors[:39], torch.ones(39, 1), 0.9)
        shares.append(float(coverage(errors[39:], torch.ones(1, 1), bounds)))
    assert 0.87 < np.mean(shares) < 0.99


def test_bounds_are_order_statistics_of_what_is_known():
    errors = torch.arange(1.0, 20.0).double()[torch.randperm(19)][:, None, None]
    errors = torch.cat((errors, torch.full((5, 1, 1), math.nan)))
    low, high = error_quantiles(errors, torch.ones(24, 1), 0.9).flatten().tolist()
    assert (low, high) == (1, 19)  # of 19 errors, 1/20 is expected below the least and above the greatest
    few = error_quantiles(errors[:5], torch.ones(5, 1), 0.9)
    assert few.isnan().all(), "too few"
    assert coverage(errors, torch.ones(24, 1), few).isnan().all(), "no interval, so no share within it"


def test_naive_answers():
    y = torch.tensor([[1.0, 2, 3, 4, 5, math.nan]])[..., None]
    assert last_value(y, 3).flatten().tolist() == [5, 5, 5]
    assert same_season(y, 7, 3).flatten().tolist() == [4, 5, 5, 4, 5, 5, 4]
    for season in (0, y.shape[1] + 1):
        with pytest.raises(ArgumentError, match=f"season={season}"):
            same_season(y, 7, season)


def table(network, last, season, naive=2.0):
    errors = {
        name: torch.full((4, 3, 1), value) for name, value in ((NETWORK, network), (LAST, last), (SEASON, season))
    }
    found = Errors(errors, torch.ones(4, 1), torch.zeros(4, dtype=torch.long))
    return Table.of("title", found, ["y"], torch.full((1, 1), naive), torch.full((3, 1), 0.9), 0.9)


def test_the_table_says_when_the_network_is_useless():
    good, bad = table(1.0, 2.0, 3.0), table(2.0, 1.0, 3.0)
    assert not good.sentences()
    assert "0.5" in good.text()
    assert "90 % intervals contain 90 % of the true values" in good.text()
    assert bad.sentences()[0] == "The network does not beat the last value for y one step ahead: 2 against 1."
    assert "What usually helps" in bad.text()
    assert table(1.0, 1.0, 3.0).sentences(), "as good is no better"
    constant = table(1.0, 2.0, 3.0, naive=0.0)
    assert constant.text().splitlines()[2].split()[-1] == "-"
    assert math.isnan(constant.scores[0].mase)
