"""Networks of tokens: the embedding, tied weights, and what they generate."""

import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from rnn_lightning import ArgumentError
from rnn_lightning.nn import Seq2SeqNet, Seq2VecNet, generate

TOKENS = torch.randint(7, (3, 6), generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
@pytest.mark.parametrize("net", [Seq2SeqNet, Seq2VecNet])
def test_it_computes_what_torchs_parts_do(net, cell):
    own = net(7, 5, cell=cell, hidden_size=4, num_layers=2, embedding_size=3)
    layers = {"rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}[cell](3, 4, 2, batch_first=True)
    layers.load_state_dict(own.layers.state_dict())
    embedding, head = nn.Embedding(7, 3), nn.Linear(4, 5)
    embedding.load_state_dict(own.embedding.state_dict())
    head.load_state_dict(own.head.state_dict())
    output, state = layers(embedding(TOKENS))
    y = head(output if net is Seq2SeqNet else (state[0] if cell == "lstm" else state)[-1])
    torch.testing.assert_close(own(TOKENS)[0], y)
    own(TOKENS)[0].square().sum().backward()
    y.square().sum().backward()
    torch.testing.assert_close(own.embedding.weight.grad, embedding.weight.grad)
    torch.testing.assert_close(own.to_torch()(TOKENS)[0], y)
    torch.testing.assert_close(torch.jit.script(own.to_torch())(TOKENS)[0], y)


@pytest.mark.parametrize("net", [Seq2SeqNet, Seq2VecNet])
def test_step_by_step_is_the_whole(net):
    own, state = net(7, 5, cell="lstm", hidden_size=4, embedding_size=3).eval(), None
    outputs = []
    for x in TOKENS.unbind(1):
        y, state = own.step(x, state)
        outputs.append(y)
    whole, final = own(TOKENS)
    torch.testing.assert_close(torch.stack(outputs, 1) if net is Seq2SeqNet else y, whole)
    torch.testing.assert_close(state, final)


def test_packed_and_unbatched_tokens():
    own, lengths = Seq2SeqNet(7, 5, cell="gru", hidden_size=4, embedding_size=3), torch.tensor([6, 2, 4])
    packed, _ = own(pack_padded_sequence(TOKENS, lengths, batch_first=True, enforce_sorted=False))
    y, _ = own(TOKENS, lengths=lengths)
    torch.testing.assert_close(pad_packed_sequence(packed, batch_first=True)[0][1, :2], y[1, :2])
    torch.testing.assert_close(own(TOKENS[0])[0], own(TOKENS[:1])[0][0])


def test_tied_weights_are_one_matrix_which_both_train():
    own = Seq2SeqNet(7, 7, cell="gru", hidden_size=4, embedding_size=4, tie_weights=True)
    assert own.embedding.weight is own.head.weight
    assert len(list(own.parameters())) == 6
    free = Seq2SeqNet(7, 7, cell="gru", hidden_size=4, embedding_size=4)
    free.load_state_dict(own.state_dict())
    for net in (own, free):
        net(TOKENS)[0].square().sum().backward()
    torch.testing.assert_close(own.head.weight.grad, free.head.weight.grad + free.embedding.weight.grad)
    torch.testing.assert_close(own.to_torch()(TOKENS)[0], own(TOKENS)[0])


@pytest.mark.parametrize(
    "options",
    [{"embedding_size": 3}, {}, {"embedding_size": 4, "bidirectional": True}, {"embedding_size": 4, "outputs": 6}],
    ids=str,
)
def test_weights_that_cannot_be_tied_are_refused(options):
    outputs = options.pop("outputs", 7)
    with pytest.raises(ArgumentError, match=r"embedding_size=hidden_size, with as many outputs as tokens"):
        Seq2SeqNet(7, outputs, cell="gru", hidden_size=4, tie_weights=True, **options)


def counting():
    """A network that, whatever came before, expects x + 1 after x with a high, x + 2 with a lower logit."""
    net = Seq2SeqNet(5, 5, hidden_size=5, embedding_size=5)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.zero_()
        net.embedding.weight.copy_(torch.eye(5))
        net.layers.weight_ih_l0.copy_(3 * torch.eye(5))
        net.head.weight.copy_(9 * torch.eye(5).roll(1, 0) + 7 * torch.eye(5).roll(2, 0))
    return net


def test_the_likeliest_tokens_follow_one_another():
    prompt = torch.tensor([[3], [0]])
    assert generate(counting(), prompt, 4, temperature=0).tolist() == [[4, 0, 1, 2], [1, 2, 3, 4]]
    assert generate(counting(), prompt, 4, top_k=1).tolist() == [[4, 0, 1, 2], [1, 2, 3, 4]]
    assert generate(counting(), prompt, 4, temperature=0, never=[4]).tolist() == [[0, 1, 2, 3], [1, 2, 3, 0]]
    assert generate(counting(), prompt, 0).shape == (2, 0)


def test_draws_have_the_networks_probabilities():
    prompt = torch.zeros(20_000, 1, dtype=torch.int64)
    logits = counting()(prompt[:1])[0][0, -1]
    for temperature, top_k in ((1.0, None), (0.5, None), (2.0, 2)):
        generator = torch.Generator().manual_seed(1)
        drawn = generate(counting(), prompt, 1, temperature, top_k, generator=generator)
        expected = (logits / temperature).softmax(0)
        if top_k:
            keep = logits.topk(top_k).indices
            expected = torch.zeros(5).index_copy(0, keep, expected[keep] / expected[keep].sum())
        found = torch.bincount(drawn[:, 0], minlength=5) / len(prompt)
        torch.testing.assert_close(found, expected, rtol=0, atol=0.02)


def test_generating_leaves_mode_and_random_numbers_alone():
    net = Seq2SeqNet(7, 7, hidden_size=4, embedding_size=3, state_dropout=0.5).train()
    before = torch.get_rng_state()
    first, second = (generate(net, TOKENS, 9, generator=torch.Generator().manual_seed(2)) for _ in range(2))
    assert torch.equal(first, second)
    assert net.training
    assert net.layers.training
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"length": -1}, "length"),
        ({"temperature": -0.1}, "temperature"),
        ({"top_k": 0}, "top_k"),
        ({"top_k": 1.5}, "top_k"),
        ({"never": [-1]}, r"never=\[-1\]"),
        ({"never": range(5)}, "at least one to draw"),
        ({"prompt": TOKENS[0]}, "prompt"),
        ({"prompt": torch.tensor([[0, 7]])}, "tokens from 0 to 7: give tokens from 0 to"),
        ({"net": Seq2SeqNet(7, 7)}, "embedding"),
        ({"net": Seq2VecNet(7, 7, embedding_size=3)}, "embedding"),
        ({"net": Seq2SeqNet(7, 5, embedding_size=3)}, "7 different tokens and has 5 outputs"),
    ],
    ids=str,
)
def test_what_does_not_fit_is_one_line(options, words):
    given = {"net": counting(), "prompt": TOKENS, "length": 2, **options}
    with pytest.raises(ArgumentError, match=words) as error:
        generate(**given)
    assert "\n" not in str(error.value)
