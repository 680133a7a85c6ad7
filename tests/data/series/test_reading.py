"""Files of every kind are read, and what is wrong with one is reported in one line, with its place."""

import numpy as np
import pandas as pd
import pytest

from rnn_lightning.data import TimeSeries
from rnn_lightning.errors import ArgumentError

DAYS = [f"2024-01-{d:02d}" for d in range(1, 31)]


def table(**columns):
    return pd.DataFrame({"day": DAYS, "y": np.arange(30.0), **columns})


def faulty(name):
    """A file's content and the arguments with which it is read."""
    frame = table()
    if name == "no such column":
        return frame, {"target": "sales"}
    if name == "text":
        frame["y"] = frame["y"].astype(object)
        frame.loc[7, "y"] = "n. b."
    if name == "infinite":
        frame.loc[7, "y"] = np.inf
    if name == "unsorted":
        frame = frame.iloc[[0, 1, 3, 2, *range(4, 30)]]
    if name == "twice":
        frame = frame.iloc[[0, 1, 1, *range(2, 30)]]
    if name == "no date":
        frame.loc[9, "day"] = "someday"
    if name == "empty date":
        frame.loc[9, "day"] = None
    if name == "off the grid":
        frame["day"] = frame["day"].where(frame.index != 9, "2024-01-10 07:30")
    if name == "no format":
        return pd.DataFrame({"day": [20240104 + i + (69 if i > 27 else 0) for i in range(50)], "y": 1.0}), {}
    if name == "short":
        frame = pd.concat([frame.assign(id="long"), frame[:4].assign(id="brief")])
        return frame, {"id": "id", "n_steps": 5, "target": "y"}
    if name == "no test part":
        return frame, {"test": "2025-01-01"}
    if name == "no val part":
        return frame, {"val": "2024-01-20", "test": "2024-01-20"}
    if name == "no value":
        frame["y"] = np.nan
    if name == "two targets":
        return table(z=1.0), {"target": None}
    if name == "named twice":
        return frame, {"known": ["y"]}
    if name == "share":
        return frame, {"val": 1.5}
    if name == "no rows":
        frame = frame[:0]
    if name == "no future":
        return table(price=1.0), {"known": ["price"], "future": "none.csv"}
    if name == "no origin":
        return frame, {"origin": "1999-01-01"}
    if name == "calendar":
        return pd.DataFrame({"day": range(30), "y": 1.0}), {"calendar": True}
    return frame, {}


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("no such column", ["'sales'", "day, y"]),
        ("text", ["row 9", "'n. b.'", "column y"]),
        ("infinite", ["row 9", "infinite"]),
        ("unsorted", ["row 5", "2024-01-03", "sort"]),
        ("twice", ["row 4", "2024-01-02", "keep one"]),
        ("no date", ["row 11", "'someday'"]),
        ("empty date", ["row 11", "empty"]),
        ("off the grid", ["row 11", "2024-01-10T07:30", "one day"]),
        ("no format", ["time_format %Y%m%d"]),
        ("short", ["'brief'", "n_steps=5"]),
        ("no test part", ["no test part", "2025-01-01"]),
        ("no val part", ["no val part"]),
        ("no value", ["no value at all"]),
        ("two targets", ["data.target", "y, z"]),
        ("named twice", ["'y'", "twice"]),
        ("share", ["val=1.5"]),
        ("no rows", ["no rows"]),
        ("no future", ["none.csv"]),
        ("no origin", ["origin=1999-01-01"]),
        ("calendar", ["calendar=true needs dates"]),
    ],
)
def test_a_faulty_file_gets_one_line(name, words, tmp_path):
    frame, arguments = faulty(name)
    frame.to_csv(tmp_path / "file.csv", index=False)
    with pytest.raises(ArgumentError) as error:
        TimeSeries(tmp_path / "file.csv", **{"target": "y", "time": "day", **arguments})
    message = str(error.value)
    assert "\n" not in message
    assert all(word in message for word in words), message


