"""`RNN`, `LSTM`, `GRU` against torch.nn's layers of these names."""

import copy
import io
import pickle
import subprocess
import sys

import pytest
import torch
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from rnn_lightning import ArgumentError
from rnn_lightning.nn import force_path
from rnn_lightning.nn.stack import RecurrentLayers
from rnn_lightning.nn.state import map_state

from .helpers import CELLS, DEVICES, PATHS, STACKS, assert_same, make, no_masks, outcome, random_state, twins

B, T, F, H = 3, 4, 2, 3
FORMS = ("plain", "lengths", "packed", "packed unsorted", "unbatched", "time first")
LENGTHS = {"lengths": (2, 4, 1), "packed": (4, 2, 1), "packed unsorted": (2, 4, 1)}


def runner(layers, form, masks=None):
    """`run(x, hx)` for x (B, T, F) and hx of all rows in one of `FORMS`; `LENGTHS` go through torch's packing."""
    options = {} if masks is None else {"masks": masks}

    def run(x, hx):
        if form == "plain":
            return layers(x, hx, **options)
        if form == "time first":
            return layers(x.transpose(0, 1), hx, **options)
        if form == "unbatched":
            return layers(x[0], map_state(lambda s: s[:, 0], hx), **options)
        lengths = torch.tensor(LENGTHS[form])
        if form == "lengths" and isinstance(layers, RecurrentLayers):
            return layers(x, hx, lengths.to(x.device), **options)
        packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=form == "packed")
        output, state = layers(packed, hx, **options)
        assert isinstance(output, PackedSequence)
        assert torch.equal(output.batch_sizes, packed.batch_sizes)
        for actual, given in zip(output[2:], packed[2:], strict=True):  # sorted_indices, unsorted_indices
            assert (actual is None and given is None) or torch.equal(actual, given)
        return (pad_packed_sequence(output, True, total_length=T)[0] if form == "lengths" else output.data), state

    return run


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("num_layers", "bidirectional"), STACKS)
@pytest.mark.parametrize("cell", CELLS)
def test_equals_torch(cell, num_layers, bidirectional, form, device):
    """Output, state and all gradients, with biases and a given state and without either."""
    options = {"bidirectional": bidirectional, "batch_first": form != "time first", "device": device}
    for bias in (True, False):
        ours, theirs = twins(cell, F, H, num_layers, bias=bias, **options)
        x = torch.randn(B, T, F, dtype=torch.float64, device=device)
        hx = random_state(ours, B) if bias else None
        expected = outcome(runner(theirs, form), theirs, x, hx)
        for path in PATHS:
            with force_path(path):
                assert_same(outcome(runner(ours, form), ours, x, hx), expected)
        # Layer by layer on torch's kernels, as dropout on input or output has them run.
        assert_same(outcome(runner(ours, form, no_masks(ours)), ours, x, hx), expected)


@pytest.mark.parametrize("bidirectional", [False, True], ids=["one way", "both ways"])
@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no bias"])
@pytest.mark.parametrize("cell", CELLS)
def test_state_dict_is_torchs(cell, bias, bidirectional):
    options = {"bias": bias, "bidirectional": bidirectional}
    dropouts = {"input_dropout": 0.1, "output_dropout": 0.2, "state_dropout": 0.3, "variational": True}
    ours, theirs = make(cell, F, H, 3, **options, **dropouts), make(cell, F, H, 3, package=torch.nn, **options)
    shapes = {name: weight.shape for name, weight in theirs.state_dict().items()}
    assert list(ours.state_dict()) == list(shapes)  # the order, too
    assert {name: weight.shape for name, weight in ours.state_dict().items()} == shapes
    for target, source in ((ours, theirs), (make(cell, F, H, 3, package=torch.nn, **options), ours)):
        target.load_state_dict(source.state_dict())
        for name, weight in source.state_dict().items():
            assert torch.equal(target.state_dict()[name], weight)


