"""Measures how fast a text of 100 MB becomes tokens.

python scripts/benchmark_text.py
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from measure import in_temporary_folder, options_of, publish, timed
from pages import markdown

from rnn_lightning.data import TextStream
from rnn_lightning.data.text_files import python_topics
from rnn_lightning.data.tokens import CharacterVocabulary

if __name__ == "__main__":
    options = options_of(__doc__).parse_args()
    text = python_topics()
    text *= 100_000_000 // len(text.encode()) + 1
    size = len(text.encode()) / 1e6
    with in_temporary_folder():
        Path("text.txt").write_text(text)
        steps: dict[str, Callable[[], object]] = {
            "vocabulary": partial(CharacterVocabulary.fit, text),
            "tokens": partial(CharacterVocabulary.fit(text).encode, text),
            "TextStream and setup, with reading and SHA-256": lambda: TextStream("text.txt").setup(),
        }
        speeds = {name: size / timed(step) for name, step in steps.items()}
    rows = [(name, f"{speed:.0f}") for name, speed in speeds.items()]
    publish(options, "text", markdown((f"a text of {size:.0f} MB", "MB/s"), rows))