@pytest.mark.parametrize(
    ("content", "arguments", "words"),
    [
        (b"", {}, "is empty"),
        ("day,y\n2024-01-01,\xe9\n".encode("latin-1"), {}, "encoding"),
        (b"day;y\n2024-01-01;1\n", {}, "separator"),
        (b"day,y\n2024-01-01,1,5\n2024-01-02,2,5\n", {}, "2 columns and 3 values"),
        (b"day,y\n2024-01-01,1\n2024-01-02,2,5\n2024-01-03,2\n", {}, "line 3"),
        (b"day;y\n2024-01-01;1,5\n", {}, "give --data.separator ';'"),
        (b"day\ty\n2024-01-01\t1\n", {}, "give --data.separator tab"),
        (b'day;y\n2024-01-01;"1,5"\n', {"separator": ";"}, "write decimals with a point"),
        (b"day,y\n2024-01-01,1\n", {"separator": "::"}, "the one character between columns"),
        (b"day,y\n2024-01-01,1\n", {"separator": None}, "separator=None: give the one character"),
        (b"\n\n", {}, "has no header"),
        (b"day,y,y\n2024-01-01,1,2\n", {}, "several columns 'y'"),
        (b"day,y\n2024-01-01,1\n", {"encoding": "utf-9"}, "utf-9"),
    ],
)
def test_a_file_that_is_no_table_gets_one_line(content, arguments, words, tmp_path):
    (tmp_path / "file.csv").write_bytes(content)
    with pytest.raises(ArgumentError, match=words) as error:
        TimeSeries(tmp_path / "file.csv", target="y", time="day", **arguments)
    assert "\n" not in str(error.value)


def test_what_is_no_file_and_no_parquet(tmp_path):
    with pytest.raises(ArgumentError, match="there is no file"):
        TimeSeries(tmp_path / "none.csv", target="y")
    (tmp_path / "file.parquet").write_bytes(b"no parquet")
    with pytest.raises(ArgumentError, match="Parquet"):
        TimeSeries(tmp_path / "file.parquet", target="y")
    (tmp_path / "file.xlsx").write_bytes(b"PK")
    for path, words in (("file.xlsx", "save it as CSV"), ("", "is a folder")):
        with pytest.raises(ArgumentError, match=words):
            TimeSeries(tmp_path / path, target="y")
    with pytest.raises(ArgumentError, match="DataFrame"):
        TimeSeries(3, target="y")
    for path, words in (("nowhere://a.csv", "Protocol not known: nowhere"), ("memory://none.csv", "cannot be read")):
        with pytest.raises(ArgumentError, match=words):
            TimeSeries(path, target="y")


@pytest.mark.parametrize("form", ["csv", "parquet", "semicolon", "latin", "frame", "shuffled ids"])
def test_one_table_in_many_forms(form, tmp_path):
    frame = pd.concat([table(id="é"), table(id="b")]).assign(y=np.arange(60.0))
    arguments = {"target": "y", "time": "day", "id": "id", "n_steps": 5}
    path = tmp_path / f"file.{'parquet' if form == 'parquet' else 'csv'}"
    if form == "parquet":
        frame.assign(day=pd.to_datetime(frame["day"])).to_parquet(path)
    elif form == "semicolon":
        frame.to_csv(path, index=False, sep=";")
        arguments["separator"] = ";"
    elif form == "latin":
        frame.to_csv(path, index=False, encoding="latin-1")
        arguments["encoding"] = "latin-1"
    elif form == "shuffled ids":  # the rows of the series take turns
        frame.sort_values("day", kind="stable").to_csv(path, index=False)
    else:
        frame.to_csv(path, index=False)
    data = TimeSeries(frame if form == "frame" else path, **arguments)
    assert data.panel.ids == ["é", "b"]
    assert data.panel.values[:, 0].tolist() == list(range(60))
    assert data.panel.grid.labels([data.panel.first[1] + 29]) == ["2024-01-30"]
    assert data.season == 7


