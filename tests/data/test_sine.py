import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rnn_lightning.data import SyntheticSine, sine_windows
from rnn_lightning.data.sine import time_series
from rnn_lightning.errors import ArgumentError


def f(t):
    return t * math.sin(t) / 3 + 2 * math.sin(5 * t)


def made(**settings):
    data = SyntheticSine(**settings)
    data.setup("fit")
    return data


def starts(dataset, indices, low, high):
    """Where these windows start, from their random numbers."""
    return low + dataset.numbers(indices)[:, 0] * (high - low)


def epoch(data, number=0):
    loader = data.train_dataloader()
    loader.sampler.set_epoch(number)
    return torch.cat([batch["x"] for batch in loader])


@given(st.floats(-1e4, 1e4))
def test_series_is_exact(t):
    assert float(time_series(torch.tensor(t, dtype=torch.float64))) == pytest.approx(f(t), rel=1e-12, abs=1e-9)


def test_series_keeps_type_and_shape():
    assert time_series(torch.arange(6).reshape(2, 3)).dtype == torch.float32
    t = torch.linspace(0, 30, 7)
    assert time_series(t).dtype == torch.float32
    # float32 arithmetic in place of float64 is off by more
    assert (time_series(t) - torch.tensor([f(float(v)) for v in t])).abs().max() <= 5e-7


