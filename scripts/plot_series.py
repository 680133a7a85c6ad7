"""Draws the synthetic series: left the whole with one training window in bold, right that window's inputs and targets.

python scripts/plot_series.py --out series.png
"""

import argparse

import torch

from rnn_lightning.data import SyntheticSine
from rnn_lightning.data.sine import PREDICT_START, sine_windows, time_series
from rnn_lightning.errors import ArgumentError
from rnn_lightning.figures import save, series_figure

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", default="series.png", help="the PNG to write")
    parser.add_argument("--t_min", type=float, default=0.0, help="where the series begins")
    parser.add_argument("--t_max", type=float, default=30.0, help="where it ends")
    parser.add_argument("--resolution", type=float, default=0.1, help="time from point to point")
    parser.add_argument("--n_steps", type=int, default=20, help="points in the window")
    parser.add_argument("--start", type=float, default=PREDICT_START, help="where the window begins")
    options = parser.parse_args()
    try:
        names = ("t_min", "t_max", "resolution", "n_steps")
        SyntheticSine(**{name: getattr(options, name) for name in names})  # checks them
    except ArgumentError as error:
        parser.error(str(error))
    t = torch.arange(options.t_min, options.t_max, options.resolution, dtype=torch.float64)
    window = sine_windows(torch.tensor([options.start]), options.n_steps, options.resolution)
    t_window = options.start + torch.arange(options.n_steps + 1, dtype=torch.float64) * options.resolution
    points = torch.cat((window["x"][0], window["y"][0, -1:]))
    figure = series_figure(t, time_series(t), t_window, points, name="t sin(t) / 3 + 2 sin(5t)")
    print(save(figure, options.out))
