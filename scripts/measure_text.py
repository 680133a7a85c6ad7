"""Compares the recipe `chars` with n-gram models and a compressor, on the text that comes with Python.

    python scripts/measure_text.py naive              # unigram, 5-gram and xz on the test part; seconds
    python scripts/measure_text.py tokens             # megabytes per second of tokenisation, on 100 MB
    python scripts/measure_text.py state --epochs 3   # carried beside reset state, equal steps; minutes

Figures are bits per character of the test part, the last 5 % of the text, whose SHA-256 is printed: the text depends on
Python's version.
"""

import argparse
import lzma
import math
import os
import tempfile
import time
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import numpy as np

from rnn_lightning.cli import CLI, main
from rnn_lightning.data import TextStream
from rnn_lightning.data.text_files import python_topics
from rnn_lightning.data.tokens import CharacterVocabulary


def ngram_bits(train: np.ndarray, test: np.ndarray, order: int, size: int) -> float:
    """Bits per token of an n-gram model, interpolated as by Witten & Bell (1991) down to the uniform distribution.

    Args:
        train: (N,) tokens that are counted.
        test: (M,) tokens that are predicted, each from those before it in the test part.
        order: n; 1 uses no context.
        size: The number of different tokens.
    """
    tokens, shown = train.tolist(), test.tolist()
    follow: dict[tuple[int, ...], Counter[int]] = defaultdict(Counter)
    for n in range(order):
        for at in range(n, len(tokens)):
            follow[tuple(tokens[at - n : at])][tokens[at]] += 1
    totals = {context: counts.total() for context, counts in follow.items()}
    bits = 0.0
    for at, token in enumerate(shown):
        p = 1 / size
        for n in range(min(order - 1, at) + 1):
            context = tuple(shown[at - n : at])
            if (counts := follow.get(context)) is not None:
                p = (counts[token] + len(counts) * p) / (totals[context] + len(counts))
        bits -= math.log2(p)
    return bits / len(shown)


def xz_bits(train: str, test: str) -> float:
    """Bits per character that xz needs for the test part after the training part."""
    whole, alone = (len(lzma.compress(text.encode(), preset=9 | lzma.PRESET_EXTREME)) for text in (train + test, train))
    return 8 * (whole - alone) / len(test)


def naive() -> None:
    """Prints what methods without a network reach."""
    data = TextStream()
    print(f"pydoc_data.topics, SHA-256 {data.sha256}")
    parts = {name: data.vocabulary.decode(tokens.tolist()) for name, tokens in data._parts.items()}
    train, test = (data.vocabulary.encode(parts[part]) for part in ("train", "test"))
    for order in (1, 5):
        print(f"{order}-gram: {ngram_bits(train, test[1:], order, len(data.vocabulary)):.3f} bits per character")
    print(f"xz: {xz_bits(parts['train'], parts['test'][1:]):.3f} bits per character")


def tokens() -> None:
    """Prints how fast a text becomes tokens."""
    text = python_topics()
    text *= 100_000_000 // len(text.encode()) + 1
    begin = time.perf_counter()
    vocabulary = CharacterVocabulary.fit(text)
    fitted = time.perf_counter()
    found = vocabulary.encode(text)
    done = time.perf_counter()
    size = len(text.encode()) / 1e6
    print(f"{size:.0f} MB: vocabulary {size / (fitted - begin):.0f} MB/s, tokens {size / (done - fitted):.0f} MB/s")
    print(f"together {size / (done - begin):.0f} MB/s; kept as {found.dtype}")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "text.txt")
        path.write_text(text)
        begin = time.perf_counter()
        TextStream(path).setup()
        print(f"TextStream and setup, with reading and SHA-256: {size / (time.perf_counter() - begin):.0f} MB/s")


class Kept(CLI):
    """Keeps the metrics of a fit and its test."""

    found: dict[str, float] = {}

    def after_fit(self) -> None:
        """Keeps them."""
        super().after_fit()
        Kept.found = {name: float(value) for name, value in self.trainer.callback_metrics.items()}


def state(epochs: int, more: list[str]) -> None:
    """Prints what carrying the state gains, with the same number of steps."""
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        for carried in ("true", "false"):
            length = [f"--trainer.max_epochs={epochs}", f"--model.lr_scheduler.T_max={epochs}"]
            main(["fit", "--config=chars", f"--model.carry_state={carried}", *length, *more], cli=Kept)
            found = Kept.found
            print(f"carry_state={carried}: test {found['test/bits_per_character']:.3f} bits per character", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("naive", "tokens", "state"))
    parser.add_argument("--epochs", type=int, default=3)
    options, others = parser.parse_known_args()
    jobs: dict[str, Any] = {"naive": naive, "tokens": tokens, "state": lambda: state(options.epochs, others)}
    jobs[options.what]()