@pytest.mark.parametrize("cell", CELLS)
def test_a_seed_draws_torchs_initial_weights(cell):
    torch.manual_seed(7)
    ours = make(cell, F, H, 2, bidirectional=True, state_dropout=0.5)
    after_ours = torch.rand(1)
    torch.manual_seed(7)
    theirs = make(cell, F, H, 2, package=torch.nn, bidirectional=True)
    after_theirs = torch.rand(1)
    for name, weight in theirs.state_dict().items():
        assert torch.equal(ours.state_dict()[name], weight), name
    assert torch.equal(after_ours, after_theirs)


@pytest.mark.parametrize("cell", CELLS)
def test_defaults(cell):
    layers = make(cell, F, H, dtype=None)
    assert layers.weight_ih_l0.dtype == torch.float32
    assert not type(layers)(F, H).batch_first
    assert (layers.input_dropout, layers.output_dropout, layers.state_dropout) == (0.0, 0.0, 0.0)
    assert not layers.variational
    assert layers.init == "torch"


@pytest.mark.parametrize("p", [-0.1, 1.0, 1.5, float("nan"), True, "0.5", None])
@pytest.mark.parametrize("name", ["input_dropout", "output_dropout", "state_dropout"])
@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
def test_a_dropout_outside_0_to_1_is_refused(cell, name, p):
    with pytest.raises(ArgumentError, match=f"^{name}=") as caught:
        make(cell, F, H, **{name: p})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
def test_an_unknown_init_is_refused(cell):
    with pytest.raises(ArgumentError, match=r"^init='xavier'.*glorot") as caught:
        make(cell, F, H, init="xavier")
    assert "\n" not in str(caught.value)


def test_repr_shows_the_extras():
    layers = make(
        "lstm", 2, 3, 2, input_dropout=0.1, output_dropout=0.2, state_dropout=0.3, variational=True, init="glorot"
    )
    assert repr(layers) == (
        "LSTM(2, 3, num_layers=2, batch_first=True, input_dropout=0.1, output_dropout=0.2, state_dropout=0.3, "
        "variational=True, init='glorot')"
    )
    assert repr(make("gru", 2, 3)) == repr(make("gru", 2, 3, package=torch.nn))


@pytest.mark.parametrize("how", ["deepcopy", "pickle", "torch.save"])
@pytest.mark.parametrize("cell", CELLS)
def test_a_copy_is_the_same_layer(cell, how):
    layers = make(
        cell, F, H, 2, bidirectional=True, input_dropout=0.3, state_dropout=0.5, variational=True, init="glorot"
    )
    if how == "deepcopy":
        twin = copy.deepcopy(layers)
    elif how == "pickle":
        twin = pickle.loads(pickle.dumps(layers))
    else:
        file = io.BytesIO()
        torch.save(layers, file)
        twin = torch.load(io.BytesIO(file.getvalue()), weights_only=False)
    assert repr(twin) == repr(layers)
    x, hx = torch.randn(B, T, F, dtype=torch.float64), random_state(layers, B)
    results = []
    for module in (layers, twin):
        torch.manual_seed(5)  # the same masks
        results.append(outcome(module, module, x, hx))
    assert_same(results[1], results[0])
    with torch.no_grad():  # and a copy has weights of its own
        twin.weight_hh_l0.zero_()
    assert layers.weight_hh_l0.abs().min() > 0
    assert not torch.equal(twin.eval()(x, hx)[0], layers.eval()(x, hx)[0])


