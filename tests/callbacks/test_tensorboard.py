"""The event files of whole runs, read with TensorBoard's own reader; and that writing them changes no run."""

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from lightning.pytorch import LightningDataModule, Trainer
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from PIL import Image
from series_tables import weekly
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData
from torch.nn.utils.rnn import pack_padded_sequence
from torch.utils.data import DataLoader

from rnn_lightning.callbacks import (
    TENSORBOARD_CALLBACKS,
    ClassFigures,
    Forecasts,
    GradientReach,
    SeriesFigures,
    VitalSigns,
)
from rnn_lightning.callbacks.hyper_parameters import settings
from rnn_lightning.cli import main
from rnn_lightning.data import TimeSeries
from rnn_lightning.data.series import forecast
from rnn_lightning.figures import COLORS
from rnn_lightning.models import Seq2Seq, Seq2Vec, TruncatedBPTT

pytestmark = pytest.mark.usefixtures("own_folder")
SHORT = ["--trainer.max_epochs=2", "--trainer.log_every_n_steps=2", "--trainer.accelerator=cpu"]
SHORT += [f"--{name}.share=1" for name in ("series_figures", "class_figures", "gradient_reach")]  # draw every time
QUIET = ["--trainer.enable_progress_bar=false", "--trainer.enable_model_summary=false"]
SINE = ["--data.eval_windows=60", "--data.steps_per_epoch=4", "--data.eval_batch_size=25", *SHORT, *QUIET]
VITAL = {
    "train/grad_norm",
    "train/lr",
    "speed/steps_per_second",
    "speed/sequences_per_second",
    "memory/peak_MiB",
}


def read(recipe, version=0):
    events = EventAccumulator(f"runs/{recipe}/version_{version}", size_guidance={"images": 0, "scalars": 0})
    return events.Reload()


def fit(recipe, *arguments):
    main(["fit", "--config", recipe, *arguments])
    return read(recipe)


def pictures(events, tag):
    """Step to image."""
    found = events.Images(tag)
    steps = [event.step for event in found]
    assert steps == sorted(set(steps)), "steps increase"
    return {event.step: np.asarray(Image.open(io.BytesIO(event.encoded_image_string))) for event in found}


DRAWN_IN = {
    "val/window": ("input", "target", "prediction"),
    "val/forecast": ("input", "target", "prediction"),
    "val/error_by_step": ("error",),
    "val/mistakes": ("prediction",),
    "train/gradient_reach": ("reference",),
}
"""What must be seen in each figure, by the colour that the thing has in all of them."""


def to_rgb8(colour):
    return tuple(int(colour[i : i + 2], 16) for i in (1, 3, 5))


def assert_drawn(events, tags):
    """The tags are there; two validations were drawn, at the steps of the validation's loss, and all is in them."""
    assert set(events.Tags()["images"]) == tags
    validations = [event.step for event in events.Scalars("val/loss")]
    assert len(validations) == 2
    for tag in tags:
        images = pictures(events, tag)
        assert list(images) == validations
        for image in images.values():
            colours = {tuple(colour) for colour in np.unique(image.reshape(-1, image.shape[-1]), axis=0).tolist()}
            missing = {name for name in DRAWN_IN.get(tag, ()) if to_rgb8(COLORS[name]) not in colours}
            assert not missing, f"{tag} has no {missing}"
            edges = np.concatenate([image[0], image[-1], image[:, 0], image[:, -1]])
            inside = (image < 128).any(axis=-1).mean()
            assert 0.01 < inside < 0.6, f"{tag} is empty or full"
            assert (edges == 255).all() or tag == "val/mistakes", f"{tag} is cut off at its edge"
    for tag in VITAL:
        values = events.Scalars(tag)
        steps = [event.step for event in values]
        assert steps == sorted(set(steps))
        assert len(steps) >= 2
        assert all(np.isfinite(event.value) and event.value > 0 for event in values)
    assert events.Tags()["graph"]


def settings_and_metrics(events):
    summaries = events.summary_metadata
    start = HParamsPluginData.FromString(summaries["_hparams_/session_start_info"].plugin_data.content)
    experiment = HParamsPluginData.FromString(summaries["_hparams_/experiment"].plugin_data.content)
    assert "_hparams_/session_end_info" in summaries, "the run came to its end"
    names = {info.name.tag for info in experiment.experiment.metric_infos}
    return dict(start.session_start_info.hparams), names


