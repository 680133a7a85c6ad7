"""`scripts/same_seeds.py`: every case trains, and twice to the same weights."""

import pytest
import same_seeds


@pytest.mark.parametrize("name", ["stream", "k1=30, lengths", "one output per sequence, k1=10, k2=25"])
def test_a_seed_gives_the_same_weights_again(name):
    first, again = (same_seeds.weights(same_seeds.CASES[name]) for _ in range(2))
    assert first == again
    assert len(first) == 6  # of the layer and the head


@pytest.mark.slow
def test_every_case_trains():
    assert all(same_seeds.weights(case) for case in same_seeds.CASES.values())
