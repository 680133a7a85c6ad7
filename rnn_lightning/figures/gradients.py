"""Draws how far gradients reach back in time, over the course of training."""

from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import ListedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from rnn_lightning.figures.style import CARD, COLORS, log_scale, new_figure, styled

_LINES = 10  # the maximum number of lines in a panel
_COLORS = ListedColormap(colormaps["viridis_r"](np.linspace(0.12, 1.0, 128)))  # without yellow, hard to see on white


def gradient_reach_figure(
    norms: Any,
    steps: Any,
    cut: int | None = None,
    cut_label: str = "gradient cut",
    all_losses: Any | None = None,
) -> Figure:
    """Draws the gradient's norm against the time step, with a panel for each layer and a line for each measurement.

    Args:
        norms: (V, L, T) the norms of dLoss/dh_t for V measurements, L layers and T time steps, where the loss is that
            of the last step. Norms of 0, where no gradient arrives, are not drawn.
        steps: (V,) the training step of each measurement.
        cut: The first time step that the gradient reaches, if truncated BPTT cuts the gradient; otherwise None.
        cut_label: The label of that time step.
        all_losses: (L, T) the norms of the newest measurement for the losses of all steps, or None.

    Raises:
        ValueError: The shapes do not fit together, or there is no measurement.
    """
    norms, steps = np.asarray(norms, dtype=float), np.asarray(steps, dtype=int)
    if norms.ndim != 3 or len(norms) != len(steps) or len(steps) == 0:
        raise ValueError(
            f"norms has shape {norms.shape}, and steps {steps.shape}: give (V, L, T) and (V,), V at least 1"
        )
    looks = np.unique(np.linspace(0, len(steps) - 1, min(len(steps), _LINES)).round().astype(int))
    shown = np.where(norms > 0, norms, np.nan)
    place = (steps - steps[0]) / max(steps[-1] - steps[0], 1)  # from 0 for the first measurement to 1 for the last
    with styled():
        figure = _without_lines(norms.shape[1], norms.shape[2], cut, cut_label, all_losses is not None)
        *panels, bar = figure.axes
        bar.set_yticks([0, 1], [str(step) for step in (steps[0], steps[-1])])
        for layer, axes in enumerate(reversed(panels)):
            for look in looks:
                axes.plot(shown[look, layer], color=_COLORS(place[look]), linewidth=1.4)
            if all_losses is not None:
                every = np.asarray(all_losses, dtype=float)[layer]
                every = np.where(every > 0, every, np.nan)
                axes.plot(every, ":", color=COLORS["reference"], linewidth=1.4)
            if np.isfinite(shown[looks, layer]).any():
                log_scale(axes)
    return figure


def _without_lines(layers: int, steps: int, cut: int | None, cut_label: str, dotted: bool) -> Figure:
    """Draws the figure without lines. Panels are stacked, top layer first, as TensorBoard's cards are narrow."""
    figure, panels = new_figure(rows=layers, size=(CARD[0], CARD[1] + 0.28 * dotted + 1.9 * (layers - 1)))
    panels.reverse()
    for layer, axes in enumerate(panels):
        if cut is not None:
            _mark(axes, cut, steps, cut_label)
        of_layer = "" if layers == 1 else f", layer {layer + 1}"
        axes.set(xlim=(-0.5, steps - 0.5), title=f"How far gradients reach{of_layer}", ylabel="norm of dLoss/dhₜ")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
        axes.tick_params(labelbottom=layer == 0)
    panels[0].set_xlabel("time step t")
    figure.colorbar(ScalarMappable(Normalize(0, 1), _COLORS), ax=panels, label="training step", aspect=30)
    if dotted:
        kinds = [Line2D([], [], color=_COLORS(1.0)), Line2D([], [], color=COLORS["reference"], linestyle=":")]
        figure.legend(
            kinds, ["loss of the last target", "of all targets"], loc="outside upper left", ncols=2, frameon=False
        )
    return figure


def _mark(axes: Axes, cut: int, steps: int, label: str) -> None:
    """Draws a dashed line where the gradient is cut. The label is on the side without gradients if there is room."""
    axes.axvline(cut, color=COLORS["prediction"], linewidth=1.2, linestyle="--")
    room = cut > 0.3 * steps
    text = {"va": "bottom", "ha": "right" if room else "left", "fontsize": 9.5, "color": COLORS["prediction"]}
    x = cut + (-0.015 if room else 0.015) * steps
    axes.text(x, 0.02, label, text, transform=axes.get_xaxis_transform())