def test_a_series_run():
    events = fit("sine_seq2seq", *SINE)
    assert_drawn(events, {"val/window", "val/forecast", "val/error_by_step", "train/gradient_reach"})
    found, metrics = settings_and_metrics(events)
    assert found["hidden_size"].number_value == 100
    assert found["cell"].string_value == "rnn"
    assert found["n_steps"].number_value == 20
    assert found["lr"].number_value == pytest.approx(0.001)
    assert metrics == {"val/loss", "val/mae", "test/loss", "test/mae"}
    assert metrics <= set(events.Tags()["scalars"]), "each has a value to show"
    assert not {"input_size", "dropout", "bias", "eval_windows"} & set(found), "what follows or is off is left out"


def test_a_classifiers_run(make_mnist, tmp_path):
    data = [f"--data.data_dir={make_mnist(tmp_path / 'mnist')}", "--data.verify=false"]
    small = ["--data.val_size=100", "--data.batch_size=60", "--model.hidden_size=8", "--model.optimizer.lr=1e-4"]
    events = fit("mnist_rnn", *data, *small, *SHORT, *QUIET)
    assert_drawn(events, {"val/confusion", "val/mistakes", "train/gradient_reach"})
    assert settings_and_metrics(events)[1] == {"val/loss", "val/acc", "test/loss", "test/acc"}
    assert {round(event.value, 7) for event in events.Scalars("train/lr")} == {1e-4}


def test_every_callback_can_be_turned_off():
    off = [f"--{name}.enabled=false" for name in TENSORBOARD_CALLBACKS]
    events = fit("sine_tbptt", *SINE, *off)
    assert events.Tags()["images"] == []
    assert not events.Tags()["graph"]
    assert not VITAL & set(events.Tags()["scalars"])
    assert "_hparams_/session_start_info" not in events.summary_metadata
    main(["fit", "--config=sine_tbptt", "--config=runs/sine_tbptt/version_0/config.yaml", *SINE[:2]])
    assert read("sine_tbptt", 1).Tags()["images"] == [], "it stands in the saved configuration, too"


def test_silent_with_another_logger(tmp_path):
    main(["fit", "--config=sine_seq2seq", *SINE, "--trainer.logger=CSVLogger", "--trainer.logger.save_dir=csv"])
    assert list(Path("csv").rglob("metrics.csv"))
    assert not list(tmp_path.rglob("events.*"))


@pytest.mark.parametrize(
    "recipe",
    ["sine_tbptt", *(pytest.param(recipe, marks=pytest.mark.slow) for recipe in ("sine_deep_dropout", "sine_stream"))],
)
def test_a_run_is_the_same_to_the_bit_with_and_without(recipe):
    """Weights, optimizer, and the random numbers that come next, with dropout drawn at every step."""
    stream = [SINE[1], "--data.eval_batch_size=5", "--data.t_max=30", *SHORT, *QUIET]
    of_data = stream if recipe == "sine_stream" else SINE
    arguments = [*of_data, "--model.state_dropout=0.2", "--model.input_dropout=0.1"]
    main(["fit", "--config", recipe, *arguments])
    main(["fit", "--config", recipe, *arguments, *(f"--{name}.enabled=false" for name in TENSORBOARD_CALLBACKS)])
    saved = [
        torch.load(f"runs/{recipe}/version_{version}/checkpoints/last.ckpt", weights_only=True) for version in (0, 1)
    ]
    assert read(recipe, 0).Tags()["images"]
    for key in ("state_dict", "optimizer_states", "ranks", "global_step"):
        torch.testing.assert_close(saved[0][key], saved[1][key], rtol=0, atol=0)


def test_a_resumed_runs_figure_goes_on():
    others = [f"--{name}.enabled=false" for name in TENSORBOARD_CALLBACKS if name != "gradient_reach"]
    main(["fit", "--config=sine_seq2seq", *SINE, *others])
    saved = torch.load("runs/sine_seq2seq/version_0/checkpoints/last.ckpt", weights_only=True)
    assert saved["callbacks"]["GradientReach"]["steps"] == [3, 7]
    before = list(pictures(read("sine_seq2seq", 0), "train/gradient_reach"))
    main(["fit", "--config=sine_seq2seq", *SINE, *others, "--ckpt_path=last", "--trainer.max_epochs=3"])
    saved = torch.load("runs/sine_seq2seq/version_0/checkpoints/last.ckpt", weights_only=True)
    assert saved["callbacks"]["GradientReach"]["steps"] == [3, 7, 11]
    assert list(pictures(read("sine_seq2seq", 0), "train/gradient_reach")) == [*before, 11]


class Figures:
    """Mixed into a callback: keeps its figures instead of writing them."""

    def is_active(self, trainer):
        return not trainer.sanity_checking

    def show(self, trainer, figures):
        self.figures = {tag: draw() for tag, draw in figures.items()}


