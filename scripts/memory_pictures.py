"""Draws long-memory figures from `docs/reproduction.json`: how far gradients must reach, and MNIST pixel by pixel."""

import statistics
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from plan import plan, result_of
from tables import value

from rnn_lightning.figures.style import COLORS, log_scale, new_figure, styled

REACHES = {
    "wave": "The wave, 64 steps",
    "adding": "The adding problem, 64 steps",
    "text": "A text, 128 characters a batch",
}
"""The NAMEs of the groups of systems `reach_NAME_k$k`, and the titles of their panels."""
FORGETS = {"adding": 1 / 6}
"""The loss of a model that remembers nothing."""
CELLS = {"gru": ("GRU", "#0072b2"), "lstm": ("LSTM", "#d55e00"), "irnn": ("IRNN", "#009e73")}
BACKS = {784: "-", 196: "--", 28: ":"}
WIDE = 10_000  # there is room for the labels of four powers of ten


def results(state: dict[str, Any], prefix: str) -> dict[str, list[dict[str, Any]]]:
    """Returns the results of systems whose names begin with `prefix`: by the rest of the name, a list over seeds."""
    found: dict[str, list[dict[str, Any]]] = {}
    for run in plan():
        result = result_of(state, run)
        if run.name.startswith(prefix) and result is not None and "error" not in result:
            found.setdefault(run.name.removeprefix(prefix), []).append(result)
    return found


def reach(state: dict[str, Any]) -> Figure | None:
    """Draws loss, time and memory against k1 = k2, with a panel for each task that was run. None if no task was run."""
    found = {name: results(state, f"reach_{name}_k") for name in REACHES}
    found = {name: by_k for name, by_k in found.items() if len(by_k) > 1}
    if not found:
        return None
    with styled():
        figure, panels = new_figure(columns=len(found), size=(5.8 * len(found), 4.6))
        for axes, (name, by_k) in zip(panels, found.items(), strict=True):
            fits = {int(k): by_k[k] for k in sorted(by_k, key=int)}
            lines = [*_losses(axes, fits, name), *_costs(axes, fits)]
        figure.legend(
            lines, [str(line.get_label()) for line in lines], loc="outside lower center", ncols=3, frameon=False
        )
    return figure


def _losses(axes: Axes, by_k: dict[int, list[dict[str, Any]]], name: str) -> list[Line2D]:
    ks = list(by_k)
    losses = [[result["test"]["test/loss"] for result in fits] for fits in by_k.values()]
    means = [statistics.fmean(values) for values in losses]
    lines = axes.plot(
        ks, means, color=COLORS["input"], marker="o", linewidth=2.4, label="test loss (left axis)", zorder=3
    )
    if any(len(values) > 1 for values in losses):
        axes.vlines(ks, [min(values) for values in losses], [max(values) for values in losses], color=COLORS["input"])
    if name in FORGETS:
        axes.axhline(FORGETS[name], color=COLORS["input"], linewidth=1, linestyle=(0, (1, 2)))
        axes.annotate("remembers nothing", (ks[-1], FORGETS[name]), (0, 3), textcoords="offset points", ha="right",
                      fontsize=9, color=COLORS["input"])  # fmt: skip
    axes.set_xscale("log", base=2)
    axes.set_xticks(ks, [str(k) for k in ks])
    axes.minorticks_off()
    log_scale(axes, WIDE)
    seeds = sorted({len(values) for values in losses})
    many = "1 seed" if seeds == [1] else f"{'-'.join(map(str, seeds))} seeds, mean and range"
    axes.set(title=f"{REACHES[name]} ({many})", xlabel="k1 = k2: steps that the gradient flows back")
    axes.set_ylabel("test loss", color=COLORS["input"])
    return lines


def _costs(axes: Axes, by_k: dict[int, list[dict[str, Any]]]) -> list[Line2D]:
    """Draws a step's time and memory as multiples of those for whole sequences, on the second axis."""
    right, lines = axes.twinx(), []
    for metric, words, color, marker in (
        ("milliseconds", "time per step (right axis)", COLORS["prediction"], "s"),
        ("megabytes", "memory per step (right axis)", COLORS["target"], "^"),
    ):
        means = [statistics.fmean(float(value(result, metric) or 0) for result in fits) for fits in by_k.values()]
        ratios = [mean / means[-1] for mean in means]
        lines += right.plot(list(by_k), ratios, color=color, marker=marker, markersize=5, linewidth=1.3, label=words)
    log_scale(right, WIDE)
    right.grid(False)
    right.spines["right"].set_visible(True)
    right.set_ylabel("cost of a step, whole sequences = 1")
    return lines


def pixels(state: dict[str, Any]) -> Figure | None:
    """Draws validation accuracy over updates for MNIST pixel by pixel, in order and permuted. None if none was run."""
    found = {layout: results(state, f"pixels_{layout}_") for layout in ("pixels", "permuted")}
    found = {layout: by_name for layout, by_name in found.items() if by_name}
    if not found:
        return None
    with styled():
        figure, panels = new_figure(columns=len(found), size=(5.6 * len(found), 4.2))
        for axes, (layout, by_name) in zip(panels, found.items(), strict=True):
            for name, fits in by_name.items():
                cell, back = name.split("_")
                words, color = CELLS[cell]
                curves = [result["validation"]["val/acc"] for result in fits]
                updates = [fits[0]["steps"] / len(curves[0]) * (i + 1) for i in range(len(curves[0]))]
                means = [statistics.fmean(values) for values in zip(*curves, strict=True)]
                label = f"{words}, {'whole' if back == '784' else back}"
                axes.plot(updates, means, BACKS[int(back)], color=color, marker="o", markersize=4, label=label)
            axes.axhline(0.1, color=COLORS["reference"], linewidth=0.8)
            axes.set(
                title="Pixel by pixel" if layout == "pixels" else "Permuted", xlabel="updates", ylim=(0, 1),
                ylabel="validation accuracy",
            )  # fmt: skip
            axes.legend(loc="upper left", ncol=1)
    return figure