def test_importing_the_layers_imports_no_lightning():
    code = (
        "import sys, rnn_lightning; assert 'torch' not in sys.modules; import rnn_lightning.nn\n"
        "print([m for m in sys.modules if m.split('.')[0] in ('lightning', 'pytorch_lightning', 'torchmetrics')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("num_layers", "bidirectional", "bias"), [(1, False, True), (2, True, False), (2, True, True)])
def test_projections_equal_torch(num_layers, bidirectional, bias, form):
    options = {"bias": bias, "bidirectional": bidirectional, "batch_first": form != "time first", "proj_size": 2}
    ours, theirs = twins("lstm", F, H, num_layers, **options)
    x = torch.randn(B, T, F, dtype=torch.float64)
    h, c = (torch.randn(num_layers * (1 + bidirectional), B, n, dtype=torch.float64) for n in (2, H))
    for hx in (None, (h, c)):
        expected = outcome(runner(theirs, form), theirs, x, hx)
        for path in ("auto", "torch", "reference"):
            with force_path(path):
                assert_same(outcome(runner(ours, form), ours, x, hx), expected)


@pytest.mark.parametrize("variational", [False, True], ids=["fresh", "variational"])
def test_dropout_acts_on_what_is_projected(variational):
    """Against a plain loop over torch.nn's layer with a projection, one step at a time."""
    ours = make("lstm", F, H, 2, proj_size=2, input_dropout=0.3, output_dropout=0.4, state_dropout=0.5)
    ours.variational = variational
    masks = ours.sample_masks(B, T)
    assert masks.layers[1].input.keep.shape[-1] == masks.layers[1].state.keep.shape[-1] == 2

    def by_step(x, hx):
        x = x.transpose(0, 1)
        finals = []
        for layer in range(2):
            options = {"proj_size": 2, "dtype": x.dtype}
            one = torch.nn.LSTM(x.shape[2], H, **options)
            weights = {n.replace(f"_l{layer}", "_l0"): w for n, w in ours.named_parameters() if f"_l{layer}" in n}
            state, outputs = tuple(s[layer : layer + 1] for s in hx), []
            on = [mask.factors(x.dtype).expand(T, *mask.keep.shape[1:]) for mask in masks.layers[layer]]
            for t in range(T):
                y, (h, c) = torch.func.functional_call(one, weights, (x[t][None] * on[0][t], state))
                state = (h * on[2][t], c)
                outputs.append(y[0] * on[1][t])
            x = torch.stack(outputs)
            finals.append(state)
        return x.transpose(0, 1), tuple(torch.cat(parts) for parts in zip(*finals, strict=True))

    x, hx = torch.randn(B, T, F, dtype=torch.float64), tuple(torch.randn(2, B, n, dtype=torch.float64) for n in (2, H))
    assert_same(outcome(lambda x, hx: ours(x, hx, masks=masks), ours, x, hx), outcome(by_step, ours, x, hx))


@pytest.mark.parametrize("init", ["glorot", "orthogonal", "identity"])
def test_initial_weights_of_projections(init):
    layers = make("lstm", F, H, 2, proj_size=2, init=init)
    theirs = make("lstm", F, H, 2, proj_size=2, package=torch.nn)
    assert list(layers.state_dict()) == list(theirs.state_dict())
    projection = layers.weight_hr_l0.detach()
    if init == "glorot":
        assert projection.abs().max() <= (6 / (2 + H)) ** 0.5
        assert layers.weight_hh_l0.abs().max() <= (6 / (2 + F + 4 * H)) ** 0.5
    else:
        torch.testing.assert_close(projection @ projection.T, torch.eye(2, dtype=torch.float64))


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("cell", CELLS)
def test_a_step_refuses_what_does_not_fit_as_forward_does(cell, layers):
    """In the layer's words, not in those of torch's cells, which it is run by."""
    module = make(cell, 3, 4, layers)
    x, state = torch.randn(2, 3, dtype=torch.float64), random_state(module, 2)
    module.step(x, state)
    wrong = {
        "features": (torch.randn(2, 5, dtype=torch.float64), state),
        "rows of the state": (x, random_state(module, 3)),
        "one row in the state": (x, random_state(module, 1)),
        "hidden units": (x, random_state(make(cell, 3, 5, layers), 2)),
        "layers": (x, random_state(make(cell, 3, 4, 3), 2)),
        "type": (x.float(), state),
    }
    for name, (given, hx) in wrong.items():
        messages = []
        for run in (module.step, lambda x, hx: module(x[:, None], hx)):
            with pytest.raises((RuntimeError, ValueError)) as error:
                run(given, hx)
            messages.append((error.type, str(error.value)))
        assert messages[0] == messages[1], name
        assert error.value.__context__ is None, name