class Batches(LightningDataModule):
    """Lists of batches; each target is the next input if it says so."""

    contiguous = True

    def __init__(self, train, val, predicts_next_input):
        super().__init__()
        self.train, self.val, self.predicts_next_input = train, val, predicts_next_input

    def train_dataloader(self):
        return DataLoader(self.train, batch_size=None)

    def val_dataloader(self):
        return DataLoader(self.val, batch_size=None)


def run(callback, model, data, val=None, predicts_next_input=False):
    """Two epochs over a data module, or over lists of batches to train and validate on."""
    kept = type("Kept", (Figures, type(callback)), {})()
    silent = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    trainer = Trainer(accelerator="cpu", max_epochs=2, callbacks=[kept], enable_model_summary=False, **silent)
    trainer.fit(model, data if val is None else Batches(data, val, predicts_next_input))
    return kept.figures, trainer


def curve(figure, label):
    return next(line for line in figure.axes[0].get_lines() if line.get_label() == label)


@pytest.mark.parametrize("tbptt", [None, TruncatedBPTT(2, 3)])
def test_the_error_by_step_is_the_mean_over_the_valid_targets(tbptt):
    model = Seq2Seq(2, 3, hidden_size=4, tbptt=tbptt)
    batches = [{"x": torch.randn(4, t, 2), "y": torch.randn(4, t, 3)} for t in (5, 7)]
    batches[0]["mask"] = torch.rand(4, 5) > 0.4
    batches[1]["lengths"] = torch.tensor([6, 2, 1, 6])
    figures, _ = run(SeriesFigures(), model, batches, batches)
    errors, counts = torch.zeros(7), torch.zeros(7)
    for batch in batches:
        steps = batch["x"].shape[1]
        valid = batch.get("mask", torch.ones(4, steps, dtype=torch.bool))
        valid = valid & (torch.arange(steps) < batch.get("lengths", torch.full((4,), steps))[:, None])
        with torch.no_grad():
            square = ((model(batch["x"])[0] - batch["y"]) ** 2).mean(-1)
        errors[:steps] += torch.where(valid, square, 0).sum(0)
        counts[:steps] += valid.sum(0)
    drawn = curve(figures["val/error_by_step"], "held-out error").get_ydata()
    np.testing.assert_allclose(drawn, errors / counts, rtol=1e-5)
    assert np.isnan(drawn[6]), "no sequence has seven steps"
    assert set(figures) == {"val/error_by_step", "val/window"}, "what is asked for is not the next input"


def test_a_series_of_ones_own_has_a_forecast_of_its_second_half():
    series = torch.sin(torch.arange(41) * 0.3).view(1, 41, 1)
    batch = {"x": series[:, :-1], "y": series[:, 1:]}
    model = Seq2Seq(1, 1, hidden_size=8)
    figures, _ = run(SeriesFigures(), model, [batch] * 3, [batch], predicts_next_input=True)
    with torch.no_grad():
        whole = model(batch["x"])[0][0, :, 0]
        y, state = model(batch["x"][:, :20])
        said = [y[:, -1]]
        for _ in range(20):
            y, state = model(said[-1][:, None], state)
            said.append(y[:, -1])
    shown = curve(figures["val/window"], "predictions")
    np.testing.assert_allclose(shown.get_ydata(), whole, rtol=1e-5)
    np.testing.assert_array_equal(shown.get_xdata(), np.arange(1, 41))
    forecast = curve(figures["val/forecast"], "forecast")
    np.testing.assert_allclose(forecast.get_ydata(), torch.cat(said)[:, 0], rtol=1e-4)
    np.testing.assert_array_equal(forecast.get_xdata(), np.arange(20, 41))
    truth = curve(figures["val/forecast"], "true values")
    np.testing.assert_allclose(truth.get_ydata(), series[0, 20:, 0])


def test_a_time_series_is_forecast_from_where_its_validation_part_begins():
    data = TimeSeries(weekly(), target="y", time="day", season=4, n_steps=12, horizon=6)
    model = Seq2Seq(data.input_size, data.output_size, hidden_size=4, state_dropout=0.5)
    figures, _ = run(Forecasts(), model, data)
    history, truth, said = (curve(figures["val/forecast"], name) for name in ("history", "true values", "forecast"))
    begin, values = int(data.cuts[0, 0]), data.panel.values[:, 0]
    np.testing.assert_array_equal(history.get_ydata(), values[begin - 18 : begin])
    np.testing.assert_array_equal(truth.get_ydata(), values[begin : begin + 6])
    data.origin = data.panel.grid.labels([data.panel.first[0] + begin - 1])[0]
    np.testing.assert_allclose(said.get_ydata(), forecast(model.net.eval(), data)["y_forecast"])
    np.testing.assert_array_equal(said.get_xdata(), data.panel.grid.times(data.panel.first[0] + begin + np.arange(6)))


