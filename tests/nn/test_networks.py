"""`Seq2VecNet` and `Seq2SeqNet`: a head on torch.nn's layers."""

import copy
import pickle

import pytest
import torch
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from rnn_lightning import ArgumentError
from rnn_lightning.nn import Seq2SeqNet, Seq2VecNet, force_path
from rnn_lightning.nn.state import map_state

from .helpers import DROPPING, assert_same, outcome, random_state

B, T, F, H, OUT = 3, 4, 2, 3, 5
CELLS = {"rnn": torch.nn.RNN, "lstm": torch.nn.LSTM, "gru": torch.nn.GRU}
DROPOUTS = {"input_dropout": 0.4, "output_dropout": 0.4, "state_dropout": 0.4}
NETS = (Seq2VecNet, Seq2SeqNet)


def make_net(net, cell="lstm", num_layers=2, **options):
    return net(F, OUT, cell, hidden_size=H, num_layers=num_layers, **options).double()


def by_hand(net, lengths):
    """torch.nn's layers over each row alone, cut at its own length, and the head."""
    cell, options = {"RNN_TANH": ("rnn", {}), "RNN_RELU": ("rnn", {"nonlinearity": "relu"})}.get(
        net.layers.mode, (net.layers.mode.lower(), {})
    )
    layers = CELLS[cell](
        F, H, net.layers.num_layers, bidirectional=net.layers.bidirectional, batch_first=True, **options
    )
    weights = dict(net.layers.named_parameters())
    directions = 2 if net.layers.bidirectional else 1

    def run(x, hx):
        ys, finals = [], []
        for row, length in enumerate(lengths):
            final, y = map_state(lambda s, row=row: s[:, row], hx), x.new_zeros(T, OUT)
            if length:
                output, final = torch.func.functional_call(layers, weights, (x[row, :length], final))
                y = torch.cat((net.head(output), y[length:]))
            h = final[0] if isinstance(final, tuple) else final
            ys.append(y if isinstance(net, Seq2SeqNet) else net.head(h[-directions:].flatten()))
            finals.append(final if isinstance(final, tuple) else (final,))
        state = tuple(torch.stack(parts, dim=1) for parts in zip(*finals, strict=True))
        return torch.stack(ys), state if len(state) == 2 else state[0]

    return run


@pytest.mark.parametrize("lengths", [(4, 4, 4), (2, 4, 0)], ids=["full", "lengths"])
@pytest.mark.parametrize("bidirectional", [False, True], ids=["one way", "both ways"])
@pytest.mark.parametrize("cell", ["rnn tanh", "rnn relu", "lstm", "gru"])
@pytest.mark.parametrize("net", NETS)
def test_equals_each_row_by_hand(net, cell, bidirectional, lengths):
    """The head reads each row's own last state, or every step; y past a row's end is zero; all gradients."""
    cell, _, nonlinearity = cell.partition(" ")
    options = {"nonlinearity": nonlinearity} if nonlinearity else {}
    net = make_net(net, cell, bidirectional=bidirectional, **options)
    x, hx = torch.randn(B, T, F, dtype=torch.float64), random_state(net.layers, B)
    given = None if lengths == (T,) * B else torch.tensor(lengths)
    expected = outcome(by_hand(net, lengths), net, x, hx)
    for path in DROPPING:
        with force_path(path):
            assert_same(outcome(lambda x, hx: net(x, hx, given), net, x, hx), expected)


@pytest.mark.parametrize("path", DROPPING)
@pytest.mark.parametrize("net", NETS)
def test_padding_goes_nowhere(net, path):
    """NaN past a row's end reaches nothing, and y there is zero, the head's bias included."""
    net, lengths = make_net(net, bidirectional=True, **DROPOUTS), torch.tensor([2, 4, 0])
    masks = net.sample_masks(B, T)
    x, hx = torch.randn(B, T, F, dtype=torch.float64), random_state(net.layers, B)
    past = torch.arange(T) >= lengths[:, None]
    with force_path(path):
        results = [
            outcome(lambda x, hx: net(x, hx, lengths, masks), net, torch.where(past[..., None], filling, x), hx)
            for filling in (0.0, float("nan"))
        ]
    assert_same(results[1], results[0])
    assert net.head.bias.abs().min() > 0
    if isinstance(net, Seq2SeqNet):
        assert not results[1]["output"][past].any()
        assert results[1]["output"][~past].all()


def test_a_row_of_no_steps_gives_the_head_of_its_given_state():
    net = make_net(Seq2VecNet, "gru")
    hx = random_state(net.layers, B)
    y, state = net(torch.randn(B, T, F, dtype=torch.float64), hx, torch.tensor([0, 1, 0]))
    torch.testing.assert_close(y[[0, 2]], net.head(hx[-1])[[0, 2]])
    assert torch.equal(state[:, [0, 2]], hx[:, [0, 2]])


