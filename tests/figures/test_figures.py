"""What the figures hold, read back from their artists, and that they are drawn without a screen or traces left behind."""

import subprocess
import sys

import matplotlib
import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

from rnn_lightning import figures
from rnn_lightning.figures import COLORS

T = 20
t = torch.arange(T + 1, dtype=torch.float64) * 0.1 + 12.2
values = torch.sin(t)


def lines(axes):
    """Label to line."""
    return {line.get_label(): line for line in axes.get_lines()}


def drawn(figure):
    image = figures.pixels(figure)
    assert image.dtype == np.uint8
    assert image.shape[2] == 3
    edges = np.concatenate([image[0], image[-1], image[:, 0], image[:, -1]])
    assert (edges == 255).all(), "nothing is cut off at the edge"
    assert (image < 128).any(axis=-1).mean() > 0.005, "more than an empty page"
    return image


def named(axes):
    return all((axes.get_title(loc="left"), axes.get_xlabel(), axes.get_ylabel()))


def test_the_series_and_one_window():
    whole_t = np.arange(0, 30, 0.1)
    figure = figures.series_figure(whole_t, np.sin(whole_t), t, values, name="sin t")
    left, right = figure.axes
    assert named(left)
    assert named(right)
    bold = lines(left)["one training window"]
    assert bold.get_linewidth() > lines(left)["sin t"].get_linewidth()
    np.testing.assert_allclose(bold.get_xdata(), t[:-1])
    np.testing.assert_allclose(lines(right)["inputs"].get_ydata(), values[:-1])
    np.testing.assert_allclose(lines(right)["targets"].get_xdata(), t[1:])
    np.testing.assert_allclose(lines(right)["targets"].get_ydata(), values[1:])
    drawn(figure)


def test_predictions_on_a_window_in_the_colours_of_every_figure():
    figure = figures.window_figure(t[:-1], values[:-1], t[1:], values[1:], torch.zeros(1, T, 1))
    found = lines(figure.axes[0])
    assert {name: line.get_color() for name, line in found.items()} == {
        "inputs": COLORS["input"],
        "targets": COLORS["target"],
        "predictions": COLORS["prediction"],
    }
    np.testing.assert_allclose(found["predictions"].get_xdata(), t[1:])
    np.testing.assert_array_equal(found["predictions"].get_ydata(), np.zeros(T))
    drawn(figure)
    assert set(lines(figures.window_figure(t[:-1], None, t[1:], None, values[1:]).axes[0])) == {"predictions"}


def test_a_forecast_begins_where_the_window_ends():
    later = t[-1] + torch.arange(30, dtype=torch.float64) * 0.1
    figure = figures.forecast_figure(t[:-1], values[:-1], later, later.sin() + 1, later.sin())
    found = lines(figure.axes[0])
    assert found["forecast"].get_color() == COLORS["prediction"]
    assert found["true values"].get_color() == COLORS["target"]
    np.testing.assert_allclose(found["forecast"].get_ydata(), later.sin() + 1)
    drawn(figure)
    assert "true values" not in lines(figures.forecast_figure(t, values, later, later.sin()).axes[0])


def test_the_error_by_step_is_logarithmic_unless_it_is_zero():
    errors = np.geomspace(1, 1e-3, T)
    axes = figures.error_by_step_figure(errors, best=errors / 2).axes[0]
    assert axes.get_yscale() == "log"
    np.testing.assert_array_equal(lines(axes)["held-out error"].get_ydata(), errors)
    drawn(axes.figure)
    some = figures.error_by_step_figure([np.nan, 0.0, 0.5]).axes[0]
    assert some.get_yscale() == "linear"
    assert some.get_ylim()[0] == 0
    assert figures.error_by_step_figure(np.zeros(T)).axes[0].get_yscale() == "linear"
    drawn(figures.error_by_step_figure(np.full(T, np.nan)))


