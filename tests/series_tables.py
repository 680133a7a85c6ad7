"""Small tables that the tests of time series read."""

import numpy as np
import pandas as pd


def hourly(ids=("a", "b"), steps=(240, 200), seed=0):
    """A panel of hourly series with a daily season, a column known ahead and one only observed."""
    rng = np.random.default_rng(seed)
    parts = []
    for name, n in zip(ids, steps, strict=True):
        t = pd.date_range("2024-03-01", periods=n, freq="h")
        price = rng.integers(1, 4, n).astype(float)
        noise = rng.normal(0, 0.3, n)
        load = 50 + 10 * np.sin(2 * np.pi * np.arange(n) / 24) - 2 * price + noise + (20 if name == "b" else 0)
        parts.append(pd.DataFrame({"site": name, "when": t, "load": load, "price": price, "wind": rng.normal(size=n)}))
    return pd.concat(parts, ignore_index=True)


def weekly(steps=200, seed=0):
    """One weekly series with a trend, some values missing and some rows absent."""
    rng = np.random.default_rng(seed)
    y = 100 + np.cumsum(rng.normal(0.2, 1, steps))
    table = pd.DataFrame({"day": pd.date_range("2018-01-06", periods=steps, freq="7D"), "y": y})
    table.loc[[20, 21, 90, 150, 180], "y"] = np.nan
    return table.drop(index=[40, 41, 120]).reset_index(drop=True)
