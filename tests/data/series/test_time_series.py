"""`TimeSeries` against plain loops: what a step's input and target are, which values count where, and what is fitted."""

import copy
import json
import math
import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from lightning.pytorch import Trainer
from series_tables import hourly, weekly

from rnn_lightning.data import TimeSeries
from rnn_lightning.data.series.origins import check_future, histories, origins_of_predict
from rnn_lightning.data.series.windows import Stretches, stretches
from rnn_lightning.errors import ArgumentError
from rnn_lightning.models import Seq2Seq

PANEL = {"target": "load", "time": "when", "id": "site"}


def panel(**arguments):
    return TimeSeries(hourly(), **{**PANEL, "known": ["price"], "observed": ["wind"], "n_steps": 12, **arguments})


def batches(data, stage):
    data.setup()
    return list(getattr(data, f"{stage}_dataloader")())


def raw_of(batch, data, row, step, channel=0):
    """A batch's target in the file's units, less what it is the difference to."""
    shift = data.scaling["shift"][0, channel]
    return float(batch["y"][row, step, channel].double() * batch["units"][row, step, channel] + shift)


@pytest.mark.parametrize("difference", ["none", "first", "seasonal"])
def test_inputs_and_targets_of_every_window_against_a_loop(difference):
    table = weekly()
    data = TimeSeries(table, target="y", time="day", difference=difference, season=4, n_steps=9, calendar=False)
    data.setup()
    y = data.panel.values[:, 0]
    lag = {"none": 0, "first": 1, "seasonal": 4}[difference]
    filled = list(y)
    for t in range(1, len(filled)):
        filled[t] = filled[t - 1] if math.isnan(filled[t]) else filled[t]
    z = [v - (filled[t - lag] if lag else 0) if t >= lag else math.nan for t, v in enumerate(filled)]
    train = int(data.cuts[0, 0])
    lead = max(1, lag)
    known = [z[t] for t in range(lead, train) if not math.isnan(y[t])]
    mean, deviation = np.mean(known), np.std(known)
    windows = data.datasets["train"]
    assert len(windows) == train - lead - 9
    for start in (0, 13, 40, len(windows) - 1):
        batch = windows.__getitems__([start])
        for step in range(9):
            t = lead + start + step
            assert batch["x"][0, step].tolist() == pytest.approx(
                [(z[t] - mean) / deviation, float(math.isnan(y[t]))], abs=1e-5
            )
            counts = not math.isnan(y[t + 1])
            assert "mask" not in batch or bool(batch["mask"][0, step]) == counts
            if counts:
                assert float(batch["y"][0, step]) == pytest.approx((z[t + 1] - mean) / deviation, abs=1e-5)
    assert float(batch["units"][0, 0]) == pytest.approx(deviation)


def test_columns_known_ahead_are_those_of_the_next_step():
    data = panel(calendar=True, difference="none")
    batch = batches(data, "val")[0]
    assert data.input_size == 2 + 1 + 6
    assert data.output_size == 2
    known = torch.tensor(data.fitted_values["known_scale"][0]), torch.tensor(data.fitted_values["known_shift"][0])
    values = torch.from_numpy(data.panel.known[:, 0])
    begin = int(data.datasets["val"].stretches[0, 0])
    shown = batch["x"][0, :5, 2] * known[0] + known[1]
    assert torch.allclose(shown.double(), values[begin + 1 : begin + 6], atol=1e-5)
    hour = data.panel.grid.local(data.panel.numbers[begin + 1 : begin + 6]).hour.to_numpy()
    assert np.allclose(batch["x"][0, :5, 3], np.sin(2 * np.pi * hour / 24), atol=1e-6)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("stage", ["val", "test"])