def test_a_confusion_matrix_holds_its_counts():
    counts = np.array([[8, 2, 0], [0, 9, 0], [1, 0, 0]])
    axes = figures.confusion_figure(counts).axes[0]
    cells = {
        (text.get_position()[1], text.get_position()[0]): int(text.get_text()) for text in axes.texts if text.get_text()
    }
    assert cells == {(0, 0): 8, (0, 1): 2, (1, 1): 9, (2, 0): 1}
    assert "17 of 20" in axes.get_title(loc="left")
    drawn(axes.figure)
    drawn(figures.confusion_figure(np.eye(40, dtype=int)))
    with pytest.raises(ValueError, match="square"):
        figures.confusion_figure(counts[:2])


def test_gradients_of_any_size_have_room_for_their_numbers():
    norms = np.linspace(0.5, 1, T)[None, None]
    drawn(figures.gradient_reach_figure(norms, [0]))
    drawn(figures.gradient_reach_figure(np.concatenate((norms, norms * np.geomspace(1e-6, 1, T))), [0, 123456]))


def test_mistakes_stand_with_truth_prediction_and_probability():
    images = np.random.default_rng(0).random((8, 28, 28))
    axes = figures.mistakes_figure(images, [3] * 8, [5] * 8, [0.871] * 8).axes[0]
    assert [text.get_text() for text in axes.texts] == ["3 → 5  87%"] * 8
    wall = np.asarray(axes.images[0].get_array())
    assert any(np.array_equal(wall[top : top + 28, :28], images[0]) for top in range(12)), "the first image is whole"
    drawn(axes.figure)
    drawn(figures.mistakes_figure(np.zeros((0, 28, 28)), [], [], []))


def test_gradient_reach_has_a_panel_a_layer_and_no_line_before_the_cut():
    norms = np.ones((30, 2, T)) * np.geomspace(1e-3, 1, T)
    norms[:, :, :10] = 0
    figure = figures.gradient_reach_figure(norms, np.arange(30), cut=10, cut_label="k2 = 10", all_losses=norms[-1] * 2)
    panels = figure.axes[:2]
    assert [panel.get_title(loc="left")[-7:] for panel in panels] == ["layer 2", "layer 1"]
    for panel in panels:
        curves = [line for line in panel.get_lines() if len(line.get_ydata()) == T]
        assert 2 < len(curves) <= 11, "the looks are thinned out"
        assert all(np.isnan(line.get_ydata()[:10]).all() for line in curves)
        assert panel.get_yscale() == "log"
        assert [text.get_text() for text in panel.texts] == ["k2 = 10"]
    drawn(figure)
    drawn(figures.gradient_reach_figure(np.zeros((1, 1, 5)), [0]))
    with pytest.raises(ValueError, match="V, L, T"):
        figures.gradient_reach_figure(norms, np.arange(3))


def test_a_saved_figure_is_whole_and_the_same_bytes_each_time(tmp_path):
    figure = figures.error_by_step_figure([3.0, 2.0, 1.0])
    first = figures.save(figure, tmp_path / "new" / "a.png").read_bytes()
    again = figures.save(figures.error_by_step_figure([3.0, 2.0, 1.0]), tmp_path / "b.png").read_bytes()
    assert first.startswith(b"\x89PNG")
    assert first == again
    assert not list(tmp_path.rglob("*.part"))


def test_neither_pyplot_nor_the_callers_settings_are_touched():
    before = dict(matplotlib.rcParams)
    assert isinstance(figures.error_by_step_figure([1.0]), Figure)
    assert dict(matplotlib.rcParams) == before
    code = (
        "import sys; from rnn_lightning import figures; figures.pixels(figures.error_by_step_figure([1.0, 2.0]))\n"
        "assert not {'matplotlib.pyplot', 'lightning', 'torch'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


@pytest.mark.parametrize("bad", [np.zeros((2, 3)), np.zeros((0, 2, 2))])
def test_what_is_no_series_is_refused(bad):
    with pytest.raises(ValueError, match="one value for each point"):
        figures.error_by_step_figure(bad)
