"""From a file to a table, a forecast and an export, as a user types it."""

import csv
import io
import json
import shutil
import subprocess
import sys
from contextlib import redirect_stdout
from pathlib import Path

import numpy as np
import onnxruntime
import pandas as pd
import pytest
import torch
from series_tables import hourly

from rnn_lightning.cli import main

pytestmark = pytest.mark.usefixtures("own_folder")
QUIET = ["--trainer.enable_progress_bar=false", "--trainer.enable_model_summary=false", "--trainer.accelerator=cpu"]
QUIET += [f"--{name}.enabled=false" for name in ("series_figures", "gradient_reach", "network_graph")]
FILE = ["--config=series", "--data.path=sites.csv", "--data.target=load", "--data.time=when", "--data.id=site"]
MORE = ["--data.known=[price]", "--data.observed=[wind]", "--data.n_steps=24", "--data.horizon=6"]
SMALL = ["--model.hidden_size=8", "--trainer.max_epochs=2", *QUIET]
RUN = Path("runs/sites/version_0")


@pytest.fixture(scope="module")
def fitted_sites(tmp_path_factory):
    """The folder of a short run on a panel, and what it printed."""
    folder = tmp_path_factory.mktemp("sites")
    frame = hourly()
    future = frame.groupby("site").tail(10).assign(when=lambda d: d["when"] + pd.Timedelta(hours=10))
    frame = pd.concat([frame, future.assign(load=np.nan, wind=np.nan)]).sort_values(["site", "when"])
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(io.StringIO()) as out:
        patch.chdir(folder)
        frame.to_csv("sites.csv", index=False)
        main(["fit", *FILE, *MORE, *SMALL, "--model.state_dropout=0.1", "--model.variational=true"])
    return folder, out.getvalue()


@pytest.fixture
def fitted(fitted_sites, own_folder):
    """A copy of it in the current folder; what it printed."""
    folder, printed = fitted_sites
    shutil.copytree(folder, own_folder, dirs_exist_ok=True)
    return printed


def test_a_fit_ends_with_a_table_beside_the_naive_answers(fitted, capsys):
    lines = fitted.splitlines()
    at = next(i for i, line in enumerate(lines) if line.startswith("Forecasts of the test part"))
    names = [line.split("  ")[0].strip() for line in lines[at + 1 : at + 5]]
    assert names == ["load", "the network", "the last value", "the same season"]
    assert "wind" not in fitted[fitted.index("Forecasts of") :]
    assert (RUN / "forecasts.txt").read_text().splitlines()[0] == lines[at]
    scores = json.loads((RUN / "forecasts.json").read_text())["scores"]
    assert [score["method"] for score in scores] == ["the network", "the last value", "the same season"]
    assert all(len(score["by_distance"]) == 6 for score in scores)
    capsys.readouterr()
    main(["test", f"--ckpt_path={RUN}/checkpoints/best.ckpt", *QUIET])
    again = capsys.readouterr().out
    assert [line for line in again.splitlines() if line.startswith("the ")] == [
        line for line in lines if line.startswith("the ")
    ]
    assert len(list(RUN.parent.iterdir())) == 1


def test_the_checkpoint_has_the_fitted_values_and_the_configuration_has_not(fitted):
    saved = torch.load(RUN / "checkpoints/best.ckpt", weights_only=True)["fitted"]
    assert saved["kind"] == "series"
    assert saved["ids"] == ["a", "b"]
    assert "fitted" not in (RUN / "config.yaml").read_text()


def test_nothing_is_fitted_again_for_a_test(fitted, capsys):
    """A file whose older part has changed: the scales stay, so the forecasts of the later part stay, too."""
    table = [line for line in fitted.splitlines() if line.startswith("the network")]
    frame = pd.read_csv("sites.csv")
    frame.loc[frame.groupby("site").cumcount() < 60, "load"] *= 50
    frame.to_csv("sites.csv", index=False)
    main(["test", f"--ckpt_path={RUN}/checkpoints/best.ckpt", *QUIET])
    assert [line for line in capsys.readouterr().out.splitlines() if line.startswith("the network")] == table