@pytest.mark.parametrize("table", [hourly, weekly])
def test_each_held_out_value_counts_once(stage, table, stream):
    frame = table()
    arguments = PANEL if table is hourly else {"target": "y", "time": "day"}
    sizes = {"n_steps": 7, "batch_size": 3, "eval_batch_size": 4}
    data = TimeSeries(frame, **arguments, **sizes, difference="none", stream=stream)
    cuts = np.c_[data.cuts, data.panel.lengths]
    at = {"val": 0, "test": 1}[stage]
    expected = []
    for s, offset in enumerate(data.panel.offsets[:-1]):
        expected += data.panel.values[offset + cuts[s, at] : offset + cuts[s, at + 1], 0].tolist()
    found = []
    data.setup()
    rows = data.datasets[stage].stretches[:, 0]
    seen = 0
    for batch in batches(data, stage):
        assert len(batch["x"]) == 4 or not stream, "a carried state needs batches of equal size"
        series = data.datasets[stage].steps.series[rows[seen : seen + len(batch["x"])]]
        seen += len(batch["x"])
        values = batch["y"][..., 0].double() * batch["units"][..., 0] + data.scaling["shift"][series]
        within = torch.arange(values.shape[1]) < batch["lengths"][:, None]
        found += values[batch["mask"] & within].tolist()
    expected = [value for value in expected if not math.isnan(value)]
    assert sorted(found) == pytest.approx(sorted(expected), abs=1e-3)


@pytest.mark.parametrize("difference", ["none", "first", "seasonal"])
@pytest.mark.parametrize("loss", [None, "GaussianNLLLoss"])
def test_metrics_and_predictions_are_in_the_files_units(difference, loss, tmp_path):
    """Of two series of very different sizes: `Trainer.test` and `predict` against the file's own values."""
    frame = hourly()
    frame.loc[frame["site"] == "b", "load"] *= 1000
    frame.loc[[100, 215, 225], "load"] = np.nan
    data = TimeSeries(frame, **PANEL, n_steps=12, difference=difference, calendar=False)
    metrics = ["MeanAbsolutePercentageError", "MeanAbsoluteError"]
    model = Seq2Seq(data.input_size, 2 if loss else 1, hidden_size=4, loss=loss, metrics=metrics)
    trainer = Trainer(accelerator="cpu", logger=False, enable_progress_bar=False, enable_model_summary=False)
    (logged,) = trainer.test(model, data, verbose=False)
    found, truth = [], []
    for batch in data.test_dataloader():
        result = model.predict_step(batch, 0)
        counts = ~result["y"].isnan()
        assert int(counts.sum()) == int((batch["mask"] & (torch.arange(24) < batch["lengths"][:, None])).sum())
        found += result["prediction"][counts].tolist()
        truth += result["y"][counts].tolist()
    values = data.panel.values[:, 0]
    starts = data.panel.offsets[:-1] + data.cuts[:, 1]
    expected = np.concatenate([values[s:e] for s, e in zip(starts, data.panel.offsets[1:], strict=True)])
    assert sorted(truth) == pytest.approx(sorted(expected[~np.isnan(expected)]), rel=1e-5)
    errors = np.abs(np.array(found) - truth)
    assert logged["test/mae"] == pytest.approx(errors.mean(), rel=1e-4)
    assert logged["test/MeanAbsoluteError"] == pytest.approx(errors.mean(), rel=1e-4)
    assert logged["test/MeanAbsolutePercentageError"] == pytest.approx((errors / np.abs(truth)).mean(), rel=1e-4)
    if loss is None:
        given = next(histories(data, np.array([1]), np.array([150]), 1))
        model.requires_grad_(False)
        ahead = data.forecaster(model.net)(given.y, None, None, given.shift, given.scale)[0]
        window = stretches(data.panel.offsets[:-1], np.array([0, 151]), np.array([0, 152]), data.lead, data.n_steps)[
            -1:
        ]
        one = Stretches(data.datasets["test"].steps, window, 12).__getitems__([0])
        last = int(one["lengths"]) - 1
        assert float(model.predict_step(one, 0)["prediction"][0, last]) == pytest.approx(float(ahead[0, -1]), rel=1e-4)
    model.horizon = 3
    with pytest.raises(ArgumentError, match="use rnn_lightning"):
        model.predict_step(next(iter(data.test_dataloader())), 0)


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10_000), difference=st.sampled_from(["auto", "none", "first", "seasonal"]), stream=st.booleans()
)
def test_the_test_part_reaches_nothing_before_it(seed, difference, stream):
    """Other values there: the same fitted values, training batches and validation batches."""
    rng = np.random.default_rng(seed)
    table, other = hourly(seed=seed), hourly(seed=seed)
    for name, start in (("a", 204), ("b", 170)):  # 15 % of 240 and of 200
        rows = other.index[other["site"] == name][start:]
        other.loc[rows, ["load", "price", "wind"]] = rng.normal(1e4, 1e5, (len(rows), 3))
        # a value stays at the end, so that the part is as long
        other.loc[rng.choice(rows[:-1], 5, replace=False), "load"] = np.nan
    options = {"known": ["price"], "observed": ["wind"], "n_steps": 8, "difference": difference, "stream": stream}
    one, two = (TimeSeries(frame, **PANEL, **options, batch_size=8) for frame in (table, other))
    assert one.fitted_values == two.fitted_values
    for stage in ("train", "val"):
        first, second = batches(one, stage), batches(two, stage)
        assert len(first) == len(second)
        for a, b in zip(first, second, strict=True):
            steps = torch.ones_like(a["x"][..., 0], dtype=torch.bool)
            if "lengths" in a:  # what is past a row's end is read by no network
                steps = torch.arange(a["x"].shape[1]) < a["lengths"][:, None]
            if stage == "val":  # the last validation step's own columns known ahead are of the validation part
                assert torch.equal(a["lengths"], b["lengths"])
            assert torch.equal(a["x"][steps], b["x"][steps])
            mask = a.get("mask", torch.ones_like(a["y"], dtype=torch.bool)) & steps[..., None]
            other_mask = b.get("mask", torch.ones_like(b["y"], dtype=torch.bool)) & steps[..., None]
            assert torch.equal(mask, other_mask)
            assert torch.equal(a["y"][mask], b["y"][mask])
    three = TimeSeries(other.assign(load=other["load"] * 2), **PANEL, **options)
    assert three.fitted_values != one.fitted_values, "the training part does reach them"


