"""Drawing masks: probabilities, independence, and the same bits for any vectors and threads."""

import ctypes
import math

import numpy as np
import pytest
import torch

from rnn_lightning.nn import GRU
from rnn_lightning.nn.dropout import drop
from rnn_lightning.nn.mask_drawing import draw_mask
from rnn_lightning.nn.native import build, reason, variant
from rnn_lightning.nn.native.operators import draw_mask as draw_natively

native = pytest.mark.skipif(reason() is not None, reason="no native library")
PUBLISHED = [  # counter, key, output of Threefry4x32 with 20 rounds: the known answers that Random123 comes with
    ("00000000 " * 4, "00000000 " * 4, "9c6ca96a e17eae66 fc10ecd4 5256a7d8"),
    ("ffffffff " * 4, "ffffffff " * 4, "2a881696 57012287 f6c7446e a16a6732"),
    (
        "243f6a88 85a308d3 13198a2e 03707344",
        "a4093822 299f31d0 082efa98 ec4e6c89",
        "59cd1dbb b8879579 86b5d00c ac8b6d84",
    ),
]


@pytest.fixture(params=["native", "torch"])
def drawn_by(request, use_native):
    """Both ways to draw."""
    if request.param == "torch":
        use_native("off")
    elif reason() is not None:
        pytest.skip("no native library")
    return request.param


@pytest.mark.usefixtures("drawn_by")
def test_drawing_a_mask():
    assert draw_mask((2, 3), 0.0, torch.device("cpu")) is None
    mask = draw_mask((2, 3), 0.5, torch.device("cpu"))
    assert (mask.keep.shape, mask.keep.dtype, mask.scale) == ((2, 3), torch.bfloat16, 2.0)
    assert not mask.keep.requires_grad


@pytest.mark.usefixtures("drawn_by")
@pytest.mark.parametrize("p", [0.004, 0.1, 0.3, 0.5, 0.77, 0.995])
def test_every_lane_of_a_random_word_keeps_with_the_same_probability(p):
    """Four entries share 64 random bits: each within 5 sigma, and no two of them correlated."""
    mask = draw_mask((4 * 250_000,), p, torch.device("cpu")).keep
    kept = (mask > 0).double().view(-1, 4)
    rows, sigma = len(kept), math.sqrt(p * (1 - p))
    assert float((kept.mean(0) - (1 - p)).abs().max()) < 5 * sigma / math.sqrt(rows)
    correlations = ((kept - (1 - p)).T @ (kept - (1 - p)) / rows / sigma**2).triu(1)
    assert float(correlations.abs().max()) < 5 / math.sqrt(rows)


def test_every_value_of_a_lane_occurs():
    """No bit is constant: with all 65,536 values equally likely, rounding p to 2^-16 is the only error."""
    lanes = torch.empty(1_000_000, dtype=torch.int64).random_(-(2**63), None).view(torch.int16)
    counts = torch.bincount(lanes.to(torch.int64) + 2**15, minlength=2**16).double()
    chi_squared = float(((counts - counts.mean()) ** 2 / counts.mean()).sum())
    assert abs(chi_squared - 2**16) < 6 * math.sqrt(2 * 2**16)


@pytest.mark.usefixtures("drawn_by")
@pytest.mark.parametrize("p", [1e-12, 1e-3, 0.999])
def test_rare_outcomes_keep_their_probability(p):
    mask = draw_mask((1000, 1000), p, torch.device("cpu")).keep
    assert abs(float((mask == 0).double().mean()) - p) < 5e-3 * math.sqrt(p * (1 - p))


def test_a_seed_draws_the_bits_it_always_drew(drawn_by):
    torch.manual_seed(7)
    layers = GRU(3, 4, 2, input_dropout=0.5, output_dropout=0.5, state_dropout=0.5, dtype=torch.float64)
    masks = layers.sample_masks(2, 2)
    bits = torch.cat([mask.keep.flatten() for layer in masks.layers for mask in layer])
    expected = {
        "native": "010111000101110110110111010100101111111100001100",
        "torch": "111101111101100011010100000110011000101111010110",
    }
    assert "".join(str(int(bit)) for bit in bits[:48]) == expected[drawn_by]


ROTATIONS = [(10, 26), (11, 21), (13, 27), (23, 5), (6, 20), (17, 11), (25, 10), (18, 20)]


def threefry(counter, key):
    """Threefry4x32-20 in whole numbers, as the paper writes it."""
    extended = [*key, 0x1BD11BDA ^ key[0] ^ key[1] ^ key[2] ^ key[3]]
    x = [(word + k) % 2**32 for word, k in zip(counter, extended, strict=False)]
    for n in range(20):
        second, fourth = (3, 1) if n % 2 else (1, 3)
        for a, b, bits in ((0, second, ROTATIONS[n % 8][0]), (2, fourth, ROTATIONS[n % 8][1])):
            x[a] = (x[a] + x[b]) % 2**32
            x[b] = ((x[b] << bits | x[b] >> (32 - bits)) % 2**32) ^ x[a]
        if n % 4 == 3:
            times = n // 4 + 1
            x = [(word + extended[(w + times) % 5]) % 2**32 for w, word in enumerate(x)]
            x[3] = (x[3] + times) % 2**32
    return x


