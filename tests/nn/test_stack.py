"""`RecurrentLayers`: forms of input, which path runs, one step at a time, hooks, wrong arguments."""

import pytest
import torch
from torch import nn
from torch.nn.utils import prune
from torch.nn.utils.parametrize import register_parametrization
from torch.nn.utils.rnn import pack_padded_sequence, pack_sequence, pad_packed_sequence

import rnn_lightning.nn.stack as stack_module
from rnn_lightning import ArgumentError
from rnn_lightning.nn import detach_state, force_path
from rnn_lightning.nn.state import map_state

from .helpers import CELLS, DROPPING, NATIVE, assert_same, make, no_masks, outcome, random_state

B, T, F, H = 3, 4, 2, 3
DROPOUTS = {"input_dropout": 0.4, "output_dropout": 0.4, "state_dropout": 0.4}


def no_recurrence(*args, **kwargs):
    raise AssertionError("the loop over time steps ran")


@pytest.fixture
def no_loop(monkeypatch):
    """Any layer that runs step by step fails the test."""
    monkeypatch.setattr(stack_module, "recurrence", no_recurrence)


@pytest.mark.usefixtures("no_loop")
@pytest.mark.parametrize("path", ["torch", "auto", *NATIVE])
@pytest.mark.parametrize("cell", CELLS)
def test_without_state_dropout_no_loop_over_time_runs(cell, path):
    x = torch.randn(B, T, F, dtype=torch.float64)
    with force_path(path):
        for layers in (
            make(cell, F, H, 2),
            make(cell, F, H, 2, input_dropout=0.5, output_dropout=0.5, bidirectional=True),
        ):
            for lengths in (None, torch.tensor([4, 0, 2])):
                layers(x, None, lengths)
            layers(pack_sequence([x[0], x[1, :2]]))
            layers(x[0])
        layers = make(cell, F, H, state_dropout=0.5)
        layers.eval()(x, None, torch.tensor([4, 0, 2]))


@pytest.mark.usefixtures("no_loop")
@pytest.mark.parametrize("cell", CELLS)
def test_the_reference_path_runs_the_loop(cell):
    with force_path("reference"), pytest.raises(AssertionError, match="loop"):
        make(cell, F, H).eval()(torch.randn(B, T, F, dtype=torch.float64))


@pytest.mark.parametrize("cell", CELLS)
def test_the_torch_path_has_no_state_dropout(cell):
    layers, x = make(cell, F, H, state_dropout=0.5), torch.randn(B, T, F, dtype=torch.float64)
    with force_path("torch"), pytest.raises(ArgumentError, match="state_dropout") as caught:
        layers(x)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("form", ["unbatched", "packed", "packed unsorted", "time first"])
@pytest.mark.parametrize("variational", [False, True], ids=["fresh", "variational"])
@pytest.mark.parametrize("cell", CELLS)
def test_every_form_of_input_takes_the_same_masks(cell, variational, form):
    """Rows of masks are rows of the batch, also where packing sorts them."""
    layers = make(cell, F, H, 2, bidirectional=True, variational=variational, **DROPOUTS)
    time_first = make(cell, F, H, 2, bidirectional=True, batch_first=False, **DROPOUTS)
    time_first.load_state_dict(layers.state_dict())
    rows = 1 if form == "unbatched" else B
    lengths = {"packed": torch.tensor([4, 2, 1]), "packed unsorted": torch.tensor([2, 4, 1])}.get(form)
    x, hx = torch.randn(rows, T, F, dtype=torch.float64), random_state(layers, rows)
    masks = layers.sample_masks(rows, T)

    def run(x, hx):
        if form == "unbatched":
            y, state = layers(x[0], map_state(lambda s: s[:, 0], hx), masks=masks)
            return y[None], map_state(lambda s: s[:, None], state)
        if form == "time first":
            y, state = time_first(x.transpose(0, 1), hx, masks=masks)
            return y.transpose(0, 1), state
        packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=form == "packed")
        y, state = layers(packed, hx, masks=masks)
        return pad_packed_sequence(y, batch_first=True, total_length=T)[0], state

    expected = outcome(lambda x, hx: layers(x, hx, lengths, masks), layers, x, hx)
    assert_same(outcome(run, time_first if form == "time first" else layers, x, hx), expected)