def test_targets_that_are_the_next_inputs_by_chance_are_no_forecast():
    constant = {"x": torch.ones(2, 10, 1), "y": torch.ones(2, 10, 1)}
    figures, _ = run(SeriesFigures(), Seq2Seq(1, 1, hidden_size=4), [constant], [constant])
    assert set(figures) == {"val/error_by_step", "val/window"}
    assert {line.get_label() for line in figures["val/window"].axes[0].get_lines()} == {"targets", "predictions"}


def test_values_predicted_from_tokens_are_drawn():
    batch = {"x": torch.randint(0, 7, (3, 10)), "y": torch.randn(3, 10, 1)}
    model = Seq2Seq(7, 1, hidden_size=4, embedding_size=5)
    figures, _ = run(SeriesFigures(), model, [batch], [batch])
    with torch.no_grad():
        predicted = model(batch["x"])[0][0, :, 0]
    np.testing.assert_allclose(curve(figures["val/window"], "predictions").get_ydata(), predicted, rtol=1e-5)


@pytest.mark.parametrize("begins", ["rows", "steps"])
@pytest.mark.parametrize("tbptt", [None, TruncatedBPTT(3, 5)])
def test_figures_of_a_stream_whose_sequences_begin_within_a_batch(begins, tbptt):
    """The first sequence is drawn to its end, from the state that the batch brings unless it is reset."""
    x = torch.randn(2, 11, 1)
    reset = torch.tensor([True, False]) if begins == "rows" else (torch.arange(22).view(2, 11) == 6)
    batch = {
        "x": x[:, :-1], "y": x[:, 1:], "reset": reset if begins == "rows" else reset[:, :-1],
        "state": [torch.randn(1, 2, 4), torch.randn(1, 2, 4)], "name": {"of": "a stream"}, "number": torch.tensor(3),
    }  # fmt: skip
    model = Seq2Seq(1, 1, cell="lstm", hidden_size=4, carry_state=True, tbptt=tbptt)
    reach, _ = run(GradientReach(), model, [batch] * 2, [batch])
    assert set(reach) == {"train/gradient_reach"}
    figures, _ = run(SeriesFigures(), model, [batch] * 2, [batch], predicts_next_input=True)
    steps = 10 if begins == "rows" else 6
    h, c = (part[:, :1] * float(begins == "steps") for part in batch["state"])
    with torch.no_grad():
        whole, _ = model(x[:1, :steps], (h, c))
        half, _ = model(x[:1, : steps // 2], (h, c))
    shown = curve(figures["val/window"], "predictions")
    np.testing.assert_allclose(shown.get_ydata(), whole[0, :, 0], rtol=1e-4, atol=1e-6)
    forecast = curve(figures["val/forecast"], "forecast")
    np.testing.assert_allclose(forecast.get_ydata()[0], half[0, -1, 0], rtol=1e-4, atol=1e-6)
    np.testing.assert_array_equal(forecast.get_xdata(), np.arange(steps // 2, steps + 1))


def test_a_confusion_matrix_counts_every_sequence():
    model = Seq2Vec(2, 4, hidden_size=4)
    batches = [{"x": torch.randn(n, 5, 2), "y": torch.randint(4, (n,))} for n in (6, 3)]
    figures, _ = run(ClassFigures(), model, batches, batches)
    expected = torch.zeros(4, 4, dtype=torch.int64)
    for batch in batches:
        for truth, row in zip(batch["y"], model(batch["x"])[0], strict=True):
            expected[truth, row.argmax()] += 1
    texts = [text for text in figures["val/confusion"].axes[0].texts if text.get_text()]
    cells = {(text.get_position()[1], text.get_position()[0]): int(text.get_text()) for text in texts}
    assert cells == {(int(i), int(j)): int(expected[i, j]) for i, j in expected.nonzero()}
    assert set(figures) == {"val/confusion"}, "sequences that are no images are not shown"


def test_gradient_reach_is_a_line_for_each_validation_until_they_are_many():
    model = Seq2Seq(1, 1, hidden_size=4, num_layers=2, tbptt=TruncatedBPTT(2, 3))
    batch = {"x": torch.randn(40, 8, 1), "y": torch.randn(40, 8, 1)}
    figures, _ = run(GradientReach(), model, [batch] * 2, [batch])
    panels = figures["train/gradient_reach"].axes[:2]
    for panel in panels:
        solid = [line.get_ydata() for line in panel.get_lines() if line.get_linestyle() == "-"]
        assert len(solid) == 2
        assert all(np.isnan(line[:5]).all() and (line[5:] > 0).all() for line in solid), "k2 = 3 of 8 steps"
        assert [text.get_text() for text in panel.texts] == ["cut: k2 = 3"]


@pytest.mark.parametrize("tbptt", [None, TruncatedBPTT(2, gradient_clip_val=1e-3)])
def test_the_gradients_norm_is_taken_before_clipping(tbptt, tmp_path):
    """With plain SGD at rate 0 every step has the gradient of the first weights."""
    model = Seq2Seq(1, 1, hidden_size=4, tbptt=tbptt, optimizer=lambda p: torch.optim.SGD(p, lr=0.0))
    batch = {"x": torch.randn(3, 4, 1), "y": torch.randn(3, 4, 1)}
    clip = {} if tbptt else {"gradient_clip_val": 1e-3}
    trainer = Trainer(
        accelerator="cpu", max_epochs=1, callbacks=[VitalSigns()], log_every_n_steps=1, enable_progress_bar=False,
        enable_model_summary=False, enable_checkpointing=False, logger=TensorBoardLogger(tmp_path, name="t"), **clip,
    )  # fmt: skip
    trainer.fit(model, DataLoader([batch] * 3, batch_size=None))
    events = EventAccumulator(str(tmp_path / "t/version_0")).Reload()
    model.train()
    whole = model.plan(batch, training=True)[-1]  # the last pass
    state = None if tbptt is None else model.net.layers(batch["x"][:, : whole.begin])[1].detach()
    start = whole.spans[0].start
    loss_sum, targets, *_ = model.chunk_step({"x": batch["x"][:, start:], "y": batch["y"][:, start:]}, state)
    gradients = torch.autograd.grad(loss_sum / targets, list(model.parameters()))
    norm = torch.stack([g.norm() for g in gradients]).norm().item()
    assert [event.value for event in events.Scalars("train/grad_norm")] == pytest.approx([norm] * 3, rel=1e-4)
    assert [event.step for event in events.Scalars("train/grad_norm")] == [0, 1, 2]


@pytest.mark.parametrize("packed", [False, True])
def test_the_speed_counts_sequences(packed, tmp_path):
    """With one optimizer step for each batch of three, it is three times that of the steps."""
    x = torch.randn(3, 4, 1)
    x = pack_padded_sequence(x, torch.tensor([4, 2, 1]), batch_first=True) if packed else x
    trainer = Trainer(
        accelerator="cpu", max_epochs=1, callbacks=[VitalSigns()], log_every_n_steps=2, enable_progress_bar=False,
        enable_model_summary=False, enable_checkpointing=False, logger=TensorBoardLogger(tmp_path, name="t"),
    )  # fmt: skip
    trainer.fit(Seq2Seq(1, 1, hidden_size=4), DataLoader([{"x": x, "y": x}] * 4, batch_size=None))
    events = EventAccumulator(str(tmp_path / "t/version_0")).Reload()
    steps, sequences = ([e.value for e in events.Scalars(f"speed/{of}_per_second")] for of in ("steps", "sequences"))
    assert sequences == pytest.approx([3 * value for value in steps], rel=1e-5)


def test_csv_logger_and_no_logger_from_python(tmp_path):
    batch = {"x": torch.randn(3, 4, 1), "y": torch.randn(3, 4, 1)}
    for logger in (False, CSVLogger(tmp_path)):
        callbacks = [callback() for callback in TENSORBOARD_CALLBACKS.values()]
        silent = {"enable_progress_bar": False, "enable_checkpointing": False, "enable_model_summary": False}
        trainer = Trainer(accelerator="cpu", max_epochs=1, logger=logger, callbacks=callbacks, **silent)
        trainer.fit(Seq2Seq(1, 1), DataLoader([batch], batch_size=None), DataLoader([batch], batch_size=None))
        assert trainer.state.finished


def test_settings_that_are_no_plain_values_are_left_out_of_the_table():
    model = Seq2Seq(1, 1, hidden_size=4)
    model.hparams.update(weights=torch.ones(3), sizes=[1, 2], scale=2.5)
    found = settings(Trainer(accelerator="cpu", logger=False, enable_progress_bar=False), model)
    assert found["scale"] == 2.5
    assert not {"weights", "sizes"} & set(found)