def test_predict_is_the_window_at_12_2():
    data = made()
    (batch,) = list(data.predict_dataloader())
    expected = torch.tensor([f(12.2 + 0.1 * i) for i in range(21)])
    assert batch["x"].shape == batch["y"].shape == (1, 20, 1)
    torch.testing.assert_close(batch["x"][0, :, 0], expected[:20], rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(batch["y"][0, :, 0], expected[1:], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("start", [100.0, 150.5, None])
def test_the_predicted_window_lies_in_the_range_that_is_trained_on(start):
    data = made(t_min=100.0, t_max=198.0, predict_start=start)
    example, longer = data.example(), data.example(80)
    assert float(example["t"][0]) == (100.0 if start is None else start)
    (batch,) = data.predict_dataloader()
    for name in ("x", "y"):
        assert torch.equal(batch[name], example[name])
        assert torch.equal(longer[name][:, :20], example[name])
    assert longer["x"][0, :, 0].tolist() == pytest.approx([f(t) for t in longer["t"][:-1].tolist()], rel=1e-6, abs=1e-6)


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_windows_follow_the_series_one_step_ahead(split):
    data = made(t_min=-3, t_max=8, resolution=0.25, n_steps=7, eval_windows=100)
    dataset = data.datasets[split]
    indices = [0, 5, 99]
    batch = dataset.__getitems__(indices)
    for row, start in enumerate(starts(dataset, indices, -3, 8 - 7 * 0.25).tolist()):
        points = [f(start + 0.25 * i) for i in range(8)]
        assert batch["x"][row, :, 0].tolist() == pytest.approx(points[:7], rel=1e-6, abs=1e-6)
        assert batch["y"][row, :, 0].tolist() == pytest.approx(points[1:], rel=1e-6, abs=1e-6)
    assert batch["x"].dtype == batch["y"].dtype == torch.float32
    assert torch.equal(dataset[5]["x"], batch["x"][1])


@pytest.mark.parametrize("count", [1, 2])
def test_inputs_and_targets_share_no_memory(count):
    batch = sine_windows(torch.arange(count), 5, 0.1)
    before = batch["y"].clone()
    batch["x"].zero_()
    assert torch.equal(batch["y"], before)
    assert batch["x"].is_contiguous()
    assert batch["y"].is_contiguous()


def test_starts_are_uniform_over_the_whole_range():
    dataset = made(t_min=2, t_max=40, n_steps=30, resolution=0.2).datasets["train"]
    n, low, high = 100_000, 2.0, 34.0
    found = starts(dataset, list(range(n)), low, high)
    assert low <= found.min() < found.max() < high
    width = high - low
    assert abs(found.mean() - (low + high) / 2) < 4 * width / (12 * n) ** 0.5
    assert abs(found.var() - width**2 / 12) < 4 * width**2 / (180 * n) ** 0.5
    cumulative = (found.sort().values - low) / width
    assert (cumulative - torch.arange(1, n + 1) / n).abs().max() < 1.95 / n**0.5  # Kolmogorov-Smirnov, p = 0.001


def test_training_windows_are_fresh_in_every_step_and_epoch():
    data = made(steps_per_epoch=10)
    first = torch.cat([epoch(data, number)[:, 0, 0] for number in range(3)])
    assert first.numel() == 1500
    assert first.unique().numel() > 1490  # two floats may agree by chance


@pytest.mark.parametrize("other", [{"batch_size": 25, "steps_per_epoch": 16}, {"num_workers": 2}], ids=str)
def test_training_windows_depend_on_neither_batch_size_nor_workers(other):
    settings = {"batch_size": 50, "steps_per_epoch": 8}
    assert torch.equal(epoch(made(**settings), 1), epoch(made(**{**settings, **other}), 1))


def test_training_windows_depend_on_the_seed_and_the_fixed_sets_do_not(monkeypatch):
    one, two = made(seed=1, eval_windows=60), made(seed=2, eval_windows=60)
    assert torch.equal(epoch(one), epoch(made(seed=1)))
    assert not torch.equal(epoch(one), epoch(two))
    for loader in ("val_dataloader", "test_dataloader"):
        for a, b in zip(getattr(one, loader)(), getattr(two, loader)(), strict=True):
            assert torch.equal(a["x"], b["x"])
    monkeypatch.setenv("PL_GLOBAL_SEED", "2")
    assert torch.equal(epoch(made()), epoch(two))


def test_the_sets_have_no_window_in_common():
    data = made()
    numbers = torch.cat([data.datasets[s].numbers(list(range(10_000))) for s in ("train", "val", "test")])
    assert numbers.unique().numel() == 30_000


def test_sizes_and_lengths():
    data = made(batch_size=8, steps_per_epoch=3, eval_windows=20, eval_batch_size=16)
    assert (data.input_size, data.output_size, data.contiguous) == (1, 1, False)
    assert [len(batch["y"]) for batch in data.train_dataloader()] == [8, 8, 8]
    assert [len(batch["y"]) for batch in data.val_dataloader()] == [16, 4]
    assert [len(batch["y"]) for batch in data.test_dataloader()] == [16, 4]


BAD = {
    "n_steps": ({"n_steps": 0}, "n_steps=0: give an integer of at least 1"),
    "resolution 0": ({"resolution": 0.0}, "resolution must be above 0"),
    "resolution nan": ({"resolution": math.nan}, "resolution must be a finite number"),
    "t_max inf": ({"t_max": math.inf}, "t_max must be a finite number"),
    "t_min text": ({"t_min": "0"}, "t_min must be a finite number"),
    "too long": ({"n_steps": 2000}, "n_steps=2000 .* do not fit .* raise t_max above 200, or lower"),
    "just as long": ({"n_steps": 30, "resolution": 1.0}, "do not fit"),
    "t_max below t_min": ({"t_min": 40.0}, "do not fit"),
    "predict_start below": ({"predict_start": -0.1}, r"predict_start=-0.1 is outside \[t_min=0.0, t_max=30.0\)"),
    "predict_start at the end": ({"predict_start": 30.0}, "predict_start=30.0 is outside"),
    "predict_start nan": ({"predict_start": math.nan}, "predict_start must be a finite number"),
    "steps_per_epoch": ({"steps_per_epoch": 0}, "steps_per_epoch=0: give an integer of at least 1"),
    "eval_windows": ({"eval_windows": 0}, "eval_windows=0: give an integer of at least 1"),
    "batch_size": ({"batch_size": True}, "batch_size=True: give an integer"),
}


@pytest.mark.parametrize(("settings", "message"), BAD.values(), ids=BAD.keys())
def test_bad_values_are_refused_at_construction(settings, message):
    with pytest.raises(ArgumentError, match=message) as caught:
        SyntheticSine(**settings)
    assert "\n" not in str(caught.value)
