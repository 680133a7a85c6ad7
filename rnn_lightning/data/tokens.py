"""Text as tokens, and back: characters, bytes, or words; the vocabulary comes from a training part.

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
"""How many characters are looked up at a time, so that their code points stay in the cache."""
_CODE_POINTS = 0x110000


class Vocabulary:
    """The tokens of a text. `CharacterVocabulary`, `ByteVocabulary` and `WordVocabulary` are ready to use.

    Attributes:
        level: What a token is.
        unknown: The token for anything that is not in the vocabulary; None if nothing is unknown.
    """

    level: ClassVar[Level]
    unknown: int | None = 0

    def __len__(self) -> int:
        """The number of different tokens, including the unknown token."""
        raise NotImplementedError

    def encode(self, text: str) -> np.ndarray:
        """The tokens (N,) of a text."""
        raise NotImplementedError

    def decode(self, tokens: Iterable[int]) -> str:
        """The text of tokens."""
        raise NotImplementedError

    def entries(self) -> Any:
        """The vocabulary as a plain value."""
        raise NotImplementedError

    def prompt(self, text: str) -> np.ndarray:
        """The tokens of a prompt.

        Raises:
            ArgumentError: The prompt is empty, or has a character that is not in the training text.
        """
        tokens = self.encode(text)
        if not len(tokens):
            raise ArgumentError("the prompt is empty: give at least one token to begin with")
        return tokens

    def state(self) -> dict[str, Any]:
        """Plain values from which `restore` makes the same vocabulary."""
        return {"level": self.level, "vocabulary": self.entries()}

    @property
    def dtype(self) -> Any:
        """The smallest unsigned type that fits all tokens."""
        return np.min_scalar_type(len(self) - 1)


class CharacterVocabulary(Vocabulary):
    """Characters (code points), sorted by number; token 0 is any other character.

    Args:
        characters: All characters, each once.
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
        """The characters that occur at least `min_count` times in a text."""
        counts = np.zeros(_CODE_POINTS, dtype=np.int64)
        for codes in _blocks(text):
            found = np.bincount(codes)
            counts[: len(found)] += found
        return cls("".join(map(chr, np.flatnonzero(counts >= min_count))))

    def __len__(self) -> int:
        return len(self.characters) + 1

    def encode(self, text: str) -> np.ndarray:
        """A token a character."""
        tokens = np.empty(len(text), dtype=self._table.dtype)
        at = 0
        for codes in _blocks(text):
            np.take(self._table, codes, out=tokens[at : at + len(codes)])
            at += len(codes)
        return tokens

    def decode(self, tokens: Iterable[int]) -> str:
        """Unknown characters become U+FFFD, the replacement character."""
        known = "\ufffd" + self.characters
        return "".join(known[token] for token in tokens)

    def entries(self) -> str:
        """The characters as one text."""
        return self.characters

    def prompt(self, text: str) -> np.ndarray:
        """The tokens of a prompt, in which every character must be known."""
        tokens = super().prompt(text)
        if not tokens.all():
            unknown = sorted({character for character, token in zip(text, tokens, strict=True) if not token})
            raise ArgumentError(
                f"the prompt has {', '.join(map(repr, unknown))}, which the training text does not have: leave it out"
            )
        return tokens


class ByteVocabulary(Vocabulary):
    """The 256 bytes of UTF-8, so that nothing is unknown."""

    level = "bytes"
    unknown = None

    def __len__(self) -> int:
        return 256

    def encode(self, text: str) -> np.ndarray:
        """A token a byte."""
        return np.frombuffer(text.encode(), dtype=np.uint8)

    def decode(self, tokens: Iterable[int]) -> str:
        """Bytes that are not UTF-8 become U+FFFD, the replacement character."""
        return bytes(tokens).decode(errors="replace")

    def entries(self) -> None:
        """Nothing is fitted."""
        return None


class WordVocabulary(Vocabulary):
    """Words separated by white space, with `<eos>` at the end of each line, as in the PTB and WikiText files.

    Args:
        words: All words, each once, without `<unk>`, which is token 0 and stands for any other word.
    """

    level = "words"

    def __init__(self, words: Sequence[str]) -> None:
        self.words = [UNKNOWN, *words]
        self._index = {word: number for number, word in enumerate(self.words)}

    @classmethod
    def fit(cls, text: str, min_count: int = 1) -> "WordVocabulary":
        """The words that occur at least `min_count` times in a text, the most frequent first."""
        counts = Counter(_words(text))
        counts.pop(UNKNOWN, None)
        return cls([word for word, count in counts.most_common() if count >= min_count])

    def __len__(self) -> int:
        return len(self.words)

    def encode(self, text: str) -> np.ndarray:
        """One token per word or line end."""
        words, index = _words(text), self._index
        return np.fromiter((index.get(word, 0) for word in words), dtype=self.dtype, count=len(words))

    def decode(self, tokens: Iterable[int]) -> str:
        """Joins words with spaces, and adds line ends."""
        words = " ".join(self.words[token] for token in tokens)
        return words.replace(f" {END} ", "\n").replace(END, "\n")

    def entries(self) -> list[str]:
        """The words."""
        return self.words[1:]


_KINDS: dict[str, type[CharacterVocabulary] | type[WordVocabulary]] = {
    "characters": CharacterVocabulary,
    "words": WordVocabulary,
}


def fit_vocabulary(level: Level, text: str, min_count: int) -> Vocabulary:
    """The vocabulary of a training text."""
    return ByteVocabulary() if level == "bytes" else _KINDS[level].fit(text, min_count)


def restore_vocabulary(state: Any) -> Vocabulary:
    """The vocabulary that has this `state`.

    Raises:
        ArgumentError: It is not a vocabulary's state.
    """
    level = str(state.get("level")) if isinstance(state, dict) else ""
    if level not in get_args(Level):
        raise ArgumentError("the network has no vocabulary: give one that was trained on a TextStream")
    return ByteVocabulary() if level == "bytes" else _KINDS[level](state["vocabulary"])


def _blocks(text: str) -> Iterable[np.ndarray]:
    """The code points of a text, a block at a time."""
    for start in range(0, len(text), _BLOCK):
        yield np.frombuffer(text[start : start + _BLOCK].encode("utf-32-le"), dtype=np.uint32).view(np.int32)


def _words(text: str) -> list[str]:
    return text.replace("\n", f" {END} ").split()
