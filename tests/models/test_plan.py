"""The plan as arithmetic, and the masks along it."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rnn_lightning.models import plan as plans
from rnn_lightning.models.masks import MaskTape
from rnn_lightning.models.plan import Span, Window, end_window, schedule, split, windows
from rnn_lightning.nn import LSTM

lengths_of_time = st.integers(1, 40)


def borders(spans):
    return [(span.start, span.stop) for span in spans]


@settings(deadline=None)
@given(lengths_of_time, lengths_of_time, st.integers(0, 30))
def test_windows_cover_every_step_once_and_restart_where_a_state_is_kept(steps, k1, more):
    k2, kept, covered = k1 + more, {0}, []
    for window in windows(steps, k1, k2):
        start, stop = window.chunk[0].start, window.chunk[-1].stop
        stores = [span.stop for span in window.chunk]
        assert window.begin in kept, "a pass restarts from a state that an earlier one has stored"
        assert window.begin == max(0, start - (k2 - k1))
        assert borders(window.before) == ([(window.begin, start)] if window.begin < start else [])
        assert borders([window.graph]) == [(window.begin, stop)]
        assert stop - window.begin <= k2
        assert stop - start == window.steps == k1 or stop == steps
        assert stores == sorted(set(stores))
        assert all(a.stop == b.start for a, b in zip(window.chunk, window.chunk[1:], strict=False))
        assert not window.dark
        kept |= set(stores)
        covered += range(start, stop)
    assert covered == list(range(steps))


def test_the_example_in_the_docstring_is_the_plan():
    lines = plans.__doc__.split("kept at\n", 1)[1].splitlines()
    for line, window in zip(lines, windows(10, 3, 5), strict=True):
        spans = [f"[{start},{stop})" for start, stop in borders((*window.before, *window.chunk))]
        kept = ", ".join(str(span.stop) for span in window.chunk)
        assert line.split() == f"{window.begin} {' '.join(spans)} {kept}".split()


@settings(deadline=None)
@given(st.lists(st.integers(1, 30), min_size=1, max_size=4), st.integers(1, 12), st.integers(0, 12), st.booleans())
def test_one_loss_at_the_end_has_a_graph_over_each_rows_last_k2_steps(lengths, k1, more, ragged):
    steps, k2 = max(lengths), k1 + more
    lengths = torch.tensor(lengths)
    (window,) = end_window(steps, k1, k2, lengths if ragged else None)
    (tail,) = window.chunk
    for length in lengths.tolist() if ragged else [steps]:
        row = lengths.tolist().index(length)
        begin = tail.start if tail.begins is None else int(tail.begins[row])
        assert begin == max(0, length - k2) or steps <= k2
        end = begin if tail.begins is None else int(window.dark[0].ends[row]) if window.dark else 0
        assert end == begin
    at = 0
    for span in window.dark:
        assert span.start == at
        assert 0 < span.stop - at <= k1
        at = span.stop
    assert at == tail.start


def test_every_device_has_as_many_passes_as_the_one_with_the_most():
    plan = schedule(windows(7, 3, 3), 5, each=True, last=False)
    assert [borders(window.chunk) for window in plan] == [[(0, 3)], [(3, 6)], [(6, 7)], [], []]
    assert [window.begin for window in plan] == [0, 3, 6, 7, 7]
    for each, last, steps in (
        (True, False, [True] * 5),
        (False, True, [False] * 4 + [True]),
        (False, False, [False] * 5),
    ):
        assert [window.ends_step for window in schedule(windows(7, 3, 3), 5, each, last)] == steps


def test_spans_are_cut_where_sequences_begin():
    plan = [Window(0, (Span(2, 6), Span(6, 8)), before=(Span(0, 2),), dark=(Span(0, 1),))]
    (window,) = split(plan, [0, 7, 1, 3, 9])
    assert borders(window.chunk) == [(2, 3), (3, 6), (6, 7), (7, 8)]
    assert borders(window.before) == [(0, 1), (1, 2)]
    assert borders(window.dark) == [(0, 1)]


@settings(deadline=None, max_examples=30)
@given(lengths_of_time, st.integers(1, 10), st.integers(0, 12), st.booleans())
def test_a_step_always_gets_the_same_mask(steps, k1, more, variational):
    layers = LSTM(2, 3, 2, input_dropout=0.3, state_dropout=0.4, variational=variational)
    tape, seen = MaskTape(lambda n: layers.sample_masks(4, n), keep=k1 + more), {}
    for window in windows(steps, k1, k1 + more):
        for first, last in borders((*window.before, *window.chunk)):
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
