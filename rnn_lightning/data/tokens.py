"""Turns text into tokens and back. Tokens are characters, bytes or words; the vocabulary is that of the training part.

A token is a whole number, 0 or more, stored in the smallest unsigned type that fits the vocabulary. For characters and
words, token 0 is the unknown token.
"""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar, Literal

import numpy as np

from rnn_lightning.errors import ArgumentError

Level = Literal["characters", "bytes", "words"]
UNKNOWN, END = "<unk>", "<eos>"
_BLOCK = 2**18
"""How many characters are looked up at a time: few enough that their code points stay in the cache."""
_CODE_POINTS = 0x110000


class Vocabulary(ABC):
    """Base class of vocabularies. `CharacterVocabulary`, `ByteVocabulary` and `WordVocabulary` are ready to use.

    Args:
        entries: The characters or words, each once, without the unknown token; None for bytes.

    Attributes:
        level: What the tokens are.
        unknown: The token for anything that is not in the vocabulary; None if nothing is unknown.
    """

    level: ClassVar[Level]
    unknown: int | None = 0

    def __init__(self, entries: Any = None) -> None:
        self.entries = entries

    def __len__(self) -> int:
        """Returns the number of different tokens, including the unknown token."""
        return 1 + len(self.entries)

    @classmethod
    @abstractmethod
    def fit(cls, text: str, min_count: int = 1) -> "Vocabulary":
        """Makes the vocabulary of what occurs at least `min_count` times in a text."""

    @abstractmethod
    def encode(self, text: str) -> np.ndarray:
        """Turns a text into tokens (N,)."""

    @abstractmethod
    def decode(self, tokens: Iterable[int]) -> str:
        """Turns tokens into text."""

    def prompt(self, text: str) -> np.ndarray:
        """Turns a prompt into tokens.

        Raises:
            ArgumentError: The prompt is empty, or has a character that is not in the vocabulary.
        """
        tokens = self.encode(text)
        if not len(tokens):
            raise ArgumentError("the prompt is empty: give at least one token to begin with")
        return tokens

    def state(self) -> dict[str, Any]:
        """Returns plain values from which `restore_vocabulary` makes the same vocabulary."""
        return {"level": self.level, "vocabulary": self.entries}

    @property
    def dtype(self) -> Any:
        """The smallest unsigned type that fits all tokens."""
        return np.min_scalar_type(len(self) - 1)


class CharacterVocabulary(Vocabulary):
    """A vocabulary of characters (code points), sorted by number. Token 0 stands for any other character."""

    level = "characters"

    def __init__(self, entries: str) -> None:
        super().__init__(entries)
        self._table = np.zeros(_CODE_POINTS, dtype=self.dtype)
        self._table[[ord(character) for character in entries]] = np.arange(1, len(self))

    @classmethod
    def fit(cls, text: str, min_count: int = 1) -> "CharacterVocabulary":
        """Makes the vocabulary of the characters that occur at least `min_count` times in a text."""
        counts = np.zeros(_CODE_POINTS, dtype=np.int64)
        for codes in _blocks(text):
            found = np.bincount(codes)
            counts[: len(found)] += found
        return cls("".join(map(chr, np.flatnonzero(counts >= min_count))))

    def encode(self, text: str) -> np.ndarray:
        """Turns each character into one token."""
        return np.concatenate([self._table[:0], *(self._table[codes] for codes in _blocks(text))])

    def decode(self, tokens: Iterable[int]) -> str:
        """Turns tokens into text. Unknown characters become U+FFFD, the replacement character."""
        known = "\ufffd" + self.entries
        return "".join(known[token] for token in tokens)

    def prompt(self, text: str) -> np.ndarray:
        """Turns a prompt into tokens. Every character must be known."""
        tokens = super().prompt(text)
        if not tokens.all():
            unknown = sorted({character for character, token in zip(text, tokens, strict=True) if not token})
            raise ArgumentError(
                f"the prompt has {', '.join(map(repr, unknown))}, which the training text does not have: leave it out"
            )
        return tokens


class ByteVocabulary(Vocabulary):
    """A vocabulary of all 256 bytes, for text in UTF-8, so nothing is unknown."""

    level = "bytes"
    unknown = None

    def __len__(self) -> int:
        return 256

    @classmethod
    def fit(cls, text: str, min_count: int = 1) -> "ByteVocabulary":
        """Makes the vocabulary, which is the same for every text."""
        return cls()

    def encode(self, text: str) -> np.ndarray:
        """Turns each byte of the UTF-8 text into one token."""
        # A prompt typed in another encoding has surrogates in place of the bytes that are not UTF-8.
        return np.frombuffer(text.encode(errors="surrogateescape"), dtype=np.uint8)

    def decode(self, tokens: Iterable[int]) -> str:
        """Turns tokens into text. Bytes that are not UTF-8 become U+FFFD, the replacement character."""
        return bytes(tokens).decode(errors="replace")


class WordVocabulary(Vocabulary):
    """A vocabulary of words separated by white space, with `<eos>` at the end of each line, as for PTB and WikiText.

    Token 0 is `<unk>`, which stands for any other word.
    """

    level = "words"

    def __init__(self, entries: Sequence[str]) -> None:
        super().__init__(list(entries))
        self._index = {word: number for number, word in enumerate(self.entries, start=1)}

    @classmethod
    def fit(cls, text: str, min_count: int = 1) -> "WordVocabulary":
        """Makes the vocabulary of the words that occur at least `min_count` times in a text, most frequent first."""
        counts = Counter(_words(text))
        counts.pop(UNKNOWN, None)
        return cls([word for word, count in counts.most_common() if count >= min_count])

    def encode(self, text: str) -> np.ndarray:
        """Turns each word or line end into one token."""
        return np.array([self._index.get(word, 0) for word in _words(text)], dtype=self.dtype)

    def decode(self, tokens: Iterable[int]) -> str:
        """Turns tokens into text: words are joined by spaces, and `<eos>` becomes a line end."""
        known = [UNKNOWN, *self.entries]
        words = " ".join(known[token] for token in tokens)
        return words.replace(f" {END} ", "\n").replace(END, "\n")


_KINDS: dict[str, Any] = {kind.level: kind for kind in (CharacterVocabulary, ByteVocabulary, WordVocabulary)}


def fit_vocabulary(level: Level, text: str, min_count: int) -> Vocabulary:
    """Makes the vocabulary of a training text."""
    return _KINDS[level].fit(text, min_count)


def restore_vocabulary(state: Any) -> Vocabulary:
    """Restores the vocabulary whose `state()` is `state`.

    Raises:
        ArgumentError: `state` is not a vocabulary's state.
    """
    kind = _KINDS.get(state.get("level", "")) if isinstance(state, dict) else None
    if kind is None:
        raise ArgumentError("the network has no vocabulary: give one that was trained on a TextStream")
    return kind(state["vocabulary"])


def _blocks(text: str) -> Iterable[np.ndarray]:
    """Yields the code points of a text, one block at a time."""
    for start in range(0, len(text), _BLOCK):
        block = text[start : start + _BLOCK].encode("utf-32-le", "surrogatepass")
        yield np.frombuffer(block, dtype=np.uint32).view(np.int32)


def _words(text: str) -> list[str]:
    return text.replace("\n", f" {END} ").split()
