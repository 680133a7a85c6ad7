import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rnn_lightning.data.counter_hash import derive_key, splitmix64, uniform

ALL = (1 << 64) - 1


def python_splitmix64(counter, key):
    z = ((counter + 1) * 0x9E3779B97F4A7C15 + key) & ALL
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & ALL
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & ALL
    return z ^ (z >> 31)


def test_splitmix64_gives_the_published_sequence():
    # seed 1234567, as Rosetta Code and other implementations print it
    expected = [6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431]
    assert [int(v) & ALL for v in splitmix64(torch.arange(4), 1234567)] == expected


@given(st.integers(-(2**63), 2**63 - 1), st.integers(0, ALL))
def test_splitmix64_equals_unsigned_arithmetic(counter, key):
    assert int(splitmix64(torch.tensor(counter), key)) & ALL == python_splitmix64(counter & ALL, key)


def test_uniform_is_in_range_for_the_extreme_hashes(monkeypatch):
    bits = torch.tensor([0, -1, 1 << 11, -(2**63)])
    monkeypatch.setattr("rnn_lightning.data.counter_hash.splitmix64", lambda *_: bits)
    assert uniform(bits, 0).tolist() == [0.0, 1 - 2.0**-53, 2.0**-53, 0.5]


@pytest.mark.parametrize("key", [0, 7, ALL])
def test_uniform_numbers_are_uniform_and_not_correlated(key):
    u = uniform(torch.arange(200_000), key)
    n = len(u)
    assert abs(u.mean() - 1 / 2) < 4 * (1 / 12 / n) ** 0.5
    assert abs(u.var() - 1 / 12) < 4 * (1 / 180 / n) ** 0.5
    centred = (u - 1 / 2) * 12**0.5
    for lag in (1, 2, 50):
        assert abs((centred[lag:] * centred[:-lag]).mean()) < 4 / n**0.5
    steps = torch.arange(1, n + 1) / n
    assert (u.sort().values - steps).abs().max() < 1.95 / n**0.5  # Kolmogorov-Smirnov, p = 0.001


def test_keys_differ_by_word_order_and_number():
    keys = [derive_key(*words) for words in [(0,), (1,), (0, 0), (0, 1), (1, 0), (1, 1), (-1,), (0, 0, 0)]]
    assert len(set(keys)) == len(keys)
    assert all(0 <= key <= ALL for key in keys)
