"""How far gradients reach back in time, over the training."""

from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.cm import ScalarMappable
from matplotlib.colors import ListedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from rnn_lightning.figures.style import CARD, COLORS, new_figure, styled

_LINES = 10  # more would cover each other


def gradient_reach_figure(
    norms: Any, steps: Any, cut: int | None = None, cut_label: str = "gradient cut", all_losses: Any | None = None
) -> Figure:
    """One panel a layer: the gradient's norm against the time step, a line for each look at the training.

    Args:
        norms: (V, L, T) norm of dLoss/dh_t for V looks, L layers and T time steps, of the last step's loss. Zeros are
            not drawn: the gradient does not get there.
        steps: (V,) the optimizer step of each look.
        cut: The first time step that the gradient reaches, where truncated BPTT cuts it; None for none.
        cut_label: What the legend calls that line.
        all_losses: (L, T) the norms of the newest look for the losses of all steps, or None.

    Raises:
        ValueError: The shapes do not fit.
    """
    norms, steps = np.asarray(norms, dtype=float), np.asarray(steps, dtype=float)
    if norms.ndim != 3 or len(norms) != len(steps) or len(steps) == 0:
        raise ValueError(f"norms has shape {norms.shape}, steps {steps.shape}: give (V, L, T) and (V,), V at least 1")
    looks = np.unique(np.linspace(0, len(steps) - 1, min(len(steps), _LINES)).round().astype(int))
    layers = norms.shape[1]
    shown = np.where(norms > 0, norms, np.nan)
    scale = Normalize(steps[0], max(steps[-1], steps[0] + 1))
    colors = ListedColormap(colormaps["viridis_r"](np.linspace(0.12, 1.0, 128)))  # its yellow is lost on white
    with styled():
        size = (CARD[0] + 2.6 * (layers - 1), CARD[1])
        figure, panels = new_figure(columns=layers, size=size, margins=(0.86, 1.06, 0.52, 0.36), gap=0.2, sharey=True)
        for layer, axes in enumerate(panels):
            for look in looks:
                axes.plot(shown[look, layer], color=colors(scale(steps[look])), linewidth=1.4)
            if all_losses is not None:
                everything = np.asarray(all_losses, dtype=float)[layer]
                axes.plot(np.where(everything > 0, everything, np.nan), ":", color=COLORS["reference"], linewidth=1.4)
            if cut is not None:
                axes.axvline(cut, color=COLORS["prediction"], linewidth=1.2, linestyle="--")
                place = axes.get_xaxis_transform()
                text = {"va": "top", "fontsize": 9.5, "color": COLORS["prediction"]}
                axes.text(cut + 0.01 * norms.shape[2], 0.99, cut_label, text, transform=place)
            if np.isfinite(shown[looks]).any():
                axes.set_yscale("log")
            top = " (top)" if layer == layers - 1 else ""
            title = "How far gradients reach" if layers == 1 else f"Layer {layer + 1}{top}"
            axes.set(title=title, xlabel="time step t", xlim=(-0.5, norms.shape[2] - 0.5))
            axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
            axes.tick_params(labelleft=layer == 0)
        if all_losses is not None:
            kinds = [Line2D([], [], color=colors(1.0)), Line2D([], [], color=COLORS["reference"], linestyle=":")]
            panels[0].legend(kinds, ["loss of the last target", "of all targets"], loc="best")
        panels[0].set_ylabel("norm of dLoss/d$h_t$")
        bar = figure.add_axes((1 - 0.86 / size[0], 0.52 / size[1], 0.13 / size[0], 1 - 0.88 / size[1]))
        figure.colorbar(ScalarMappable(scale, colors), cax=bar, label="training step")
        bar.yaxis.set_major_locator(MaxNLocator(integer=True, nbins=5))
    return figure