def predicted(*arguments):
    before = set(RUN.rglob("predictions.csv"))
    main(["predict", f"--ckpt_path={RUN}/checkpoints/best.ckpt", *QUIET, *arguments])
    (path,) = set(RUN.rglob("predictions.csv")) - before
    with open(path) as file:
        return list(csv.DictReader(file))


def test_what_does_not_go_with_the_fit_is_one_line(fitted, fail):
    predict = ["predict", f"--ckpt_path={RUN}/checkpoints/best.ckpt", *QUIET]
    assert "trained with 24" in fail(*predict, "--data.season=7")
    assert "there is no file none.csv" in fail(*predict, "--data.future=none.csv")
    assert "has 1 steps before the forecast" in fail(*predict, "--data.origin=2024-03-01")
    assert "--arrays: the forecasts of a TimeSeries are a table" in fail(*predict, "--arrays=true")


def test_predict_writes_dates_ids_units_and_intervals(fitted, fail):
    rows = predicted()
    assert list(rows[0]) == ["site", "when", "load", "load_forecast", "load_lower", "load_upper"]
    assert [row["site"] for row in rows] == ["a"] * 6 + ["b"] * 6
    assert [row["when"] for row in rows[:2]] == ["2024-03-11 00:00:00", "2024-03-11 01:00:00"]
    assert all(row["load"] == "" for row in rows)
    assert all(float(row["load_lower"]) < float(row["load_forecast"]) < float(row["load_upper"]) for row in rows)
    assert all(20 < float(row["load_forecast"]) < 100 for row in rows), "in the file's units"
    assert (RUN / "predictions.png").is_file()
    assert "price of the series 'a' is not known" in fail(
        "predict", f"--ckpt_path={RUN}/checkpoints/best.ckpt", *QUIET, "--horizon=11"
    )
    assert len(predicted("--horizon=10")) == 20
    past = predicted("--data.origin=2024-03-08 11:00", "--forecasts.samples=20")
    truth = hourly().query("site == 'a'").set_index("when")["load"]
    assert past[0]["when"] == "2024-03-08 12:00:00"
    assert float(past[0]["load"]) == pytest.approx(truth[pd.Timestamp("2024-03-08 12:00")])


LOADED = """
import json, sys
import torch
from rnn_lightning import hub
assert "lightning" not in sys.modules and "pandas" not in sys.modules
forecaster = hub.load_exported("exported")
given = torch.load("given.pt", weights_only=True)
shift, scale = forecaster.scaling("b")
found = forecaster.forecast(given["y"], 6, given["known"], shift, scale)
assert "lightning" not in sys.modules and "pandas" not in sys.modules
print(json.dumps(found[0, :, 0].tolist()))
"""


