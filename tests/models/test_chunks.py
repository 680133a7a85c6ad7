import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rnn_lightning.models.chunks import MaskTape, windows
from rnn_lightning.nn import LSTM

lengths_of_time = st.integers(1, 40)


@settings(deadline=None)
@given(lengths_of_time, lengths_of_time, st.integers(0, 30))
def test_windows_cover_every_step_once_and_restart_where_a_state_is_kept(steps, k1, more):
    k2, kept, covered = k1 + more, {0}, []
    for begin, start, stop, stores in windows(steps, k1, k2):
        assert begin in kept, "a pass restarts from a state that an earlier one has stored"
        assert begin == max(0, start - (k2 - k1))
        assert stop - begin <= k2
        assert stop - start == k1 or stop == steps
        assert list(stores) == sorted(set(stores))
        assert stores[-1] == stop
        assert all(start < step <= stop for step in stores)
        kept |= set(stores)
        covered += range(start, stop)
    assert covered == list(range(steps))


@settings(deadline=None, max_examples=30)
@given(lengths_of_time, st.integers(1, 10), st.integers(0, 12), st.booleans())
def test_a_step_always_gets_the_same_mask(steps, k1, more, variational):
    layers = LSTM(2, 3, 2, input_dropout=0.3, state_dropout=0.4, variational=variational)
    tape, seen = MaskTape(lambda n: layers.sample_masks(4, n), keep=k1 + more), {}
    for begin, start, _stop, stores in windows(steps, k1, k1 + more):
        for first, last in ((begin, start), *zip((start, *stores), stores, strict=False)):
            if first == last:
                continue
            masks = tape.get(first, last)
            for step in range(first, last):
                here = masks.narrow(step - first, step - first + 1).layers[1].state.keep
                assert torch.equal(seen.setdefault(step, here), here)
    if not variational and steps > 4:
        assert any(not torch.equal(seen[0], mask) for mask in seen.values())


def test_fresh_masks_are_kept_for_k2_steps_only():
    layers = LSTM(2, 3, state_dropout=0.4)
    tape = MaskTape(lambda n: layers.sample_masks(4, n), keep=6)
    for start in range(0, 1000, 5):
        tape.get(start, start + 5)
    assert len(tape._masks.layers[0].state.keep) == 6
