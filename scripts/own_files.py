"""Data that come with packages, as the files that you would train on.

pip install statsmodels vega_datasets && pip install --no-deps aeon     # only their data files are read
"""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch.nn.utils.rnn import pad_sequence


def folder_of(package: str) -> Path:
    """Returns the folder of an installed package, without importing it."""
    found = importlib.util.find_spec(package)
    if found is None or found.origin is None:
        sys.exit(f"error: the data are in the package {package}: pip install --no-deps {package}")
    return Path(found.origin).parent


def japanese_vowels(part: str) -> tuple[list[np.ndarray], list[str]]:
    """Returns the sequences (T, 12) and labels of "TRAIN" or "TEST" (Kudo, Toyama & Shimbo 1999)."""
    file = folder_of("aeon") / "datasets" / "data" / "JapaneseVowels" / f"JapaneseVowels_{part}.ts"
    rows = [line.split(":") for line in file.read_text().partition("@data\n")[2].splitlines()]
    sequences = [np.array([channel.split(",") for channel in row[:-1]], dtype=float).T for row in rows]
    return sequences, [row[-1] for row in rows]


def padded(sequences: list[np.ndarray]) -> np.ndarray:
    """Returns sequences (T, I) of several lengths as one array (N, longest T, I)."""
    return np.asarray(pad_sequence([torch.from_numpy(sequence) for sequence in sequences], batch_first=True))


def write_arrays() -> None:
    """Writes the official split of JapaneseVowels as an array file."""
    (train, first), (test, second) = japanese_vowels("TRAIN"), japanese_vowels("TEST")
    lengths = np.array([len(sequence) for sequence in train + test])
    split = np.array(["train"] * len(train) + ["test"] * len(test))
    x = padded(train + test).astype(np.float32)
    np.savez("vowels.npz", x=x, y=np.array(first + second), lengths=lengths, split=split)


def write_series() -> None:
    """Writes weekly CO2 of Mauna Loa, monthly sea temperatures (El Nino), and hourly temperatures of two cities."""
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
    pd.concat(cities).drop_duplicates(["city", "date"]).to_csv("temps.csv", index=False)