def test_an_export_gives_the_files_forecast_from_raw_values(fitted):
    """Raw history and columns known ahead are taken from the file by hand; torch alone, and ONNX."""
    expected = [float(row["load_forecast"]) for row in predicted() if row["site"] == "b"]
    main(["export", f"--ckpt_path={RUN}/checkpoints/best.ckpt", "--output=exported"])
    from rnn_lightning import hub

    forecaster = hub.load_exported("exported")
    frame = pd.read_csv("sites.csv", parse_dates=["when"]).query("site == 'b'").reset_index(drop=True)
    last = int(frame["load"].last_valid_index())
    steps = forecaster.lead + 24
    begin = last + 1 - steps
    y = torch.from_numpy(frame.loc[begin:last, ["load", "wind"]].to_numpy(copy=True))[None]
    ahead = frame.loc[begin + 1 : last + 6]
    known = torch.cat(
        (torch.from_numpy(ahead[["price"]].to_numpy(copy=True)), forecaster.calendar(ahead["when"].to_numpy())), -1
    )[None]
    torch.save({"y": y, "known": known}, "given.pt")
    found = subprocess.run([sys.executable, "-c", LOADED], capture_output=True, text=True, timeout=120)
    assert found.returncode == 0, found.stderr
    assert json.loads(found.stdout) == pytest.approx(expected, rel=1e-5)
    session = onnxruntime.InferenceSession("exported/network.onnx")
    shift, scale = (value[None].numpy() for value in forecaster.scaling("b"))
    of_onnx = []
    for step in range(6):
        inputs = {"y": y.numpy(), "known": known[:, : steps + step].numpy(), "shift": shift, "scale": scale}
        next_value = torch.from_numpy(session.run(None, inputs)[0][:, -1:])
        of_onnx.append(float(next_value[0, 0, 0]))
        y = torch.cat((y, next_value), dim=1)
    assert of_onnx == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("stream", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_a_resumed_run_ends_with_the_same_weights(stream):
    hourly().to_csv("sites.csv", index=False)
    arguments = [*FILE, *MORE, *QUIET, "--model.hidden_size=8", "--model.output_dropout=0.2", "--data.stride=4"]
    if stream:
        arguments += ["--data.stream=true", "--model.carry_state=true", "--data.batch_size=4", "--data.n_steps=20"]
        arguments += ["--model.tbptt.k1=10", "--trainer.gradient_clip_val=null"]
    main(["fit", *arguments, "--trainer.max_epochs=3", "--name=whole"])
    main(["fit", *arguments, "--trainer.max_epochs=2", "--name=part"])
    part = Path("runs/part/version_0/checkpoints/last.ckpt")
    main(["fit", *arguments, "--trainer.max_epochs=3", "--name=resumed", f"--ckpt_path={part}"])
    checkpoints = sorted(Path("runs").glob("*/version_*/checkpoints/last.ckpt"), key=lambda path: path.stat().st_mtime)
    whole, resumed = (torch.load(path, weights_only=True) for path in (checkpoints[0], checkpoints[-1]))
    assert whole["global_step"] == resumed["global_step"] > 0
    assert whole["fitted"] == resumed["fitted"]
    for name, value in whole["state_dict"].items():
        assert torch.equal(value, resumed["state_dict"][name]), name


def test_predictions_of_your_own_model_are_written(fail):
    hourly().query("site == 'a'")[["load", "price"]].to_csv("one.csv", index=False)
    own = ["--model=own_parts.Steps", "--data=TimeSeries", "--data.path=one.csv"]
    own += ["--data.known=[price]", "--data.n_steps=24", *QUIET]
    main(["fit", *own, "--trainer.max_epochs=1"])
    main(["predict", *own, "--ckpt_path=best", "--arrays=true"])
    folder = Path("runs/one/version_0")
    assert (folder / "predictions.csv").read_text().startswith("sequence,step,prediction\n0,0,")
    assert (folder / "predictions.npz").is_file()
    assert "Steps makes no forecasts" in fail("predict", *own, "--ckpt_path=best", "--horizon=2")


def test_a_file_as_data_names_the_recipe(fail):
    Path("sales.csv").write_text("day,units\n2024-01-01,3\n")
    for typed in (["--data", "sales.csv"], ["--data=sales.csv"]):
        line = fail("fit", "--config=series", *typed)
        assert "--config series --data.path sales.csv" in line


def test_a_faulty_file_leaves_nothing_on_the_disk(fail):
    Path("sites.csv").write_text("site,when,load\na,2024-01-01,1\na,2024-01-02,oops\n")
    assert "row 3 ('oops')" in fail("fit", *FILE, *QUIET)
    assert "'price'" in fail("fit", *FILE, *QUIET, "--data.known=[price]")
    hourly().to_csv("sites.csv", index=False)
    typed = ["fit", *FILE, *SMALL, "--data.n_steps=24", "--model.loss=GaussianNLLLoss", "--model.output_size=2"]
    assert "cannot forecast load" in fail(*typed)
    for argument, words in (
        ("--model.bidirectional=true", "the backward direction has already read"),
        ("--model=Seq2Vec", "use --model Seq2Seq"),
        ("--model.task=classification", "task=regression"),
        ("--forecasts.samples=10", "no dropout to sample"),
        ("--data.origin=2031-01-01", "has no values at that time"),
        ("--data.stream=true", "cannot be divided among 4000 rows"),
        ("--data.future=none.csv", "no columns are known ahead"),
    ):
        model = [] if argument.startswith("--model=") else ["--model.hidden_size=8"]
        rows = "--data.batch_size=4000"
        assert words in fail("fit", argument, *FILE, *model, *QUIET, "--data.n_steps=24", rows), argument
    Path("sites.csv").write_text("")
    assert "is empty" in fail("fit", *FILE, *QUIET)
    assert [path.name for path in Path().iterdir()] == ["sites.csv"]
