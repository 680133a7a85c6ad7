"""Methods without a network, to compare the recipes for your own files with: n-grams, xz, and nearest neighbours."""

import lzma
import math
import platform
from collections import Counter, defaultdict
from typing import Any

import numpy as np
from own_files import japanese_vowels, padded

from rnn_lightning.data import TextStream


def ngram_bits(train: list[int], test: list[int], order: int, size: int) -> float:
    """Returns bits per token of an n-gram model, interpolated down to the uniform distribution (Witten & Bell 1991).

    Args:
        train: Tokens to count.
        test: Tokens to predict, each from the tokens before it in the test part.
        order: n; 1 uses no context.
        size: The number of different tokens.
    """
    follow: dict[tuple[int, ...], Counter[int]] = defaultdict(Counter)
    for n in range(order):
        for at in range(n, len(train)):
            follow[tuple(train[at - n : at])][train[at]] += 1
    totals = {context: counts.total() for context, counts in follow.items()}
    bits = 0.0
    for at, token in enumerate(test):
        p = 1 / size
        for n in range(min(order - 1, at) + 1):
            context = tuple(test[at - n : at])
            if (counts := follow.get(context)) is not None:
                p = (counts[token] + len(counts) * p) / (totals[context] + len(counts))
        bits -= math.log2(p)
    return bits / len(test)


def xz_bits(train: str, test: str) -> float:
    """Returns the bits per character that xz needs for the test part after the training part."""
    whole, alone = (len(lzma.compress(text.encode(), preset=9 | lzma.PRESET_EXTREME)) for text in (train + test, train))
    return 8 * (whole - alone) / len(test)


def of_text() -> dict[str, Any]:
    """Returns the bits per character of each method, for the text that comes with Python."""
    data = TextStream()
    train, test = (data._parts[part].tolist() for part in ("train", "test"))
    bits = {f"test/{order}-gram": ngram_bits(train, test[1:], order, len(data.vocabulary)) for order in (1, 5)}
    bits["test/xz"] = xz_bits(data.vocabulary.decode(train), data.vocabulary.decode(test[1:]))
    rounded = {name: round(value, 4) for name, value in bits.items()}
    return {"python": platform.python_version(), "sha256": data.sha256, "test": rounded}


def dtw(x: np.ndarray, others: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Dependent dynamic time warping: (N,) the least sum of squared distances on a path from x to each other sequence.

    Args:
        x: (T, I).
        others: (N, T', I), padded.
        lengths: (N,) the lengths of the other sequences.
    """
    cost = ((x[:, None] - others[:, None]) ** 2).sum(-1)  # (N, T, T')
    least = np.full((len(others), len(x) + 1, others.shape[1] + 1), np.inf)
    least[:, 0, 0] = 0
    for i in range(len(x)):
        for j in range(others.shape[1]):
            before = np.minimum(np.minimum(least[:, i, j], least[:, i, j + 1]), least[:, i + 1, j])
            least[:, i + 1, j + 1] = cost[:, i, j] + before
    return least[np.arange(len(others)), len(x), lengths]


def of_arrays() -> dict[str, Any]:
    """Returns the test accuracy of the nearest neighbour under `dtw` among all 270, the archive's own baseline."""
    (train, labels), (test, truth) = japanese_vowels("TRAIN"), japanese_vowels("TEST")
    others, lengths = padded(train), np.array([len(sequence) for sequence in train])
    hits = [labels[dtw(x, others, lengths).argmin()] == label for x, label in zip(test, truth, strict=True)]
    return {"test": {"test/acc": round(float(np.mean(hits)), 6)}}