@pytest.mark.parametrize("cell", CELLS)
def test_packed_input_draws_masks_in_training(cell):
    layers = make(cell, F, H, state_dropout=0.5)
    packed = pack_sequence([torch.randn(n, F, dtype=torch.float64) for n in (5, 3)])
    assert not torch.equal(layers(packed)[0].data, layers(packed)[0].data)
    layers.eval()
    assert torch.equal(layers(packed)[0].data, layers(packed)[0].data)


@pytest.mark.parametrize("path", DROPPING)
@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize("cell", CELLS)
def test_step_by_step_equals_forward(cell, batch_first, path):
    layers = make(cell, F, H, 2, batch_first=batch_first, state_dropout=0.5).eval()
    x = torch.randn(B, T, F, dtype=torch.float64)
    with force_path(path):
        for hx in (None, random_state(layers, B)):
            y, final = layers(x if batch_first else x.transpose(0, 1), hx)
            y = y if batch_first else y.transpose(0, 1)
            state, one, outputs, ones = hx, map_state(lambda s: s[:, 0], hx), [], []
            for t in range(T):
                out, state = layers.step(x[:, t], state)
                assert out.shape == (B, H)
                outputs.append(out)
                out, one = layers.step(x[0, t], one)  # unbatched
                assert out.shape == (H,)
                ones.append(out)
            torch.testing.assert_close(torch.stack(outputs, dim=1), y)
            torch.testing.assert_close(torch.stack(ones), y[0])
            torch.testing.assert_close(state, final)
            torch.testing.assert_close(one, map_state(lambda s: s[:, 0], final))


def pruned(layers):
    prune.random_unstructured(layers, "weight_hh_l0", 0.5)


def parametrised(layers):
    register_parametrization(layers, "weight_ih_l0", nn.Tanh())


@pytest.mark.parametrize("change", [pruned, parametrised, lambda layers: None])
@pytest.mark.parametrize("options", [{}, {"num_layers": 2}, {"bias": False}], ids=str)
@pytest.mark.parametrize("cell", CELLS)
def test_a_step_takes_the_weights_as_they_are(cell, options, change):
    layers = make(cell, F, H, **options)
    change(layers)
    x, state = torch.randn(B, F, dtype=torch.float64), random_state(layers, B)
    with force_path("torch"):
        y, final = layers(x.unsqueeze(int(layers.batch_first)), state)
    torch.testing.assert_close(layers.step(x, state), (y.squeeze(int(layers.batch_first)), final))


@pytest.mark.parametrize("cell", CELLS)
def test_a_step_takes_the_weights_of_a_functional_call(cell):
    layers, other = make(cell, F, H), make(cell, F, H)
    x, state = torch.randn(B, F, dtype=torch.float64), random_state(layers, B)

    class Step(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = layers

        def forward(self, x, state):
            return self.layers.step(x, state)

    weights = {f"layers.{name}": weight for name, weight in other.named_parameters()}
    torch.testing.assert_close(torch.func.functional_call(Step(), weights, (x, state)), other.step(x, state))


@pytest.mark.parametrize("num_layers", [1, 2])
@pytest.mark.parametrize("cell", CELLS)
def test_a_steps_output_may_be_changed_in_place(cell, num_layers):
    layers = make(cell, F, H, num_layers)
    x, state = torch.randn(B, F, dtype=torch.float64), random_state(layers, B)
    expected = map_state(torch.Tensor.clone, layers.step(x, state)[1])
    y, final = layers.step(x, state)
    y.relu_()
    torch.testing.assert_close(final, expected)
    y.sum().backward()  # torch notices if something that it needs was changed


@pytest.mark.parametrize("cell", CELLS)
def test_a_step_refuses_the_state_of_another_cell(cell):
    layers = make(cell, F, H)
    h = torch.zeros(1, B, H, dtype=torch.float64)
    for wrong in ((h,), (h, h, h)) if cell == "lstm" else ((h, h),):
        with pytest.raises((IndexError, RuntimeError, AttributeError)) as theirs:
            layers(torch.randn(B, 1, F, dtype=torch.float64), wrong)
        with pytest.raises(type(theirs.value)):
            layers.step(torch.randn(B, F, dtype=torch.float64), wrong)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.bool, torch.int64], ids=str)
