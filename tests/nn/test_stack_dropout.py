"""Where dropout acts, against a plain loop over torch.nn's cells, and read off layers that only add."""

import itertools

import pytest
import torch
from torch.func import functional_call

from rnn_lightning.nn import force_path

from .helpers import CELLS, DEVICES, assert_same, make, outcome, random_state, twins

B, T, F, H = 3, 4, 2, 3
BOTH = ("auto", "fused", "reference")
WIDTH = 200  # of the layers that only add
PLACES = ("input_dropout", "output_dropout", "state_dropout")


def per_step(layers, masks, lengths=None):
    """The rules of dropout, written plainly: one row and one step at a time over torch.nn's cells.

    The input mask acts on what a cell reads, the output mask on what it hands to the layer above, the state mask on
    the h that a step hands to the next: not on c, not on the step's output, not on the state given at the beginning.
    The final state is what a next step would have read.
    """
    name = {"RNN_TANH": "RNNCell", "RNN_RELU": "RNNCell"}.get(layers.mode, f"{layers.mode}Cell")
    options = {"nonlinearity": layers.mode[4:].lower()} if name == "RNNCell" else {}
    directions = 2 if layers.bidirectional else 1

    def at(mask, p, t, *index):
        return 1.0 if mask is None else mask.keep[(0 if masks.variational else t, *index)].double() / (1 - p)

    def run_row(layer, direction, x, row, h, c):
        """x, a list of the inputs of one row's steps -> its outputs and the final state."""
        suffix = f"_l{layer}" + "_reverse" * direction
        weights = {n.removesuffix(suffix): w for n, w in layers.named_parameters() if n.endswith(suffix)}
        cell = getattr(torch.nn, name)(len(x[0]) if x else 1, layers.hidden_size, bias=layers.bias, **options)
        mask, outputs = masks.layers[layer], [None] * len(x)
        for t in reversed(range(len(x))) if direction else range(len(x)):
            x_t = x[t] * at(mask.input, layers.input_dropout, t, row)
            if layers.mode == "LSTM":
                out, c = functional_call(cell, weights, (x_t, (h, c)))
            else:
                out = functional_call(cell, weights, (x_t, h))
            h = out * at(mask.state, layers.state_dropout, t, direction, row)
            outputs[t] = out
        return outputs, h, c

    def run(x, hx):
        h0, c0 = hx if isinstance(hx, tuple) else (hx, hx)
        batch, steps = x.shape[:2]
        ends = [steps] * batch if lengths is None else lengths.tolist()
        rows = [list(x[row, :end]) for row, end in enumerate(ends)]
        h_final, c_final = [], []
        for layer in range(layers.num_layers):
            outputs = [[[] for _ in range(end)] for end in ends]
            for direction in range(directions):
                index = layer * directions + direction
                finals = []
                for row in range(batch):
                    out, h, c = run_row(layer, direction, rows[row], row, h0[index, row], c0[index, row])
                    finals.append((h, c))
                    for t, out_t in enumerate(out):
                        outputs[row][t].append(out_t)
                h_final.append(torch.stack([h for h, _ in finals]))
                c_final.append(torch.stack([c for _, c in finals]))
            mask = masks.layers[layer].output
            rows = [
                [torch.cat(o) * at(mask, layers.output_dropout, t, row) for t, o in enumerate(outputs[row])]
                for row in range(batch)
            ]
        zero = x.new_zeros(layers.hidden_size * directions)
        output = torch.stack([torch.stack([*row, *[zero] * (steps - len(row))]) for row in rows])
        h, c = torch.stack(h_final), torch.stack(c_final)
        return output, (h, c) if layers.mode == "LSTM" else h

    return run


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("lengths", [None, (2, 4, 0)], ids=["full", "lengths"])
@pytest.mark.parametrize("variational", [False, True], ids=["fresh", "variational"])
@pytest.mark.parametrize("bidirectional", [False, True], ids=["one way", "both ways"])
@pytest.mark.parametrize("num_layers", [1, 2, 3])
@pytest.mark.parametrize("cell", CELLS)
def test_equals_the_plain_loop(cell, num_layers, bidirectional, variational, lengths, device):
    """Outputs, final states and all gradients, with all three dropouts on."""
    options = {"bidirectional": bidirectional, "variational": variational, "bias": num_layers < 3, "device": device}
    layers = make(cell, F, H, num_layers, input_dropout=0.3, output_dropout=0.4, state_dropout=0.5, **options)
    x, hx = torch.randn(B, T, F, dtype=torch.float64, device=device), random_state(layers, B)
    lengths = None if lengths is None else torch.tensor(lengths, device=device)
    masks = layers.sample_masks(B, T)
    expected = outcome(per_step(layers, masks, lengths), layers, x, hx)
    for path in BOTH:
        with force_path(path):
            assert_same(outcome(lambda x, hx: layers(x, hx, lengths, masks), layers, x, hx), expected)


