"""What works with torch.nn's layers works with ours, on the path that they choose by themselves.

Without dropout the results are compared with those of torch.nn's layer, and where torch.nn's own fails, or with state
dropout, with those of our reference path, whose plain operations autograd and every transform know.
"""

import copy
import pickle

import pytest
import torch
from torch import nn
from torch.autograd import forward_ad
from torch.func import functional_call, grad, hessian, jacfwd, jacrev, jvp, vmap
from torch.nn.utils import parametrize, prune
from torch.utils.checkpoint import checkpoint

from rnn_lightning.nn import GRU, force_path
from rnn_lightning.nn.native import variant

from .helpers import DROPPING, make, twins

# Where a transform must run one of our operators row by row, torch warns.
pytestmark = pytest.mark.filterwarnings("error:.*rnn_lightning")

T, B, F, H = 4, 2, 3, 5
CELLS = ("rnn_tanh", "lstm", "gru")
DTYPES = (torch.float64, torch.float32)
TORCH_FAILS = {"a map over inputs", "gradients of each sample", "a Jacobian forward"}
TORCH_FAILS_IN_FLOAT32 = {"forward mode", "dual numbers", "a Hessian"}  # the LSTM on oneDNN, as it does in place


def gradients(value, *leaves):
    return torch.autograd.grad(value, leaves, materialize_grads=True, allow_unused=True)


def of_output(change):
    """The gradients behind something that changes the output in place."""

    def run(layer, x, weights):
        x = x.requires_grad_()
        y, _ = layer(x)
        changed = change(y)
        y = y if changed is None else changed
        return y, *gradients((y * torch.linspace(0, 1, y.numel(), dtype=y.dtype).view_as(y)).sum(), x, *weights)

    return run


def drop_in_place(y):
    torch.manual_seed(3)
    return nn.Dropout(0.5, inplace=True)(y)


def set_first(y):
    y[:, 0] = 0.5


def second_derivative(layer, x, weights):
    x = x.requires_grad_()
    first = torch.autograd.grad(layer(x)[0].sin().sum(), (x, *weights), create_graph=True)
    return (*first, *gradients(sum(g.square().sum() for g in first), x, *weights))


def batch_of_gradients(layer, x, weights):
    x = x.requires_grad_()
    y, _ = layer(x)
    rows = torch.randn(3, *y.shape, dtype=y.dtype, generator=torch.Generator().manual_seed(1))
    return torch.autograd.grad(y, (x, *weights), rows, is_grads_batched=True)


def mapped_gradients(layer, x, weights):
    """As torch.func's documentation computes a Jacobian."""
    x = x.requires_grad_()
    y, _ = layer(x)
    rows = torch.randn(3, *y.shape, dtype=y.dtype, generator=torch.Generator().manual_seed(1))
    return vmap(lambda row: torch.autograd.grad(y, (x, *weights), row, retain_graph=True))(rows)


def dual_numbers(layer, x, weights):
    with forward_ad.dual_level():
        y, _ = layer(forward_ad.make_dual(x, x.cos()))
        value, tangent = forward_ad.unpack_dual(y)
    assert tangent is not None
    return value, tangent


def each_sample(layer, x, weights):
    """As differentially private training and the empirical Fisher information want them."""
    parameters = {name: p.detach() for name, p in layer.named_parameters()}

    def loss(parameters, sample):
        return functional_call(layer, parameters, (sample[:, None],))[0].sin().sum()

    return tuple(vmap(grad(loss), (None, 1))(parameters, x).values())


def checkpointed(layer, x, weights):
    x = x.requires_grad_()
    y = checkpoint(lambda z: layer(z)[0], x, use_reentrant=False)
    return y, *gradients(y.sin().sum(), x, *weights)


def backward_hooks(layer, x, weights):
    seen = []
    layer.register_full_backward_hook(lambda module, into, out: seen.extend((*into, *out)))
    y, _ = layer(x.requires_grad_())
    y.sin().sum().backward()
    return (*seen[:1], seen[1], *(w.grad for w in weights))


def state_as_list(layer, x, weights):
    shape = (1, B, H)
    h, c = (torch.linspace(-1, 1, B * H, dtype=x.dtype).view(shape) * k for k in (1, 2))
    y, state = layer(x, [h, c] if layer.mode == "LSTM" else h)
    return (y, *(state if layer.mode == "LSTM" else (state,)))


BEHAVIOURS = {
    "an activation in place": of_output(lambda y: y.relu_()),
    "dropout in place": of_output(drop_in_place),
    "a product in place": of_output(lambda y: y.mul_(2)),
    "entries set in place": of_output(set_first),
    "entries masked in place": of_output(lambda y: y.masked_fill_(torch.arange(H) > 2, 0.0)),
    "a second derivative": second_derivative,
    "a batch of gradients": batch_of_gradients,
    "gradients mapped over": mapped_gradients,
    "dual numbers": dual_numbers,
    "a gradient by torch.func": lambda layer, x, weights: (grad(lambda z: layer(z)[0].sin().sum())(x),),
    "a Jacobian backward": lambda layer, x, weights: (jacrev(lambda z: layer(z)[0])(x),),
    "a Jacobian forward": lambda layer, x, weights: (jacfwd(lambda z: layer(z)[0][0])(x),),
    "forward mode": lambda layer, x, weights: jvp(lambda z: layer(z)[0], (x,), (x.cos(),)),
    "a Hessian": lambda layer, x, weights: (hessian(lambda z: layer(z)[0].sin().sum())(x),),
    "a map over inputs": lambda layer, x, weights: (vmap(lambda z: layer(z)[0])(torch.stack((x, x.cos()))),),
    "gradients of each sample": each_sample,
    "an activation checkpoint": checkpointed,
    "backward hooks": backward_hooks,
    "a list as state": state_as_list,
}