@pytest.mark.parametrize("variational", [False, True], ids=["fresh", "variational"])
@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("net", NETS)
def test_the_head_in_training(net, cell, variational):
    """It reads what the layers give under the same masks: the dropped final state, or the dropped outputs."""
    net = make_net(net, cell, variational=variational, **DROPOUTS)
    x, hx, masks = torch.randn(B, T, F, dtype=torch.float64), random_state(net.layers, B), net.sample_masks(B, T)
    output, expected_state = net.layers(x, hx, masks=masks)
    y, state = net(x, hx, masks=masks)
    h = state[0] if cell == "lstm" else state
    assert torch.equal(y, net.head(h[-1] if isinstance(net, Seq2VecNet) else output))
    torch.testing.assert_close(state, expected_state, rtol=0, atol=0)
    torch.manual_seed(2)
    drawn = net(x, hx)[0]
    assert not torch.equal(drawn, y)
    torch.manual_seed(2)
    assert torch.equal(net(x, hx)[0], drawn)
    assert torch.equal(net.eval()(x, hx)[0], net(x, hx)[0])


@pytest.mark.parametrize("net", NETS)
def test_state_dropout_reaches_the_head_of_a_vector_only(net):
    """With one step and one layer: what a step hands on is dropped, its output is not."""
    net = make_net(net, "rnn", 1, state_dropout=0.5)
    x = torch.randn(B, 1, F, dtype=torch.float64)
    y, whole = net(x)[0], net.eval()(x)[0]
    assert torch.allclose(y, whole) == isinstance(net, Seq2SeqNet)  # training and evaluation may run on two paths


@pytest.mark.parametrize("bidirectional", [False, True], ids=["one way", "both ways"])
@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("net", NETS)
def test_packed_input(net, cell, bidirectional):
    net = make_net(net, cell, bidirectional=bidirectional)
    x, hx, lengths = torch.randn(B, T, F, dtype=torch.float64), random_state(net.layers, B), torch.tensor([2, 4, 1])

    def run(x, hx):
        y, state = net(pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False), hx)
        return (y if isinstance(net, Seq2VecNet) else pad_packed_sequence(y, batch_first=True)[0]), state

    assert_same(outcome(run, net, x, hx), outcome(lambda x, hx: net(x, hx, lengths), net, x, hx))


@pytest.mark.parametrize("length", [None, 2], ids=["full", "length"])
@pytest.mark.parametrize("bidirectional", [False, True], ids=["one way", "both ways"])
@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("net", NETS)
def test_unbatched_input(net, cell, bidirectional, length):
    net = make_net(net, cell, bidirectional=bidirectional)
    x, hx = torch.randn(1, T, F, dtype=torch.float64), random_state(net.layers, 1)
    y, state = net(x, hx, None if length is None else torch.tensor([length]))
    for lengths in (torch.tensor(length), torch.tensor([length])) if length else (None,):
        y_one, state_one = net(x[0], map_state(lambda s: s[:, 0], hx), lengths)
        assert y_one.shape == ((OUT,) if isinstance(net, Seq2VecNet) else (T, OUT))
        torch.testing.assert_close(y_one, y[0])
        torch.testing.assert_close(state_one, map_state(lambda s: s[:, 0], state))


@pytest.mark.parametrize("path", DROPPING)
@pytest.mark.parametrize("cell", CELLS)
def test_step_by_step_equals_forward(cell, path):
    net = make_net(Seq2SeqNet, cell, **DROPOUTS).eval()
    x = torch.randn(B, T, F, dtype=torch.float64)
    with force_path(path):
        for hx in (None, random_state(net.layers, B)):
            y, final = net(x, hx)
            state, outputs = hx, []
            for t in range(T):
                out, state = net.step(x[:, t], state)
                assert out.shape == (B, OUT)
                outputs.append(out)
            torch.testing.assert_close(torch.stack(outputs, dim=1), y)
            torch.testing.assert_close(state, final)
        assert net.step(x[0, 0])[0].shape == (OUT,)


def test_step_with_masks():
    net = make_net(Seq2SeqNet, variational=True, **DROPOUTS)
    x, masks, state, outputs = torch.randn(B, T, F, dtype=torch.float64), net.sample_masks(B), None, []
    for t in range(T):
        out, state = net.step(x[:, t], state, masks)
        outputs.append(out)
    torch.testing.assert_close(torch.stack(outputs, dim=1), net(x, masks=masks)[0])