def test_fitted_values_are_plain_and_take_the_place_of_fitting():
    frame = hourly()
    data = panel()
    fitted = json.loads(json.dumps(data.fitted_values))
    grown = pd.concat([frame, frame[frame.site == "a"].tail(30).assign(when=lambda d: d.when + pd.Timedelta(hours=30))])
    grown = grown.sort_values(["site", "when"]).assign(
        load=lambda d: d.load * np.where(np.arange(len(d)) > 200, 100, 1)
    )
    again = TimeSeries(grown, fitted=fitted)  # columns and parts are those of the fit
    assert again.fitted_values == fitted
    assert (again.input_size, again.output_size, again.n_steps) == (data.input_size, data.output_size, 12)
    assert again.cuts.tolist() == data.cuts.tolist()
    assert torch.equal(again.scaling["shift"], data.scaling["shift"])
    with pytest.raises(ArgumentError, match="trained with load"):
        TimeSeries(frame, target="wind", observed=[], fitted=fitted)
    with pytest.raises(ArgumentError, match=r"season=7, but .* trained with 24: leave data.season as it was"):
        TimeSeries(frame, season=7, fitted=fitted)
    with pytest.raises(ArgumentError, match=r"column when of .* does not have the same type as in training"):
        TimeSeries(frame.assign(when=frame.groupby("site").cumcount()), fitted=fitted)
    longer = TimeSeries(frame, fitted=fitted, n_steps=500)
    longer.setup("test")
    assert len(list(longer.test_dataloader())) > 0
    with pytest.raises(ArgumentError, match="no train data: give enough for this part, or use shorter windows"):
        longer.train_dataloader()
    with pytest.raises(ArgumentError, match="kind"):
        TimeSeries(frame, **PANEL, fitted={"kind": "text"})