@pytest.mark.parametrize("lengths", [None, (2, 4, 0)], ids=["full", "lengths"])
@pytest.mark.parametrize("variational", [False, True], ids=["fresh", "variational"])
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("cell", CELLS)
def test_each_dropout_alone_equals_the_plain_loop(cell, place, variational, lengths):
    layers = make(cell, F, H, 2, bidirectional=True, variational=variational, **{place: 0.5})
    x, hx = torch.randn(B, T, F, dtype=torch.float64), random_state(layers, B)
    lengths = None if lengths is None else torch.tensor(lengths)
    masks = layers.sample_masks(B, T)
    assert [mask is not None for mask in masks.layers[1]] == [place == p for p in PLACES]
    expected = outcome(per_step(layers, masks, lengths), layers, x, hx)
    for path in BOTH if place == "state_dropout" else (*BOTH, "torch"):
        with force_path(path):
            assert_same(outcome(lambda x, hx: layers(x, hx, lengths, masks), layers, x, hx), expected)


def adder(num_layers=1, sums=True, width=WIDTH, device="cpu", **options):
    """Layers whose every step hands on h_t = relu(x_t + h_(t-1)), or relu(x_t) without `sums`."""
    layers = make("rnn_relu", width, width, num_layers, bias=False, device=device, **options)
    for name, weight in layers.named_parameters():
        torch.nn.init.eye_(weight) if "_ih_" in name or sums else torch.nn.init.zeros_(weight)
    return layers


def is_mask(value, p):
    """Whether every entry is 0 or 1 / (1 - p), and both occur."""
    kept = torch.tensor(1 / (1 - p), dtype=value.dtype, device=value.device)
    near = torch.isclose(value, kept)
    return bool((near | (value == 0)).all() and near.any() and (value == 0).any())


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("path", BOTH)
@pytest.mark.parametrize("variational", [False, True], ids=["fresh", "variational"])
def test_state_dropout_in_a_sum(variational, path, device):
    """Of x = 1, 0, 0, 0, h_t is the product of the masks so far; the step's own output has none of its own mask."""
    layers = adder(state_dropout=0.2, variational=variational, device=device)
    x = torch.zeros(1, 4, WIDTH, dtype=torch.float64, device=device)
    x[:, 0] = 1.0
    h0 = torch.ones(1, 1, WIDTH, dtype=torch.float64, device=device)
    with force_path(path):
        y, final = layers(x, h0)
    assert torch.equal(
        y[0, 0], torch.full_like(y[0, 0], 2.0)
    )  # x + h0: neither the given state nor the output is dropped
    steps = [*(y[0, 1:] / 2), final[0, 0] / 2]
    assert is_mask(steps[0], 0.2)
    for before, after in itertools.pairwise(steps):
        alive = before > 0
        if variational:  # the same units at every step
            torch.testing.assert_close(after, before * 1.25)
        else:
            assert is_mask(after[alive] / before[alive], 0.2)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("path", [*BOTH, "torch"])
@pytest.mark.parametrize("variational", [False, True], ids=["fresh", "variational"])
@pytest.mark.parametrize("place", ["input_dropout", "output_dropout"])
def test_input_and_output_dropout_over_time(place, variational, path, device):
    """Variational: one mask a row, the same at all steps. Fresh: another at each."""
    layers = adder(sums=False, variational=variational, device=device, **{place: 0.4})
    with force_path(path):
        y, final = layers(torch.ones(2, 4, WIDTH, dtype=torch.float64, device=device))
    assert is_mask(y, 0.4)
    assert not torch.equal(y[0], y[1])  # each row has its own
    for t in range(1, 4):
        assert torch.equal(y[:, t], y[:, 0]) == variational
    # Input dropout reaches the state through the step, output dropout does not.
    assert torch.equal(final[0], y[:, -1] if place == "input_dropout" else torch.ones_like(final[0]))