def test_step_refuses_two_directions():
    with pytest.raises(ArgumentError, match="bidirectional=False"):
        make_net(Seq2SeqNet, bidirectional=True).step(torch.randn(B, F, dtype=torch.float64))


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("net", NETS)
def test_a_seed_draws_torchs_initial_weights(net, cell):
    torch.manual_seed(1)
    ours = net(F, OUT, cell, hidden_size=H, num_layers=2, bidirectional=True)
    torch.manual_seed(1)
    parts = {"layers": CELLS[cell](F, H, 2, bidirectional=True), "head": torch.nn.Linear(2 * H, OUT)}
    expected = torch.nn.ModuleDict(parts).state_dict()
    assert list(ours.state_dict()) == list(expected)
    for name, weight in expected.items():
        assert torch.equal(ours.state_dict()[name], weight), name


def test_arguments_reach_the_layers():
    net = Seq2VecNet(2, 5, "rnn", "relu", 7, 3, False, True, 0.1, 0.2, 0.3, True, "glorot")
    assert repr(net.layers) == (
        "RNN(2, 7, num_layers=3, bias=False, batch_first=True, bidirectional=True, input_dropout=0.1, "
        "output_dropout=0.2, state_dropout=0.3, variational=True, init='glorot')"
    )
    assert net.layers.mode == "RNN_RELU"
    assert (net.head.in_features, net.head.out_features) == (14, 5)
    assert repr(Seq2SeqNet(2, 5).layers) == "RNN(2, 128, batch_first=True)"
    assert Seq2SeqNet(2, 5).sample_masks(3) is None


@pytest.mark.parametrize("net", NETS)
def test_a_copy_is_the_same_net(net):
    net = make_net(net, variational=True, **DROPOUTS)
    x = torch.randn(B, T, F, dtype=torch.float64)
    for twin in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        assert repr(twin) == repr(net)
        masks = net.sample_masks(B)
        assert torch.equal(twin(x, masks=masks)[0], net(x, masks=masks)[0])


@pytest.mark.parametrize("state_dropout", [0.0, 0.4])
@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("net", NETS)
def test_bfloat16_autocast(net, cell, state_dropout):
    net = make_net(net, cell, state_dropout=state_dropout, variational=True).float()
    x, masks, lengths = torch.randn(B, T, F), net.sample_masks(B), torch.tensor([4, 2, 0])
    full, _ = net(x, None, lengths, masks)
    with torch.autocast("cpu", torch.bfloat16):
        low, _ = net(x, None, lengths, masks)
    assert low.dtype == torch.bfloat16
    assert (low.float() - full).norm() < 0.03 * full.norm()
    if isinstance(net, Seq2SeqNet):
        assert not low[2].any()
    low.float().sum().backward()
    assert all(weight.grad.isfinite().all() for weight in net.parameters())


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[
            (size, value)
            for size in ("input_size", "output_size", "hidden_size", "num_layers")
            for value in (0, -1, 2.0, "3")
        ],
        ("cell", "LSTM"),
        ("cell", "transformer"),
        ("nonlinearity", "sigmoid"),
        ("init", "he"),
        *[(place, value) for place in DROPOUTS for value in (1.0, -0.1, "0.5")],
    ],
)
@pytest.mark.parametrize("net", NETS)
def test_wrong_arguments_are_named_in_one_line(net, name, value):
    arguments = {"input_size": F, "output_size": OUT, "hidden_size": H} | {name: value}
    with pytest.raises(ArgumentError, match=f"^{name}={value!r}") as caught:
        net(**arguments)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("cell", ["lstm", "gru"])
@pytest.mark.parametrize("nonlinearity", ["relu", "sigmoid"])
def test_a_nonlinearity_is_for_the_rnn_only(cell, nonlinearity):
    with pytest.raises(ArgumentError, match=f"^nonlinearity='{nonlinearity}'"):
        Seq2VecNet(F, OUT, cell, nonlinearity)


@pytest.mark.parametrize("net", NETS)
def test_wrong_lengths_are_refused(net):
    net, x = make_net(net), torch.randn(B, T, F, dtype=torch.float64)
    for lengths in (torch.tensor([1, 2]), torch.tensor([1, 2, T + 1]), torch.tensor([1.0, 2.0, 3.0])):
        with pytest.raises(ArgumentError, match=r"^lengths "):
            net(x, None, lengths)
    with pytest.raises(ArgumentError, match=r"^lengths "):
        net(x[0], None, torch.tensor([1, 2]))
    with pytest.raises(ArgumentError, match=r"^lengths given with packed"):
        net(pack_padded_sequence(x, torch.tensor([4, 4, 4]), batch_first=True), None, torch.tensor([4, 4, 4]))
