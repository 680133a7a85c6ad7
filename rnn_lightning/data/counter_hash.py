"""Random numbers as a pure function of a counter, without a generator or a state. They are the same on every machine.

Number i of a stream is a hash of (key, i). So it can be computed directly, whatever was drawn before, in any process
and with any batch size. Resuming within an epoch and using several workers or devices need no special care.

The hash is splitmix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014), with the
constants of S. Vigna's public-domain splitmix64.c. The 64 bits are held in int64, as torch has no unsigned 64-bit
arithmetic.
"""

import torch
from torch import Tensor

_GAMMA = 0x9E3779B97F4A7C15  # 2^64 / golden ratio, made odd, so that i * GAMMA visits all 64-bit numbers
_MIX1 = 0xBF58476D1CE4E5B9
_MIX2 = 0x94D049BB133111EB
_ALL = 0xFFFFFFFFFFFFFFFF


def _signed(word: int) -> int:
    """Returns the int64 that has the same 64 bits as `word`."""
    word &= _ALL
    return word - (1 << 64) if word >> 63 else word


def _shift_right(bits: Tensor, n: int) -> Tensor:
    """Shifts right and fills with zeros; torch's own shift fills with the sign bit."""
    return (bits >> n) & ((1 << (64 - n)) - 1)


def splitmix64(counter: Tensor, key: int = 0) -> Tensor:
    """Hashes each int64 counter to 64 random bits; for one key, different counters give different results.

    Args:
        counter: The int64 counters, of any shape.
        key: The key of the stream; `derive_key` makes one from small numbers.
    """
    bits = counter * _signed(_GAMMA) + _signed(key + _GAMMA)
    bits = (bits ^ _shift_right(bits, 30)) * _signed(_MIX1)
    bits = (bits ^ _shift_right(bits, 27)) * _signed(_MIX2)
    return bits ^ _shift_right(bits, 31)


def uniform(counter: Tensor, key: int) -> Tensor:
    """Returns a uniform float64 in [0, 1) for each counter, from the top 53 bits of its hash: a float64's precision."""
    return _shift_right(splitmix64(counter, key), 11).to(torch.float64) * 2.0**-53


def derive_key(*words: int) -> int:
    """Makes one key in [0, 2^64) from several integers, such as (stream, seed). Their order matters."""
    key = 0
    for word in words:
        key = int(splitmix64(torch.tensor(_signed(key ^ (word & _ALL))))) & _ALL
    return key