class Masked(nn.Module):
    """A layer that drops by the same masks at every call."""

    def __init__(self, layer):
        super().__init__()
        self.layer, self.mode = layer, layer.mode
        self.masks = layer.sample_masks(B, T)

    def forward(self, x, hx=None):
        masks = self.masks
        if x.shape[1] < B:  # one sample of a map
            masks = masks.map(lambda keep: keep[..., :1, :])
        return self.layer(x, hx, masks=masks)


def results(behaviour, layer, x):
    return BEHAVIOURS[behaviour](layer, x.detach().clone(), list(layer.parameters()))


def compare(actual, expected, dtype):
    tolerance = {"rtol": 1e-9, "atol": 1e-11} if dtype == torch.float64 else {"rtol": 1e-3, "atol": 1e-5}
    for one, other in zip(actual, expected, strict=True):
        torch.testing.assert_close(one, other, **tolerance)


@pytest.mark.parametrize("dtype", DTYPES, ids=["float64", "float32"])
@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("behaviour", BEHAVIOURS)
def test_as_with_torch(behaviour, cell, dtype):
    ours, theirs = twins(cell, F, H, batch_first=False, dtype=dtype)
    x = torch.randn(T, B, F, dtype=dtype)
    on_torch = cell == "lstm" and dtype == torch.float32  # oneDNN
    in_float32 = behaviour in TORCH_FAILS_IN_FLOAT32 or changes_output(behaviour)
    if behaviour in TORCH_FAILS or (on_torch and in_float32):
        with force_path("reference"):
            expected = results(behaviour, copy.deepcopy(ours), x)
    else:
        expected = results(behaviour, theirs, x)
    if on_torch and changes_output(behaviour) and variant() is None:  # elsewhere it runs natively
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            results(behaviour, ours, x)
    else:
        compare(results(behaviour, ours, x), expected, dtype)


@pytest.mark.parametrize("variational", [False, True], ids=["fresh", "variational"])
@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("behaviour", BEHAVIOURS)
def test_with_state_dropout_as_on_the_reference(behaviour, cell, variational):
    dropouts = {"input_dropout": 0.2, "state_dropout": 0.4, "variational": variational}
    layer, x = make(cell, F, H, batch_first=False, **dropouts), torch.randn(T, B, F, dtype=torch.float64)
    masked = Masked(layer)
    with force_path("reference"):
        expected = results(behaviour, copy.deepcopy(masked), x)
    compare(results(behaviour, masked, x), expected, torch.float64)


def changes_output(behaviour):
    return "in place" in behaviour


def two(cell, **options):
    """torch.nn's layer and ours, as they are made without any option of ours."""
    return twins(cell, F, H, 2, **{"batch_first": False, "bidirectional": True, **options})[::-1]


H0 = torch.zeros(4, B, H, dtype=torch.float64)
X = torch.zeros(T, B, F, dtype=torch.float64)
WRONG = {
    "a vector": (X[0, 0], None),
    "four dimensions": (X[None], None),
    "no steps": (X[:0], None),
    "no steps, unbatched": (X[:0, 0], None),
    "no steps with a state": (X[:0], H0),
    "too many features": (torch.cat((X, X), dim=2), None),
    "too few layers": (X, H0[:2]),
    "too few rows": (X, H0[:, :1]),
    "too few units": (X, H0[..., :2]),
    "a row's state for a batch": (X, H0[:, 0]),
    "a batch's state for a row": (X[:, 0], H0),
    "a row's state of another size": (X[:, 0], H0[:2, 0]),
    "input in another type": (X.float(), None),
    "integers": (X.long(), None),
    "a state in another type": (X, H0.float()),
    "a packed sequence with too many features": (
        nn.utils.rnn.pack_sequence([torch.cat((X, X), dim=2)[:, 0]]),
        None,
    ),
    "a packed sequence with a state of too few rows": (nn.utils.rnn.pack_sequence([X[:, 0], X[:, 1]]), H0[:, :1]),
}


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("wrong", WRONG)
def test_what_torch_refuses_is_refused_in_the_same_words(wrong, cell):
    """On every path, with and without dropout."""
    theirs, ours = two(cell)
    x, hx = WRONG[wrong]
    if cell == "lstm" and hx is not None:
        hx = (hx, hx)
    with pytest.raises((RuntimeError, ValueError)) as expected:
        theirs(x, hx)
    found_by_product = wrong == "a state in another type"  # whose words depend on the order of the products
    for ours.state_dropout in (0.0, 0.5):
        for path in ("auto", "reference") if found_by_product else DROPPING:
            with force_path(path), pytest.raises(type(expected.value)) as caught:
                ours(x, hx)
            assert found_by_product or str(caught.value) == str(expected.value)


