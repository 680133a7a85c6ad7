"""What docs/time_series.md shows runs as it stands, on data that installed packages ship."""

import re
import shlex
import shutil
from pathlib import Path

import pandas as pd
import pytest
import statsmodels

from rnn_lightning.cli import main

PAGE = (Path(__file__).parents[1] / "docs/time_series.md").read_text()
COMMANDS = re.findall(r"```sh\npython -m rnn_lightning (.*?)\n```", PAGE, re.S)
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, re.S)
QUIET = ["--trainer.enable_progress_bar=false", "--trainer.enable_model_summary=false", "--trainer.accelerator=cpu"]
CO2 = Path(statsmodels.__file__).parent / "datasets/co2/co2.csv"


@pytest.fixture
def run(own_folder):
    """Runs one of the page's commands, with few and cheap epochs."""
    shutil.copy(CO2, "co2.csv")

    def command(words, *more):
        text = next(text for text in COMMANDS if words in text)
        if text.startswith("fit"):
            more = (*more, "--trainer.max_epochs=1", "--data.stride=8", "--model.hidden_size=8")
        main([*shlex.split(text), *([] if text.startswith("export") else QUIET), *more])

    return command


@pytest.mark.slow
def test_from_a_file_to_forecasts_and_an_export(run, capsys):
    run("%Y%m%d")
    assert "MAE over 52 steps" in capsys.readouterr().out
    run("predict")
    folder = Path("runs/co2/version_0")
    header = (folder / "predictions.csv").read_text().splitlines()[0]
    assert header in PAGE
    run("export")
    names = {"pd": pd, "values": pd.read_csv("co2.csv")["co2"].to_numpy()}
    for block in BLOCKS[2:]:
        exec(block, names)
    assert names["year"].shape == (1, 52, 1)
    expected = pd.read_csv(folder / "predictions.csv")["co2_forecast"]
    assert names["year"][0, :, 0].tolist() == pytest.approx(expected.tolist(), rel=1e-5)
    assert names["y_hat"].shape == (1, 1)


def test_one_long_stream(run, capsys):
    run("stream true", "--data.n_steps=52")
    assert "MAE over 52 steps" in capsys.readouterr().out


def test_many_series_from_python(own_folder, capsys):
    names = {"__name__": "page"}
    exec(BLOCKS[0].replace("stride=4", "stride=400, n_steps=24"), names)
    exec(BLOCKS[1].replace("hidden_size=64", "hidden_size=8"), names)
    assert "the same season" in capsys.readouterr().out
    assert list(names["days"]) == ["city", "date", "temp", "temp_forecast", "temp_lower", "temp_upper"]
    assert len(names["days"]) == 48