@pytest.mark.parametrize(("counter", "key", "output"), PUBLISHED)
def test_known_answers(counter, key, output):
    """The library's generator, and this file's, give the published numbers."""
    counter, key, output = ([int(word, 16) for word in words.split()] for words in (counter, key, output))
    assert threefry(counter, key) == output
    if reason() is None:
        loaded = ctypes.CDLL(str(build.HERE / build.LIBRARY))
        found = (ctypes.c_uint32 * 4)()
        getattr(loaded, f"threefry_{variant()}")((ctypes.c_uint32 * 4)(*counter), (ctypes.c_uint32 * 4)(*key), found)
        assert list(found) == output


@native
@pytest.mark.parametrize("count", [1, 7, 128, 1000])
@pytest.mark.parametrize("seed", [0, 1, -1, 2**62 + 12345])
def test_an_entry_follows_from_the_seed_and_its_place(count, seed):
    limit, key = 40_000, [seed % 2**32, seed % 2**64 // 2**32, 0, 0]
    words = np.array([threefry([n, 0, 0, 0], key) for n in range(-(-count // 128) * 16)], np.uint32)  # (outputs, 4)
    stored = words.reshape(-1, 16, 4).transpose(0, 2, 1)  # runs of 16 outputs: all their first words, and so on
    halves = np.stack([stored & 0xFFFF, stored >> 16], -1).reshape(-1)[:count]
    found = draw_natively(torch.tensor(seed), count, limit)
    assert found.tolist() == (halves < limit).tolist()


@native
@pytest.mark.parametrize("name", list(build.VARIANTS.get(build.machine(), {"baseline": None})))
def test_every_variant_and_number_of_threads_draws_the_same(name):
    loaded = ctypes.CDLL(str(build.HERE / build.LIBRARY))
    if not getattr(loaded, f"supports_{name}")():
        pytest.skip(f"this processor has no {name}")
    count, seed = 1_000_003, 42
    expected = draw_natively(torch.tensor(seed), count, 50_000)
    draw = getattr(loaded, f"draw_mask_{name}")
    draw.argtypes = [ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint64, ctypes.c_int]
    for threads in (1, 2, 3, 7):
        found = torch.empty(count, dtype=torch.bfloat16)
        draw(found.data_ptr(), count, 50_000, seed, threads)
        assert torch.equal(found, expected)


@pytest.mark.usefixtures("drawn_by")
def test_a_mask_is_contiguous_and_has_no_gradient():
    with torch.no_grad():
        mask = draw_mask((3, 5), 0.5, torch.device("cpu"))
    assert mask.keep.is_contiguous()
    assert not mask.keep.requires_grad


@pytest.mark.usefixtures("drawn_by")
def test_the_generator_goes_on():
    """Two masks in a row differ, a state of the generator that is set again gives the same."""
    state = torch.get_rng_state()
    one, two = (draw_mask((1000,), 0.5, torch.device("cpu")).keep for _ in range(2))
    assert not torch.equal(one, two)
    torch.set_rng_state(state)
    assert torch.equal(draw_mask((1000,), 0.5, torch.device("cpu")).keep, one)


def dropped(x, p):
    return drop(x, draw_mask(x.shape, p, x.device))


class Dropping(torch.nn.Module):
    def forward(self, x):
        return dropped(x, 0.3)


def traced(x):
    return torch.jit.trace(Dropping(), (x,), check_trace=False)


def exported(x):
    return torch.export.export(Dropping(), (x,)).module()


def compiled(x):
    return torch.compile(Dropping(), fullgraph=True, backend="aot_eager")


@pytest.mark.usefixtures("drawn_by")
@pytest.mark.filterwarnings("ignore:.*torch.jit.trace")
@pytest.mark.parametrize("turn", [traced, pytest.param(exported, marks=pytest.mark.slow), compiled])
def test_other_masks_at_each_call_of_what_torch_traced(turn):
    x = torch.ones(4, 50, 100)
    call = turn(x)
    first, second = call(x), call(x)
    assert not torch.equal(first, second)
    for y in (first, second):
        assert set(y.unique().tolist()) == {0.0, float(torch.tensor(1 / 0.7))}
        assert abs(float((y == 0).double().mean()) - 0.3) < 5 * math.sqrt(0.21 / x.numel())


@pytest.mark.usefixtures("drawn_by")
@pytest.mark.parametrize("p", [0.3, 0.002])
def test_vmap_decides_whether_each_sample_has_a_mask_of_its_own(p):
    x = torch.ones(3, 4, 50, 100)
    for randomness in ("same", "different"):
        y = torch.vmap(lambda one: dropped(one, p), randomness=randomness)(x)
        assert torch.equal(y[0], y[1]) == torch.equal(y[0], y[2]) == (randomness == "same")
        for one in y:
            assert abs(float((one == 0).double().mean()) - p) < 5 * math.sqrt(p * (1 - p) / one.numel())
    with pytest.raises(RuntimeError, match="randomness error mode"):
        torch.vmap(lambda one: dropped(one, p))(x)


@pytest.mark.slow
@pytest.mark.parametrize("variational", [False, True], ids=["fresh", "variational"])
def test_layers_that_draw_masks_compile_whole(variational):
    layers = GRU(3, 4, input_dropout=0.3, output_dropout=0.3, state_dropout=0.3, variational=variational)
    x = torch.randn(2, 5, 3)
    with torch._dynamo.config.patch(allow_rnn=True):
        call = torch.compile(layers, fullgraph=True, backend="aot_eager")
        torch.manual_seed(1)
        first, second = call(x)[0], call(x)[0]
        torch.manual_seed(1)
        assert torch.equal(call(x)[0], first)
        assert not torch.equal(first, second)
        second.sum().backward()
    assert layers.weight_hh_l0.grad.any()