def test_a_file_that_ends_within_the_training_part_is_read_to_its_end_only():
    """Otherwise, the last windows of a series would continue in the next series."""
    frame = hourly()
    data = TimeSeries(frame[frame.groupby("site").cumcount() < 60], fitted=panel().fitted_values)
    assert data.cuts.tolist() == [[60, 60], [60, 60]]
    data.setup("fit")
    starts = data.datasets["train"].starts.numpy()
    assert (data.panel.series[starts] == data.panel.series[starts + data.n_steps]).all()


def test_a_series_that_was_not_in_training_is_scaled_by_itself():
    frame = hourly(("a", "b", "c"), (240, 200, 220))
    frame.loc[frame.site == "c", "load"] *= 1000
    fitted = TimeSeries(frame[frame.site != "c"], **PANEL).fitted_values
    data = TimeSeries(frame, **PANEL, fitted=fitted)
    alone = TimeSeries(
        frame[frame.site == "c"], **PANEL, difference={0: "none", 1: "first", 24: "seasonal"}[data.lags[0]]
    )
    assert data.scaling["scale"][2, 0] == pytest.approx(float(alone.scaling["scale"][0, 0]))
    assert data.scaling["scale"][2, 0] > 100 * data.scaling["scale"][0, 0]


def test_auto_differences_as_the_best_naive_answer():
    rng = np.random.default_rng(0)
    t = np.arange(400)
    for kind, y in {
        0: rng.normal(size=400),
        1: np.cumsum(rng.normal(size=400)),
        12: np.tile(rng.normal(size=12) * 5, 34)[:400] + rng.normal(size=400) * 0.1,
    }.items():
        assert TimeSeries(pd.DataFrame({"y": y, "t": t}), target="y", time="t", season=12).lags == [kind]


def test_parts_by_share_count_and_date():
    dates = panel(val="2024-03-07", test="2024-03-08 00:00")
    assert dates.cuts.tolist() == [[144, 168], [144, 168]]
    assert panel(val=24, test=10).cuts.tolist() == [[206, 230], [166, 190]]
    years = pd.DataFrame({"year": range(1800, 2000), "y": np.arange(200.0)})
    assert TimeSeries(years, target="y", time="year", val=1950, test=20).cuts.tolist() == [[150, 180]]
    assert panel(val=0.1, test=0.2).cuts.tolist() == [[168, 192], [140, 160]]
    shares = TimeSeries(years[:100], target="y", time="year", val=0.29, test=0.29)  # 100 * 0.29 is below 29
    assert shares.cuts.tolist() == [[42, 71]]


@pytest.mark.parametrize("world", [1, 2])
def test_a_stream_reads_every_training_step_once_in_order(world):
    data = panel(stream=True, batch_size=3, n_steps=10, difference="none")

    class Ranked(TimeSeries):
        world_size = world

    data.__class__ = Ranked
    data.setup()
    stream = data.datasets["train"]
    assert data.contiguous
    rows = 3 * world
    where = {tuple(x): at for at, x in enumerate(stream.steps.x.tolist())}
    assert len(where) == len(stream.steps.x)
    positions, resets = [[] for _ in range(rows)], set()
    for begin in range(0, len(stream), rows):
        got = stream.__getitems__(list(range(begin, begin + rows)))
        lengths = got.get("lengths", torch.full((rows,), got["x"].shape[1]))
        assert lengths.max() == got["x"].shape[1] <= 11, "10 steps, and up to 11 in the last batch"
        for row, length in enumerate(lengths.tolist()):
            here = [where[tuple(x)] for x in got["x"][row, :length].tolist()]
            positions[row] += here
            resets |= {at for at, reset in zip(here, got["reset"][row].tolist(), strict=False) if reset}
    read = [at for row in positions for at in row]
    offsets, cuts = data.panel.offsets, data.cuts
    expected = [p for s in range(2) for p in range(offsets[s] + data.lead, offsets[s] + cuts[s, 0] - 1)]
    assert read == expected
    assert resets == {int(offsets[s] + data.lead) for s in range(2)} | {row[0] for row in positions}
    second = stream.__getitems__(list(range(len(stream), len(stream) + rows)))  # the next epoch begins anew
    assert torch.equal(second["x"], stream.__getitems__(list(range(rows)))["x"])