@pytest.mark.parametrize("dropping", [False, True], ids=["no dropout", "dropout"])
@pytest.mark.parametrize("cell", CELLS)
def test_a_batch_of_no_rows(cell, dropping):
    theirs, ours = two(cell)
    ours.state_dropout = 0.5 if dropping else 0.0
    for given in (None, H0[:, :0] if cell != "lstm" else (H0[:, :0], H0[:, :0])):
        (y, _), (expected, _) = ours(X[:, :0], given), theirs(X[:, :0], given)
        assert y.shape == expected.shape
        y.sum().backward()
        assert not ours.weight_ih_l0.grad.any()


@pytest.mark.parametrize("dropping", [False, True], ids=["no dropout", "dropout"])
@pytest.mark.parametrize("cell", CELLS)
def test_another_container_is_a_state_too(cell, dropping):
    """A list, as a loader's collate gives, in every form of input."""
    _, ours = two(cell)
    ours.state_dropout, ours.variational = (0.5, True) if dropping else (0.0, False)
    x, masks = torch.randn(T, B, F, dtype=torch.float64), ours.sample_masks(B)
    h, c = torch.randn(2, 4, B, H, dtype=torch.float64)
    if cell != "lstm":
        return
    expected = ours(x, (h, c), masks=masks)
    torch.testing.assert_close(ours(x, [h, c], masks=masks), expected)
    masks = ours.sample_masks(1)
    expected = ours(x[:, 0], (h[:, 0], c[:, 0]), masks=masks)
    torch.testing.assert_close(ours(x[:, 0], [h[:, 0], c[:, 0]], masks=masks), expected)
    packed, masks = nn.utils.rnn.pack_sequence([x[:, 0], x[:2, 1]]), ours.sample_masks(B)
    expected = ours(packed, (h, c), masks=masks)
    torch.testing.assert_close(ours(packed, [h, c], masks=masks)[0].data, expected[0].data)


@pytest.mark.parametrize("dropout", [{}, {"dropout": 0.5}], ids=["plain", "torch's dropout"])
@pytest.mark.parametrize("cell", CELLS)
def test_parametrised_pruned_and_called_with_other_weights(cell, dropout):
    layers = two(cell, **dropout)
    x = torch.randn(T, B, F, dtype=torch.float64)
    outputs = []
    for layer in layers:
        layer.eval()
        replaced = {name: p.detach() * 0.5 for name, p in layer.named_parameters()}
        called = functional_call(layer, replaced, (x,))[0]
        prune.l1_unstructured(layer, "weight_hh_l1", 0.5)
        pruned = layer(x)[0]
        parametrize.register_parametrization(layer, "weight_ih_l0", nn.Tanh())
        parametrised = layer(x)[0]
        parametrised.sum().backward()
        original = layer.parametrizations.weight_ih_l0.original
        outputs.append((called, pruned, parametrised, original.grad, layer.weight_hh_l1_orig.grad))
        assert not torch.equal(pruned, parametrised)
    compare(outputs[1], outputs[0], torch.float64)


@pytest.mark.parametrize("cell", CELLS)
def test_weights_replaced_and_moved(cell):
    """load_state_dict(assign=True), a new Parameter, to(dtype), deepcopy and pickle: each time the new weights count."""
    theirs, ours = two(cell)
    x = torch.randn(T, B, F, dtype=torch.float64)
    new = {name: torch.randn_like(weight) for name, weight in theirs.state_dict().items()}
    steps = [
        lambda layer: layer.load_state_dict(new, assign=True) and layer,
        lambda layer: setattr(layer, "weight_hh_l0", nn.Parameter(layer.weight_hh_l0.detach() / 2)) or layer,
        lambda layer: layer.float().double(),
        copy.deepcopy,
        lambda layer: pickle.loads(pickle.dumps(layer)),
    ]
    for step in steps:
        theirs, ours = step(theirs), step(ours)
        torch.testing.assert_close(ours(x), theirs(x))


@pytest.mark.parametrize("changed", ["class", "object"])
def test_a_step_of_a_layer_with_a_forward_of_its_own(changed, monkeypatch):
    """It is called at every step, also with torch's arguments alone."""

    class Doubled(GRU):
        def forward(self, input, hx=None):  # type: ignore[override]
            output, state = super().forward(input, hx)
            return output * 2, state

    doubled, x, h = Doubled(F, H), torch.randn(B, F), torch.randn(1, B, H)
    layer: GRU = doubled
    if changed == "object":
        layer = GRU(F, H)
        monkeypatch.setattr(layer, "forward", lambda input, hx=None: doubled.forward(input, hx))
        doubled.load_state_dict(layer.state_dict())
    for state in (None, h):
        torch.testing.assert_close(layer.step(x, state)[0], layer(x[None], state)[0][0])
