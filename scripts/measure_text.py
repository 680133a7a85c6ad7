"""Compares the recipe `chars` with n-gram models and a compressor, on the text that comes with Python.

    python scripts/measure_text.py naive    # unigram, 5-gram and xz on the test part; seconds
    python scripts/measure_text.py tokens   # megabytes a second of tokenisation, on 100 MB
    python scripts/measure_text.py chars    # the recipe; minutes
    python scripts/measure_text.py state    # carried beside reset state, and k1 = k2 = 1, 8, 32, 128, at equal steps
    python scripts/measure_text.py words    # dropout of three kinds with the recipe `words`; apt install dict-jargon

Results for characters are in bits per character of the test part, the last 5 % of the text. The text's SHA-256 is
printed, as the text changes with Python's version. Results of fits are saved in `docs/own_data.json`, and `python
scripts/tables.py` puts them into docs/text.md. Further arguments go to the fits, so give only arguments that do not
change the results.
"""

import lzma
import math
import platform
import tempfile
import time
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
from own_data import keep, options_of, run

from rnn_lightning.data import TextStream
from rnn_lightning.data.text_files import python_topics
from rnn_lightning.data.tokens import CharacterVocabulary


def ngram_bits(train: np.ndarray, test: np.ndarray, order: int, size: int) -> float:
    """Returns bits per token of an n-gram model, interpolated down to the uniform distribution (Witten & Bell 1991).

    Args:
        train: (N,) tokens to count.
        test: (M,) tokens to predict, each from the tokens before it in the test part.
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
    """Returns the bits per character that xz needs for the test part after the training part."""
    whole, alone = (len(lzma.compress(text.encode(), preset=9 | lzma.PRESET_EXTREME)) for text in (train + test, train))
    return 8 * (whole - alone) / len(test)


def naive() -> None:
    """Prints the results of methods without a network."""
    data = TextStream()
    bits = {}
    parts = {name: data.vocabulary.decode(tokens.tolist()) for name, tokens in data._parts.items()}
    train, test = (data.vocabulary.encode(parts[part]) for part in ("train", "test"))
    for order in (1, 5):
        bits[f"test/{order}-gram"] = round(ngram_bits(train, test[1:], order, len(data.vocabulary)), 4)
    bits["test/xz"] = round(xz_bits(parts["train"], parts["test"][1:]), 4)
    result = {"python": platform.python_version(), "sha256": data.sha256, "test": bits}
    keep("chars/naive/0", result)
    print(result)


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


SHORT = ["--config=chars", "--trainer.max_epochs=3", "--model.lr_scheduler.T_max=3"]


def of_chunks(k: int) -> list[str]:
    """The arguments of a fit with gradients over k steps; tokens and optimizer steps are the same for every k."""
    return [
        *SHORT,
        "--trainer.gradient_clip_val=null",
        f"--model.tbptt={{k1: {k}, step_every: batch, gradient_clip_val: 1}}",
    ]


FITS = {
    "chars": {"chars": ["--config=chars"]},
    "state": {
        "chars/carried": SHORT,
        "chars/reset": [*SHORT, "--model.carry_state=false"],
        **{f"chars/k{k}": of_chunks(k) for k in (32, 8, 1)},  # 128 is the whole batch, as in chars/carried
    },
    "words": {
        "words/gal": ["--config=words"],
        "words/zaremba": ["--config=words", "--model.variational=false", "--model.state_dropout=0"],
        "words/none": ["--config=words", *(f"--model.{kind}_dropout=0" for kind in ("input", "output", "state"))],
    },
}


if __name__ == "__main__":
    parser = options_of(__doc__)
    parser.add_argument("what", choices=("naive", "tokens", *FITS))
    options, others = parser.parse_known_args()
    if options.what in FITS:
        run(FITS[options.what], options, others)
    else:
        {"naive": naive, "tokens": tokens}[options.what]()