@pytest.mark.parametrize("place", ["input_dropout", "output_dropout"])
def test_every_layer_has_input_and_output_dropout(place):
    y, _ = adder(num_layers=3, sums=False, **{place: 0.2})(torch.ones(2, 4, WIDTH, dtype=torch.float64))
    kept = 1.25**3
    assert torch.isclose(y[y > 0], torch.tensor(kept, dtype=torch.float64)).all()
    assert abs(float((y > 0).double().mean()) - 0.8**3) < 0.05


@pytest.mark.parametrize("path", [*BOTH, "torch"])
@pytest.mark.parametrize("layerwise", [False, True], ids=["stack", "layer by layer"])
def test_torchs_own_dropout_acts_between_layers_only(layerwise, path):
    """With 3 layers two masks, fresh at every step, none on the input or the output; none with 1 layer."""
    options = {"sums": False, "output_dropout": 1e-12} if layerwise else {"sums": False}  # so little never drops
    x = torch.ones(2, 4, WIDTH, dtype=torch.float64)
    layers = adder(num_layers=3, dropout=0.5, **options)
    with force_path(path):
        y, state = layers(x)
        assert set(y.round(decimals=6).unique().tolist()) == {0.0, 4.0}
        assert not torch.equal(y[:, 0], y[:, 1])
        torch.testing.assert_close(state[0], torch.ones_like(state[0]))
        assert is_mask(state[1], 0.5)
        assert torch.equal(layers.eval()(x)[0], x)
        with pytest.warns(UserWarning, match="num_layers greater than 1"):
            one = adder(num_layers=1, dropout=0.5, **options)
        torch.testing.assert_close(one(x)[0], x)


@pytest.mark.parametrize("cell", CELLS)
def test_torchs_own_dropout_drops_what_torch_drops(cell):
    ours, theirs = twins(cell, F, H, 2, bidirectional=True, dropout=0.5)
    x, results = torch.randn(B, T, F, dtype=torch.float64), []
    for layers in (ours, theirs):
        torch.manual_seed(3)
        results.append(outcome(layers, layers, x, None))
    assert_same(*results)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("path", [*BOTH, "torch"])
@pytest.mark.parametrize("cell", CELLS)
def test_no_dropout_in_evaluation(cell, path, device):
    options = {"bidirectional": True, "device": device}
    ours, theirs = (
        make(cell, F, H, 2, dropout=0.5, **dict.fromkeys(PLACES, 0.5), **options),
        twins(cell, F, H, 2, **options)[1],
    )
    theirs.load_state_dict(ours.state_dict())
    x, hx = torch.randn(B, T, F, dtype=torch.float64, device=device), random_state(ours, B)
    before = torch.get_rng_state()
    with force_path(path):
        assert_same(outcome(ours.eval(), ours, x, hx), outcome(theirs, theirs, x, hx))
    assert torch.equal(torch.get_rng_state(), before)  # no random number was drawn


@pytest.mark.parametrize("variational", [False, True], ids=["fresh", "variational"])
@pytest.mark.parametrize("cell", CELLS)
def test_masks_given_act_in_evaluation_too(cell, variational):
    layers = make(cell, F, H, 2, variational=variational, **dict.fromkeys(PLACES, 0.5))
    x, masks = torch.randn(B, T, F, dtype=torch.float64), layers.sample_masks(B, T)
    y = layers(x, masks=masks)[0]
    assert torch.equal(layers.eval()(x, masks=masks)[0], y)
    assert not torch.equal(layers(x)[0], y)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("variational", [False, True], ids=["fresh", "variational"])
@pytest.mark.parametrize("cell", CELLS)
def test_a_seed_draws_the_same_masks(cell, variational, device):
    layers = make(cell, F, H, 2, variational=variational, device=device, **dict.fromkeys(PLACES, 0.5))
    x, results = torch.randn(B, T, F, dtype=torch.float64, device=device), []
    for seed in (3, 3, 4):
        torch.manual_seed(seed)
        results.append(layers(x)[0])
    torch.manual_seed(3)
    results.append(layers(x, masks=layers.sample_masks(B, T))[0])  # what training draws when no masks are given
    assert torch.equal(results[0], results[1])
    assert not torch.equal(results[0], results[2])
    assert torch.equal(results[0], results[3])
