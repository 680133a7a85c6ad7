"""The plan as arithmetic, and the masks along it."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rnn_lightning.models import plan as plans
from rnn_lightning.models.masks import MaskTape
from rnn_lightning.models.plan import Pass, Span, end_pass, mark_updates, passes, split
from rnn_lightning.nn import LSTM

lengths_of_time = st.integers(1, 40)


def borders(spans):
    return [(span.start, span.stop) for span in spans]


@settings(deadline=None)
@given(lengths_of_time, lengths_of_time, st.integers(0, 30))
def test_passes_cover_every_step_once_and_restart_where_a_state_is_kept(steps, k1, more):
    k2, kept, covered = k1 + more, {0}, []
    for each_pass in passes(steps, k1, k2):
        start, stop = each_pass.spans[0].start, each_pass.spans[-1].stop
        stores = [span.stop for span in each_pass.spans]
        assert each_pass.begin in kept, "a pass restarts from a state that an earlier one has stored"
        assert each_pass.begin == max(0, start - (k2 - k1))
        assert borders(each_pass.before) == ([(each_pass.begin, start)] if each_pass.begin < start else [])
        assert borders([each_pass.graph]) == [(each_pass.begin, stop)]
        assert stop - each_pass.begin <= k2
        assert stop - start == each_pass.steps == k1 or stop == steps
        assert stores == sorted(set(stores))
        assert all(a.stop == b.start for a, b in zip(each_pass.spans, each_pass.spans[1:], strict=False))
        assert not each_pass.dark
        kept |= set(stores)
        covered += range(start, stop)
    assert covered == list(range(steps))


def test_the_example_in_the_docstring_is_the_plan():
    lines = plans.__doc__.split("kept at\n", 1)[1].splitlines()
    for line, each_pass in zip(lines, passes(10, 3, 5), strict=True):
        spans = [f"[{start},{stop})" for start, stop in borders((*each_pass.before, *each_pass.spans))]
        kept = ", ".join(str(span.stop) for span in each_pass.spans)
        assert line.split() == f"{each_pass.begin} {' '.join(spans)} {kept}".split()


@settings(deadline=None)
@given(st.lists(st.integers(1, 30), min_size=1, max_size=4), st.integers(1, 12), st.integers(0, 12), st.booleans())
def test_one_loss_at_the_end_has_a_graph_over_each_rows_last_k2_steps(lengths, k1, more, ragged):
    steps, k2 = max(lengths), k1 + more
    lengths = torch.tensor(lengths)
    (each_pass,) = end_pass(steps, k1, k2, lengths if ragged else None)
    (tail,) = each_pass.spans
    for length in lengths.tolist() if ragged else [steps]:
        row = lengths.tolist().index(length)
        begin = tail.start if tail.begins is None else int(tail.begins[row])
        assert begin == max(0, length - k2) or steps <= k2
        end = begin if tail.begins is None else int(each_pass.dark[0].ends[row]) if each_pass.dark else 0
        assert end == begin
    at = 0
    for span in each_pass.dark:
        assert span.start == at
        assert 0 < span.stop - at <= k1
        at = span.stop
    assert at == tail.start


def test_every_device_has_as_many_passes_as_the_one_with_the_most():
    plan = mark_updates(passes(7, 3, 3), 5, each=True, last=False)
    assert [borders(each_pass.spans) for each_pass in plan] == [[(0, 3)], [(3, 6)], [(6, 7)], [], []]
    assert [each_pass.begin for each_pass in plan] == [0, 3, 6, 7, 7]
    for each, last, steps in (
        (True, False, [True] * 5),
        (False, True, [False] * 4 + [True]),
        (False, False, [False] * 5),
    ):
        assert [each_pass.updates for each_pass in mark_updates(passes(7, 3, 3), 5, each, last)] == steps


def test_spans_are_cut_where_sequences_begin():
    plan = [Pass(0, (Span(2, 6), Span(6, 8)), before=(Span(0, 2),), dark=(Span(0, 1),))]
    (each_pass,) = split(plan, [0, 7, 1, 3, 9])
    assert borders(each_pass.spans) == [(2, 3), (3, 6), (6, 7), (7, 8)]
    assert borders(each_pass.before) == [(0, 1), (1, 2)]
    assert borders(each_pass.dark) == [(0, 1)]


@settings(deadline=None, max_examples=30)
@given(lengths_of_time, st.integers(1, 10), st.integers(0, 12), st.booleans())
def test_a_step_always_gets_the_same_mask(steps, k1, more, variational):
    layers = LSTM(2, 3, 2, input_dropout=0.3, state_dropout=0.4, variational=variational)
    tape, seen = MaskTape(lambda n: layers.sample_masks(4, n), keep=k1 + more), {}
    for each_pass in passes(steps, k1, k1 + more):
        for first, last in borders((*each_pass.before, *each_pass.spans)):
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
