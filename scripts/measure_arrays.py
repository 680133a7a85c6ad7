"""Measures the accuracy of the recipe `arrays` on the official split of JapaneseVowels.

    pip install --no-deps aeon     # only its data files are read
    python scripts/measure_arrays.py --seeds 3

JapaneseVowels (Kudo, Toyama & Shimbo 1999): 12 channels, 7 to 29 steps, 9 speakers, 270 sequences to train on and 370
to test. Here, a tenth of the 270 training sequences is used for validation, to choose the epoch. Further arguments go
to the fits; results are saved in `docs/own_data.json`.
"""

import importlib.util
import sys
from pathlib import Path

import numpy as np
from own_data import keep, load, options_of, run


def japanese_vowels(part: str) -> tuple[list[np.ndarray], list[str]]:
    """Returns the sequences (T, 12) and labels of "TRAIN" or "TEST", from the package aeon."""
    found = importlib.util.find_spec("aeon")
    if found is None or found.origin is None:
        sys.exit("error: the data are in the package aeon: pip install --no-deps aeon")
    file = Path(found.origin).parent / "datasets" / "data" / "JapaneseVowels" / f"JapaneseVowels_{part}.ts"
    rows = [line.split(":") for line in file.read_text().partition("@data\n")[2].splitlines()]
    return [np.array([channel.split(",") for channel in row[:-1]], dtype=float).T for row in rows], [
        r[-1] for r in rows
    ]


def write(path: Path) -> None:
    """Writes the official split as an array file."""
    (train, first), (test, second) = japanese_vowels("TRAIN"), japanese_vowels("TEST")
    sequences = train + test
    lengths = np.array([len(sequence) for sequence in sequences])
    x = np.zeros((len(sequences), lengths.max(), sequences[0].shape[1]), dtype=np.float32)
    for row, sequence in zip(x, sequences, strict=True):
        row[: len(sequence)] = sequence
    split = np.array(["train"] * len(train) + ["test"] * len(test))
    np.savez(path, x=x, y=np.array(first + second), lengths=lengths, split=split)


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


def nearest_neighbour() -> float:
    """Returns the test accuracy of one nearest neighbour by `dtw` among all 270, the archive's own baseline."""
    (train, labels), (test, truth) = japanese_vowels("TRAIN"), japanese_vowels("TEST")
    lengths = np.array([len(sequence) for sequence in train])
    padded = np.zeros((len(train), lengths.max(), train[0].shape[1]))
    for row, sequence in zip(padded, train, strict=True):
        row[: len(sequence)] = sequence
    found = [labels[dtw(sequence, padded, lengths).argmin()] for sequence in test]
    return float(np.mean([a == b for a, b in zip(found, truth, strict=True)]))


PUBLISHED = {
    "test": {"test/acc": 0.949},
    "citation": "Bagnall et al. 2018, The UEA multivariate time series classification archive, arXiv:1811.00075: "
    "1-NN DTW (dependent), JapaneseVowels",
}
"""The published results on this split."""
FITS = {"arrays": ["--config=arrays", "--data.path=vowels.npz", "--data.val=0.1"]}


if __name__ == "__main__":
    options, others = options_of(__doc__).parse_known_args()
    keep("arrays/published/0", PUBLISHED)
    if "arrays/dtw/0" not in load():
        keep("arrays/dtw/0", {"test": {"test/acc": round(nearest_neighbour(), 6)}})
    run(FITS, options, others, lambda: write(Path("vowels.npz")))
