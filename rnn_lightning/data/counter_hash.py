"""Random numbers as a pure function of a counter: no generator, no state, the same on every machine.

Number i of a stream is a hash of (key, i). So number i can be computed directly, whatever was drawn before, in any
process and with any batch size. Resuming within an epoch and using several workers or devices need no special care.

The hash is splitmix64: Steele, Lea and Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014; constants
as in S. Vigna's public-domain splitmix64.c. torch has no unsigned 64-bit arithmetic, so the 64 bits are held in int64.
"""

import torch
from torch import Tensor

_GAMMA = 0x9E3779B97F4A7C15  # 2^64 over the golden ratio, made odd, so that i * GAMMA visits all 64-bit numbers
_MIX1 = 0xBF58476D1CE4E5B9
_MIX2 = 0x94D049BB133111EB
_ALL = 0xFFFFFFFFFFFFFFFF


def _signed(word: int) -> int:
    """The int64 that has the same 64 bits as `word`."""
    word &= _ALL
    return word - (1 << 64) if word >> 63 else word


def _shift_right(bits: Tensor, n: int) -> Tensor:
    """Logical shift; torch's own shift fills with the sign bit."""
    return (bits >> n) & ((1 << (64 - n)) - 1)


def splitmix64(counter: Tensor, key: int = 0) -> Tensor:
    """Hashes each int64 counter to 64 random bits; for one key, different counters give different results.

    Args:
        counter: Int64, of any shape.
        key: Names the stream; `derive_key` makes a key from small numbers.
    """
    bits = counter * _signed(_GAMMA) + _signed(key + _GAMMA)
    bits = (bits ^ _shift_right(bits, 30)) * _signed(_MIX1)
    bits = (bits ^ _shift_right(bits, 27)) * _signed(_MIX2)
    return bits ^ _shift_right(bits, 31)


def uniform(counter: Tensor, key: int) -> Tensor:
    """Uniform float64 numbers in [0, 1), one for each counter: the top 53 bits of its hash, a float64's precision."""
    return _shift_right(splitmix64(counter, key), 11).to(torch.float64) * 2.0**-53


def derive_key(*words: int) -> int:
    """One key in [0, 2^64) from several integers, such as (stream, seed); another order gives another key."""
    key = 0
    for word in words:
        key = int(splitmix64(torch.tensor(_signed(key ^ (word & _ALL))))) & _ALL
    return key