@pytest.mark.parametrize("cell", CELLS)
def test_masks_of_any_type_count_by_their_values(cell, dtype):
    layers, x = make(cell, F, H, state_dropout=0.5), torch.randn(B, T, F, dtype=torch.float64)
    masks = layers.sample_masks(B, T)
    expected = layers(x, masks=masks)
    torch.testing.assert_close(layers(x, masks=masks.map(lambda keep: keep.to(dtype))), expected)


@pytest.mark.parametrize("cell", CELLS)
def test_step_by_step_with_masks_equals_forward(cell):
    layers = make(cell, F, H, 2, variational=True, **DROPOUTS)
    x, state, outputs = torch.randn(B, T, F, dtype=torch.float64), None, []
    masks = layers.sample_masks(B)
    for t in range(T):
        out, state = layers.step(x[:, t], state, masks)
        outputs.append(out)
    y, final = layers(x, masks=masks)
    torch.testing.assert_close(torch.stack(outputs, dim=1), y)
    torch.testing.assert_close(state, final)


def test_step_refuses_two_directions():
    with pytest.raises(ArgumentError, match="bidirectional=False"):
        make("gru", F, H, bidirectional=True).step(torch.randn(B, F, dtype=torch.float64))


@pytest.mark.parametrize("path", DROPPING)
@pytest.mark.parametrize("form", ["batch", "unbatched", "packed", "step"])
def test_hooks_run_once(form, path):
    layers, calls = make("lstm", F, H, state_dropout=0.5), []
    layers.register_forward_hook(lambda *args: calls.append(args))
    x = torch.randn(B, T, F, dtype=torch.float64)
    with force_path(path):
        if form == "step":
            layers.step(x[:, 0])
        else:
            layers({"batch": x, "unbatched": x[0], "packed": pack_sequence(list(x))}[form])
    assert len(calls) == 1


@pytest.mark.parametrize("path", DROPPING)
@pytest.mark.parametrize("cell", CELLS)
def test_the_graph_through_the_state_can_be_cut(cell, path):
    layers = make(cell, F, H)
    hx = map_state(lambda s: s.requires_grad_(), random_state(layers, B))
    x = torch.randn(B, T, F, dtype=torch.float64)
    with force_path(path):
        y, _ = layers(x, detach_state(hx))
    y.sum().backward()
    assert all(s.grad is None for s in (hx if isinstance(hx, tuple) else (hx,)))


def test_fresh_masks_need_steps():
    layers = make("lstm", F, H, state_dropout=0.5)
    with pytest.raises(ArgumentError, match="give steps") as caught:
        layers.sample_masks(B)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("variational", [False, True], ids=["fresh", "variational"])
@pytest.mark.parametrize("dropout", list(DROPOUTS))
def test_masks_that_do_not_fit_are_refused(dropout, variational):
    layers = make("gru", F, H, 2, variational=variational, **{dropout: 0.5})
    x = torch.randn(B, T, F, dtype=torch.float64)
    sizes = [(B - 1, T), (1, T)] + ([] if variational else [(B, T - 1), (B, T + 1), (B, 1)])
    for batch, steps in sizes:
        with pytest.raises(ArgumentError, match=rf"^masks are for .* sample_masks\({B}, {T}\)") as caught:
            layers(x, masks=layers.sample_masks(batch, steps))
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("cell", CELLS)
def test_layers_one_by_one_equal_the_stack_in_the_forms_of_torch(cell):
    """Masks without any mask in them change nothing."""
    layers = make(cell, F, H, 3, bidirectional=True, **DROPOUTS)
    x, hx = torch.randn(B, T, F, dtype=torch.float64), random_state(layers, B)
    with_none = outcome(lambda x, hx: layers(x, hx, masks=no_masks(layers)), layers, x, hx)
    assert_same(with_none, outcome(layers.eval(), layers, x, hx))