def test_a_history_that_begins_with_a_missing_value_has_the_value_before():
    data = TimeSeries(weekly(), target="y", time="day", n_steps=9, season=4)
    values = torch.from_numpy(data.panel.values)
    assert values[20:22].isnan().all()
    (given,) = histories(data, np.array([0]), np.array([21 + data.lead + 9 - 1]), 1)
    expected = torch.cat((values[19:20], values[22 : 21 + data.lead + 9]))
    torch.testing.assert_close(given.y[0], expected, rtol=0, atol=0, equal_nan=True)


def test_a_missing_known_value_ahead_is_told():
    data = panel()
    with pytest.raises(ArgumentError, match=r"price of the series 'a' is not known at 2024-03-11 00:00:00.*24 steps"):
        check_future(data, 24)
    future = pd.DataFrame(
        [(site, when, 2.0) for site, start in (("a", "2024-03-11"), ("b", "2024-03-09 08:00"))
         for when in pd.date_range(start, periods=24, freq="h")],
        columns=["site", "when", "price"],
    )  # fmt: skip
    check_future(panel(future=future), 24)
    check_future(panel(future=future), 3)  # more is known than the forecast needs
    rows_of_the_file = pd.concat([hourly(), future])
    data = TimeSeries(rows_of_the_file.sort_values(["site", "when"]), **PANEL, known=["price"], n_steps=12)
    check_future(data, 24)
    assert data.panel.lengths.tolist() == [240, 200]
    with pytest.raises(ArgumentError, match="25 steps"):
        check_future(data, 25)


def test_datasets_and_the_module_pickle():
    data = panel()
    data.setup()
    again = pickle.loads(pickle.dumps(data))
    assert torch.equal(again.datasets["train"].__getitems__([5])["x"], data.datasets["train"].__getitems__([5])["x"])
    assert copy.deepcopy(data).fitted_values == data.fitted_values


@pytest.mark.parametrize("scale", ["standard", "none"])
def test_a_series_that_was_not_in_training_is_scaled_as_in_training(scale):
    days = pd.date_range("2024-01-01", periods=60)
    table = pd.concat([pd.DataFrame({"day": days, "id": name, "y": np.sin(np.arange(60.0)) * k + k}) for name, k in
                       (("old", 1.0), ("new", 100.0))])  # fmt: skip
    arguments = {"target": "y", "time": "day", "id": "id", "n_steps": 5, "scale": scale, "difference": "none"}
    trained = TimeSeries(table[table["id"] == "old"], **arguments)
    data = TimeSeries(table, fitted=trained.fitted_values, **arguments)
    shift, size = (data.scaling[name][data.panel.ids.index("new")] for name in ("shift", "scale"))
    assert (shift.item(), size.item()) == ((0.0, 1.0) if scale == "none" else pytest.approx((100, 70), rel=0.1))


@pytest.mark.parametrize(("origin", "day"), [("2024-02-10 12:00", "2024-02-10"), ("2024-02-10", "2024-02-10")])
def test_the_origin_is_the_last_step_at_or_before_it(origin, day):
    table = pd.DataFrame({"day": pd.date_range("2024-01-01", periods=60), "y": np.arange(60.0)})
    data = TimeSeries(table, target="y", time="day", n_steps=5, origin=origin)
    assert data.panel.grid.labels(data.panel.first + origins_of_predict(data)) == [day]
