"""How far gradients reach back in time, over the training."""

from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from rnn_lightning.figures.style import CARD, COLORS, log_scale, new_figure, styled

_LINES = 10  # more would cover each other


def gradient_reach_figure(
    norms: Any,
    steps: Any,
    cut: int | None = None,
    cut_label: str = "gradient cut",
    all_losses: Any | None = None,
    into: Figure | None = None,
) -> Figure:
    """One panel a layer: the gradient's norm against the time step, a line for each look at the training.

    Args:
        norms: (V, L, T) norm of dLoss/dh_t for V looks, L layers and T time steps, of the last step's loss. Zeros are
            not drawn: the gradient does not get there.
        steps: (V,) the training step of each look.
        cut: The first time step that the gradient reaches, where truncated BPTT cuts it; None for none.
        cut_label: What the figure calls that place.
        all_losses: (L, T) the norms of the newest look for the losses of all steps, or None.
        into: A figure that this function gave for fewer looks, to draw into again: half the time of a new one.

    Raises:
        ValueError: The shapes do not fit.
    """
    norms, steps = np.asarray(norms, dtype=float), np.asarray(steps, dtype=int)
    if norms.ndim != 3 or len(norms) != len(steps) or len(steps) == 0:
        raise ValueError(f"norms has shape {norms.shape}, steps {steps.shape}: give (V, L, T) and (V,), V at least 1")
    looks = np.unique(np.linspace(0, len(steps) - 1, min(len(steps), _LINES)).round().astype(int))
    shown = np.where(norms > 0, norms, np.nan)
    place = (steps - steps[0]) / max(steps[-1] - steps[0], 1)  # of each look between the first and the last
    colors = ListedColormap(colormaps["viridis_r"](np.linspace(0.12, 1.0, 128)))  # its yellow is lost on white
    with styled():
        figure = into or _empty(norms.shape[1], norms.shape[2], cut, cut_label, all_losses is not None, colors)
        *panels, bar = figure.axes
        for layer, axes in enumerate(panels):
            for line in [line for line in axes.get_lines() if line.get_gid() == "look"]:
                line.remove()
            for look in looks:
                axes.plot(shown[look, layer], color=colors(place[look]), linewidth=1.4, gid="look")
            if all_losses is not None:
                every = np.asarray(all_losses, dtype=float)[layer]
                every = np.where(every > 0, every, np.nan)
                axes.plot(every, ":", color=COLORS["reference"], linewidth=1.4, gid="look")
            if np.isfinite(shown[looks]).any():
                log_scale(axes)
            axes.relim()
            axes.autoscale_view(scalex=False)
        bar.set_yticks([0, 1], [str(steps[0]), str(steps[-1])])
    return figure


def _empty(layers: int, steps: int, cut: int | None, cut_label: str, dotted: bool, colors: ListedColormap) -> Figure:
    """All but the lines."""
    size = (CARD[0] + 2.6 * (layers - 1), CARD[1])
    figure, panels = new_figure(columns=layers, size=size, margins=(0.86, 1.06, 0.52, 0.36), gap=0.2, sharey=True)
    for layer, axes in enumerate(panels):
        if cut is not None:
            _mark(axes, cut, steps, cut_label)
        top = " (top)" if layer == layers - 1 else ""
        title = "How far gradients reach" if layers == 1 else f"Layer {layer + 1}{top}"
        axes.set(title=title, xlabel="time step t", xlim=(-0.5, steps - 0.5))
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
        axes.tick_params(labelleft=layer == 0)
    panels[0].set_ylabel("norm of dLoss/dhₜ")
    if dotted:
        kinds = [Line2D([], [], color=colors(1.0)), Line2D([], [], color=COLORS["reference"], linestyle=":")]
        panels[0].legend(kinds, ["loss of the last target", "of all targets"], loc="lower right")
    # Not matplotlib's colorbar, which takes as long as a panel.
    bar = figure.add_axes((1 - 0.9 / size[0], 0.52 / size[1], 0.13 / size[0], 1 - 0.88 / size[1]))
    bar.imshow(np.linspace(0, 1, 128)[:, None], cmap=colors, aspect="auto", origin="lower", extent=(0, 1, 0, 1))
    bar.grid(visible=False)
    bar.yaxis.tick_right()
    bar.yaxis.set_label_position("right")
    bar.set(ylabel="training step", xticks=[])
    return figure


def _mark(axes: Axes, cut: int, steps: int, label: str) -> None:
    """A dashed line where the gradient is cut."""
    axes.axvline(cut, color=COLORS["prediction"], linewidth=1.2, linestyle="--")
    text = {"va": "top", "fontsize": 9.5, "color": COLORS["prediction"]}
    axes.text(cut + 0.01 * steps, 0.99, label, text, transform=axes.get_xaxis_transform())