@pytest.mark.parametrize(
    ("times", "time_format", "season", "name", "labels"),
    [
        (pd.date_range("2024-01-31", periods=40, freq="ME"), None, 12, "month", ["2024-01-31", "2024-02-29"]),
        (pd.date_range("2024-01-01", periods=40, freq="MS"), None, 12, "month", ["2024-01-01", "2024-02-01"]),
        (pd.date_range("2020-01-01", periods=40, freq="QS"), None, 1, "3 months", ["2020-01-01", "2020-04-01"]),
        (pd.date_range("1920-12-31", periods=40, freq="YE"), None, 1, "year", ["1920-12-31", "1921-12-31"]),
        (pd.date_range("2024-01-01", periods=40, freq="28D"), None, 1, "4 weeks", ["2024-01-01", "2024-01-29"]),
        (pd.date_range("2024-01-01 07:30", periods=40, freq="h"), None, 24, "hour", ["2024-01-01 07:30:00"]),
        (pd.date_range("2024-01-01", periods=60, freq="B"), None, 7, "day", ["2024-01-01", "2024-01-02"]),
        (pd.Series(range(1700, 1740)), None, 1, "step", ["1700", "1701"]),
        (pd.Series(pd.date_range("1958-03-29", periods=40, freq="7D").strftime("%Y%m%d").astype(int)), "%Y%m%d", 52,
         "week", ["19580329", "19580405"]),
        (pd.Series(pd.date_range("2024-01-01", periods=40).strftime("%d.%m.%Y")), "%d.%m.%Y", 7, "day", ["01.01.2024"]),
    ],
)  # fmt: skip
def test_times_of_every_frequency(times, time_format, season, name, labels):
    frame = pd.DataFrame({"t": times, "y": np.arange(len(times), dtype=float)})
    data = TimeSeries(frame, target="y", time="t", time_format=time_format, n_steps=3)
    grid = data.panel.grid
    assert (data.season, grid.name) == (season, name)
    assert grid.labels(data.panel.first[0] + np.arange(len(labels))) == labels
    numbers = data.panel.numbers
    again, on_grid = grid.numbers(grid.times(numbers))
    assert on_grid.all()
    assert (again == numbers).all()


def test_several_offsets_are_read_as_utc_and_written_local():
    utc = pd.date_range("2024-03-30 20:00", periods=30, freq="h", tz="UTC")
    local = [t.isoformat() for t in utc.tz_convert("Europe/Berlin")]
    assert {t[-6:] for t in local} == {"+01:00", "+02:00"}
    data = TimeSeries(pd.DataFrame({"t": local, "y": np.arange(30.0)}), target="y", time="t", n_steps=3)
    assert len(data.panel.values) == 30
    assert data.panel.grid.labels([data.panel.first[0] + 29]) == ["2024-04-01 03:00:00+02:00"]


def test_absent_steps_are_missing_and_leading_ones_are_left_out():
    frame = table()
    frame.loc[:2, "y"] = np.nan
    frame = frame.drop(index=[10, 11])
    data = TimeSeries(frame, target="y", time="day", n_steps=4)
    assert np.isnan(data.panel.values[:, 0]).nonzero()[0].tolist() == [7, 8]
    assert data.panel.grid.labels(data.panel.first) == ["2024-01-04"]
    assert data.panel.lengths == [27]


def test_rows_without_times_are_consecutive():
    frame = pd.DataFrame({"id": list("ab") * 20, "y": np.arange(40.0)})
    data = TimeSeries(frame, target="y", id="id", n_steps=3)
    assert data.panel.values[:, 0].tolist() == [*range(0, 40, 2), *range(1, 40, 2)]


