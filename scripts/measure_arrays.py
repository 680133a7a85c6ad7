"""What the recipe `arrays` reaches on JapaneseVowels, on its official split.

    pip install --no-deps aeon     # only its data files are read
    python scripts/measure_arrays.py --seeds 3

JapaneseVowels (Kudo, Toyama & Shimbo 1999): 12 channels, 7 to 29 steps, 9 speakers, 270 sequences to train on and 370 to
test. A tenth of the 270 validates here, to choose the epoch. Further arguments go to the
fits; results are kept in `docs/own_data.json`.
"""

import importlib.util
import sys
from pathlib import Path

import numpy as np
from own_data import options_of, run


def japanese_vowels(part: str) -> tuple[list[np.ndarray], list[str]]:
    """Sequences (T, 12) and labels of "TRAIN" or "TEST", from the package aeon."""
    found = importlib.util.find_spec("aeon")
    if found is None or found.origin is None:
        sys.exit("error: the data are in the package aeon: pip install --no-deps aeon")
    file = Path(found.origin).parent / "datasets" / "data" / "JapaneseVowels" / f"JapaneseVowels_{part}.ts"
    rows = [line.split(":") for line in file.read_text().partition("@data\n")[2].splitlines()]
    return [np.array([channel.split(",") for channel in row[:-1]], dtype=float).T for row in rows], [
        r[-1] for r in rows
    ]


def write(path: Path) -> None:
    """The official split as an array file."""
    (train, first), (test, second) = japanese_vowels("TRAIN"), japanese_vowels("TEST")
    sequences = train + test
    lengths = np.array([len(sequence) for sequence in sequences])
    x = np.zeros((len(sequences), lengths.max(), sequences[0].shape[1]), dtype=np.float32)
    for row, sequence in zip(x, sequences, strict=True):
        row[: len(sequence)] = sequence
    split = np.array(["train"] * len(train) + ["test"] * len(test))
    np.savez(path, x=x, y=np.array(first + second), lengths=lengths, split=split)


FITS = {"arrays": ["--config=arrays", "--data.path=vowels.npz", "--data.val=0.1"]}


if __name__ == "__main__":
    options, others = options_of(__doc__).parse_known_args()
    run(FITS, options, others, lambda: write(Path("vowels.npz")))
