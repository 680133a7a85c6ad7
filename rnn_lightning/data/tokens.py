"""Turns text into tokens and back. Tokens are characters, bytes or words; the vocabulary is that of the training part.

A token is a whole number, 0 or more, stored in the smallest unsigned type that fits the vocabulary. For characters and
words, token 0 is the unknown token.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar, Literal, get_args

import numpy as np

from rnn_lightning.errors import ArgumentError

Level = Literal["characters", "bytes", "words"]
UNKNOWN, END = "<unk>", "<eos>"
_BLOCK = 2**18
"""How many characters are looked up at a time: few enough that their code points stay in the cache."""
_CODE_POINTS = 0x110000


class Vocabulary:
    """Base class of vocabularies. `CharacterVocabulary`, `ByteVocabulary` and `WordVocabulary` are ready to use.

    Attributes:
        level: What the tokens are.
        unknown: The token for anything that is not in the vocabulary; None if nothing is unknown.
    """

    level: ClassVar[Level]
    unknown: int | None = 0

    def __len__(self) -> int:
        """Returns the number of different tokens, including the unknown token."""
        raise NotImplementedError

    def encode(self, text: str) -> np.ndarray:
        """Turns a text into tokens (N,)."""
        raise NotImplementedError

    def decode(self, tokens: Iterable[int]) -> str:
        """Turns tokens into text."""
        raise NotImplementedError

    def entries(self) -> Any:
        """Returns the vocabulary as a plain value."""
        raise NotImplementedError

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
        return {"level": self.level, "vocabulary": self.entries()}

    @property
    def dtype(self) -> Any:
        """The smallest unsigned type that fits all tokens."""
        return np.min_scalar_type(len(self) - 1)


class CharacterVocabulary(Vocabulary):
    """A vocabulary of characters (code points), sorted by number. Token 0 stands for any other character.

    Args:
        characters: The characters, each once.
    """

    level = "characters"

    def __init__(self, characters: str) -> None:
        self.characters = characters
        codes = [ord(character) for character in characters]
        table = np.zeros(_CODE_POINTS, dtype=self.dtype)
        table[codes] = np.arange(1, len(codes) + 1)
        self._table = table

    @classmethod
    def fit(cls, text: str, min_count: int = 1) -> "CharacterVocabulary":
        """Makes the vocabulary of the characters that occur at least `min_count` times in a text."""
        counts = np.zeros(_CODE_POINTS, dtype=np.int64)
        for codes in _blocks(text):
            found = np.bincount(codes)
            counts[: len(found)] += found
        return cls("".join(map(chr, np.flatnonzero(counts >= min_count))))

    def __len__(self) -> int:
        return len(self.characters) + 1

    def encode(self, text: str) -> np.ndarray:
        """Turns each character into one token."""
        tokens = np.empty(len(text), dtype=self._table.dtype)
        at = 0
        for codes in _blocks(text):
            np.take(self._table, codes, out=tokens[at : at + len(codes)])
            at += len(codes)
        return tokens

    def decode(self, tokens: Iterable[int]) -> str:
        """Turns tokens into text. Unknown characters become U+FFFD, the replacement character."""
        known = "\ufffd" + self.characters
        return "".join(known[token] for token in tokens)

    def entries(self) -> str:
        """Returns the characters as one string."""
        return self.characters

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

    def encode(self, text: str) -> np.ndarray:
        """Turns each byte of the UTF-8 text into one token."""
        return np.frombuffer(text.encode(), dtype=np.uint8)

    def decode(self, tokens: Iterable[int]) -> str:
        """Turns tokens into text. Bytes that are not UTF-8 become U+FFFD, the replacement character."""
        return bytes(tokens).decode(errors="replace")

    def entries(self) -> None:
        """Returns None, as nothing is fitted."""
        return None


class WordVocabulary(Vocabulary):
    """A vocabulary of words separated by white space, with `<eos>` at the end of each line, as for PTB and WikiText.

    Args:
        words: The words, each once, without `<unk>`, which is token 0 and stands for any other word.
    """

    level = "words"

    def __init__(self, words: Sequence[str]) -> None:
        self.words = [UNKNOWN, *words]
        self._index = {word: number for number, word in enumerate(self.words)}

    @classmethod
    def fit(cls, text: str, min_count: int = 1) -> "WordVocabulary":
        """Makes the vocabulary of the words that occur at least `min_count` times in a text, most frequent first."""
        counts = Counter(_words(text))
        counts.pop(UNKNOWN, None)
        return cls([word for word, count in counts.most_common() if count >= min_count])

    def __len__(self) -> int:
        return len(self.words)

    def encode(self, text: str) -> np.ndarray:
        """Turns each word or line end into one token."""
        words, index = _words(text), self._index
        return np.fromiter((index.get(word, 0) for word in words), dtype=self.dtype, count=len(words))

    def decode(self, tokens: Iterable[int]) -> str:
        """Turns tokens into text: words are joined by spaces, and `<eos>` becomes a line end."""
        words = " ".join(self.words[token] for token in tokens)
        return words.replace(f" {END} ", "\n").replace(END, "\n")

    def entries(self) -> list[str]:
        """Returns the words, without `<unk>`."""
        return self.words[1:]


_KINDS: dict[str, type[CharacterVocabulary] | type[WordVocabulary]] = {
    "characters": CharacterVocabulary,
    "words": WordVocabulary,
}


def fit_vocabulary(level: Level, text: str, min_count: int) -> Vocabulary:
    """Makes the vocabulary of a training text."""
    return ByteVocabulary() if level == "bytes" else _KINDS[level].fit(text, min_count)


def restore_vocabulary(state: Any) -> Vocabulary:
    """Restores the vocabulary whose `state()` is `state`.

    Raises:
        ArgumentError: `state` is not a vocabulary's state.
    """
    level = str(state.get("level")) if isinstance(state, dict) else ""
    if level not in get_args(Level):
        raise ArgumentError("the network has no vocabulary: give one that was trained on a TextStream")
    return ByteVocabulary() if level == "bytes" else _KINDS[level](state["vocabulary"])


def _blocks(text: str) -> Iterable[np.ndarray]:
    """Yields the code points of a text, one block at a time."""
    for start in range(0, len(text), _BLOCK):
        yield np.frombuffer(text[start : start + _BLOCK].encode("utf-32-le"), dtype=np.uint32).view(np.int32)


def _words(text: str) -> list[str]:
    return text.replace("\n", f" {END} ").split()