@pytest.mark.parametrize(("offset", "labels"), [("Z", "+00:00"), ("+01:00", "+00:00"), ("", "")])
def test_times_of_which_only_the_first_has_an_offset_are_labelled_as_utc(offset, labels):
    hours = pd.date_range("2020-03-24", periods=30, freq="h").strftime("%Y-%m-%dT%H:%M:%S").tolist()
    first = pd.Timestamp(hours[0] + offset)
    utc = first.tz_convert(None) if first.tzinfo else first
    data = TimeSeries(table(day=[hours[0] + offset, *hours[1:]]), target="y", time="day", n_steps=2)
    assert data.panel.grid.labels(data.panel.first[:1]) == [f"{utc}{labels}"]


def test_whole_numbers_of_arrow_are_read_as_any_others(tmp_path):
    numbers, arrow = pd.Series(np.arange(30)), "int64[pyarrow]"
    data = TimeSeries(table(day=numbers.astype(arrow)), target="y", time="day", n_steps=2)
    assert data.panel.grid.labels(data.panel.first[:1]) == ["0"]
    with pytest.raises(ArgumentError, match=r"look like dates: give --data.time_format %Y%m%d"):
        TimeSeries(table(day=(numbers % 28 + 20200101).astype(arrow)), target="y", time="day", n_steps=2)


@pytest.mark.parametrize("fitted", [False, True])
def test_a_series_that_begins_after_the_training_part_is_one_line(fitted):
    days = pd.date_range("2020", periods=40)
    rows = {"day": [*days, *days[25:]], "id": ["old"] * 40 + ["new"] * 15, "y": np.arange(55.0)}
    arguments = {"target": "y", "time": "day", "id": "id", "val": "2020-01-20", "test": "2020-02-05"}
    values = TimeSeries(pd.DataFrame(rows).iloc[:40], **arguments).fitted_values if fitted else None
    if fitted:
        assert TimeSeries(pd.DataFrame(rows), fitted=values, **arguments).cuts[1].tolist() == [0, 10]
    else:
        with pytest.raises(ArgumentError, match=r"new.* has 0 steps in its training part"):
            TimeSeries(pd.DataFrame(rows), **arguments)


def test_dates_in_one_file_and_numbers_in_the_other_are_one_line():
    future = pd.DataFrame({"day": np.arange(31, 40), "holiday": 0.0})
    with pytest.raises(ArgumentError, match=r"column day holds dates in one of the files"):
        TimeSeries(table(holiday=1.0), target="y", time="day", known=["holiday"], future=future, n_steps=2)


@pytest.mark.parametrize("time", [None, "day"])
def test_rows_of_a_future_file_continue_their_own_series(time):
    """Its series are in another order than in the first file, and one of them is known further ahead."""
    days = pd.date_range("2024-01-01", periods=33)
    known = {"a": np.arange(33.0), "b": np.arange(100.0, 132.0)}
    whole = [pd.DataFrame({"day": days[: len(x)], "id": name, "price": x, "y": 1.0}) for name, x in known.items()]
    first = pd.concat([rows[:30] for rows in whole])
    future = pd.concat([rows[30:].drop(columns="y") for rows in reversed(whole)])
    arguments = {"target": "y", "id": "id", "time": time, "known": ["price"], "n_steps": 2}
    panel = TimeSeries(first, future=future, **arguments).panel
    assert panel.lengths.tolist() == [30, 30]
    for name, begin, end in zip(panel.ids, panel.offsets[:-1], panel.offsets[1:], strict=True):
        assert panel.known[begin:end, 0].tolist() == known[name].tolist()
    if time:
        with pytest.raises(ArgumentError, match=r"times that are also in the first file: leave these out"):
            TimeSeries(first, future=pd.concat([whole[0][29:], whole[1][30:]]), **arguments)


def test_gaps_are_filled_from_the_same_series_only():
    rows = {"id": ["a"] * 30 + ["b"] * 30, "y": 1.0, "price": [*range(30), np.nan, np.nan, *range(2, 30)]}
    panel = TimeSeries(pd.DataFrame(rows), target="y", id="id", known=["price"], n_steps=2).panel
    filled = panel.filled(panel.known)[30:, 0]
    assert np.isnan(filled[:2]).all()
    assert filled[2:].tolist() == list(range(2, 30))
