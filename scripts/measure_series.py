"""Compares the recipe `series` with the naive answers, on series that come with packages.

    pip install statsmodels vega_datasets     # only their data files are read
    python scripts/measure_series.py --seeds 3

Weekly CO2 of Mauna Loa, monthly sea surface temperatures (El Nino), and a panel of hourly temperatures of two cities.
Results are saved in `docs/own_data.json`, and `python scripts/tables.py` puts them into docs/time_series.md.
"""

import importlib.util
import sys
from pathlib import Path

import pandas as pd
from own_data import options_of, run


def folder_of(package: str) -> Path:
    """Returns the folder of an installed package, without importing it."""
    found = importlib.util.find_spec(package)
    if found is None or found.origin is None:
        sys.exit(f"error: the data are in the package {package}: pip install {package}")
    return Path(found.origin).parent


def write() -> None:
    """Writes the three tables as CSV files."""
    tables = folder_of("statsmodels") / "datasets"
    Path("co2.csv").write_bytes((tables / "co2" / "co2.csv").read_bytes())
    wide = pd.read_csv(tables / "elnino" / "elnino.csv")
    months = wide.melt("YEAR", var_name="month", value_name="degrees")
    months["month"] = pd.to_datetime(months["month"] + months["YEAR"].astype(str), format="%b%Y")
    months.sort_values("month")[["month", "degrees"]].to_csv("elnino.csv", index=False)
    folder = folder_of("vega_datasets") / "_data"
    cities = [
        pd.read_csv(folder / f"{file}-temps.csv", parse_dates=["date"]).assign(city=city)
        for file, city in (("sf", "San Francisco"), ("seattle", "Seattle"))
    ]
    hours = pd.concat(cities)
    hours.drop_duplicates(["city", "date"]).to_csv("temps.csv", index=False)


FITS = {
    "series/co2": ["--data.path=co2.csv", "--data.target=co2", "--data.time=date", "--data.time_format=%Y%m%d"],
    "series/elnino": ["--data.path=elnino.csv", "--data.target=degrees", "--data.time=month"],
    "series/temps": [
        *("--data.path=temps.csv", "--data.target=temp", "--data.time=date", "--data.id=city", "--data.stride=4")
    ],
}


if __name__ == "__main__":
    options, others = options_of(__doc__).parse_known_args()
    run({name: ["--config=series", *typed] for name, typed in FITS.items()}, options, others, write)
