"""Tables as other programs write them: each is read right, or is one line."""

import gzip
import re

import fsspec
import numpy as np
import pandas as pd
import pytest

from rnn_lightning.data import TimeSeries
from rnn_lightning.errors import ArgumentError

DATES = pd.date_range("2024-01-01", periods=40)
TEXT = "day,y\n" + "".join(f"{day.date()},{i}\n" for i, day in enumerate(DATES))


def frame(**columns):
    return pd.DataFrame({"day": DATES, "y": np.arange(40.0), **columns})


def written(form, dates=DATES):
    return "day,y\n" + "".join(f"{day.strftime(form)},{i}\n" for i, day in enumerate(dates))


@pytest.mark.parametrize(
    ("content", "arguments"),
    [
        (b"\xef\xbb\xbf" + TEXT.encode(), {}),
        (TEXT.replace("\n", "\r\n").encode(), {}),
        (TEXT.replace(",", ", ").encode(), {}),
        (TEXT.replace("\n", "\n\n").encode(), {}),
        (TEXT.encode("utf-16"), {"encoding": "utf-16"}),
        (("," + TEXT.replace("\n", "\n7,").removesuffix("7,")).encode(), {"target": None}),  # with pandas' index
        (written("%d/%m/%Y").encode(), {}),
        (written("%m/%d/%Y").encode(), {}),
        (written("%d.%m.%y").encode(), {}),
    ],
    ids=["BOM", "CRLF", "spaces", "empty lines", "UTF-16", "index", "day first", "month first", "two digits"],
)
def test_what_is_read_right(content, arguments, tmp_path):
    (tmp_path / "file.csv").write_bytes(content)
    data = TimeSeries(tmp_path / "file.csv", **{"target": "y", "time": "day", "n_steps": 4, **arguments})
    assert data.columns.target == ["y"]
    assert data.panel.values[:, 0].tolist() == list(range(40))
    first = data.panel.first[0]
    assert data.panel.grid.labels([first, first + 39]) == ["2024-01-01", "2024-02-09"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (gzip.compress(TEXT.encode()), "is compressed: unpack it"),
        (b"PK\x03\x04 and so on", "is compressed: unpack it"),
        (TEXT.encode("utf-16"), "encoding utf-16"),
        (b"PAR1 and so on", "rename it to end in .parquet"),
        (b"# made by hand\n" + TEXT.encode(), "one column and 2 values in row 2"),
        (written("01/%m/%Y", pd.date_range("2020", periods=40, freq="MS")).encode(), "%d/%m/%Y or %m/%d/%Y"),
        (written("%m.01.%y", pd.date_range("2020", periods=40, freq="MS")).encode(), "%d.%m.%y or %m.%d.%y"),
        (written("%Y%m", pd.date_range("2020", periods=40, freq="MS")).encode(), "time_format %Y%m"),
        (written("%H:00", pd.date_range("2020", periods=20, freq="h")).encode(), "without a year, such as '00:00'"),
        (TEXT.replace(",7\n", ",1e39\n").encode(), "beyond 1e+38 in row 9 (1e+39)"),
        pytest.param(
            TEXT.encode() + b"2924-01-01 00:00:00,3\n",
            None,
            marks=pytest.mark.skipif(int(pd.__version__.split(".")[0]) < 3, reason="pandas 2 ends in 2262"),
        ),
        (b"day,y\n" + b"".join(b"%d,1\n" % (10**15 * (i > 20) + i) for i in range(40)), "nearly all of them without"),
        (b"day,y\n" + b"".join(b"%d,1\n" % (2**63 + i) for i in range(40)), "beyond 64 bits"),
    ],
)
def test_what_is_one_line(content, words, tmp_path):
    (tmp_path / "file.csv").write_bytes(content)
    if words is None:  # 900 years of days are few enough
        assert len(TimeSeries(tmp_path / "file.csv", target="y", time="day", test=1, val=1).panel.values) > 300_000
        return
    with pytest.raises(ArgumentError, match=re.escape(words)) as error:
        TimeSeries(tmp_path / "file.csv", target="y", time="day")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("table", "arguments", "words"),
    [
        (frame(y=np.arange(40) + 1j), {}, "type complex128"),
        (frame(y=DATES), {}, "column y has type datetime64"),
        (frame(y=DATES - DATES[0]), {}, "column y has type timedelta64"),
        (frame(price=np.nan), {"known": ["price"]}, "column price has no value at all"),
        (frame(wind=np.nan), {"observed": ["wind"]}, "column wind has no value at all"),
        (frame().set_index("day"), {}, "call reset_index() first"),
        (pd.concat([frame(id=1), frame(id="1")]), {"id": "id"}, "'1' as text and as a number"),
        (frame(day=DATES.tz_localize("Europe/Berlin") + pd.DateOffset(days=70)), {}, "give dates without a time zone"),
        (frame(), {"target": []}, "target names no column"),
        (frame(), {"target": 0}, "target=0: give the name of a column"),
        (frame(), {"id": ["id", "price"]}, "give the name of one column"),
        (frame(), {"known": "price"}, "known='price': give a list of names"),
        (frame(), {"stride": None}, "stride=None: give an integer"),
        (frame(day=DATES.strftime("%Y %j")), {"time_format": "%Q"}, "is not a format for times"),
    ],
)
def test_a_frame_that_is_one_line(table, arguments, words):
    with pytest.raises(ArgumentError, match=re.escape(words)) as error:
        TimeSeries(table, **{"target": "y", "time": "day", **arguments})
    assert "\n" not in str(error.value)


def test_columns_of_any_name_and_an_index_that_is_in_the_file(tmp_path):
    data = TimeSeries(frame().set_axis([0, 1], axis=1), target="1", time="0", n_steps=4)
    assert data.panel.values[:, 0].tolist() == list(range(40))
    frame().set_index("day").to_parquet(tmp_path / "file.parquet")
    data = TimeSeries(tmp_path / "file.parquet", target="y", time="day", n_steps=4)
    assert data.panel.grid.labels(data.panel.first) == ["2024-01-01"]


def test_a_file_on_another_machine():
    with fsspec.open("memory://tables/file.csv", "w") as file:
        file.write(TEXT)
    data = TimeSeries("memory://tables/file.csv", target="y", time="day", n_steps=4)
    assert data.panel.values[:, 0].tolist() == list(range(40))
    with pytest.raises(ArgumentError, match=r"memory://tables/none.csv cannot be read") as error:
        TimeSeries("memory://tables/none.csv", target="y", time="day")
    assert "\n" not in str(error.value)


def test_ids_that_look_like_missing_values(tmp_path):
    """Namibia's code is NA; in other columns such strings are missing values."""
    pd.concat([frame(id="NA"), frame(id="DE")]).to_csv(tmp_path / "file.csv", index=False)
    path = tmp_path / "file.csv"
    path.write_text(path.read_text().replace(",7.0,", ",NA,"))
    data = TimeSeries(path, target="y", time="day", id="id", n_steps=4)
    assert data.panel.ids == ["NA", "DE"]
    assert np.flatnonzero(np.isnan(data.panel.values[:, 0])).tolist() == [7, 47]
