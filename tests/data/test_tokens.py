"""Text to tokens and back."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnn_lightning import ArgumentError
from rnn_lightning.data.tokens import (
    ByteVocabulary,
    CharacterVocabulary,
    WordVocabulary,
    fit_vocabulary,
    restore_vocabulary,
)

TEXT = st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=60)


@given(TEXT, TEXT)
def test_characters_are_looked_up_in_the_training_texts(train, other):
    vocabulary = CharacterVocabulary.fit(train)
    known = sorted(set(train))
    assert len(vocabulary) == len(known) + 1
    assert vocabulary.encode(other).tolist() == [known.index(c) + 1 if c in known else 0 for c in other]
    assert vocabulary.decode(vocabulary.encode(train)) == train
    again = restore_vocabulary(vocabulary.state())
    assert (again.encode(other) == vocabulary.encode(other)).all()


@given(TEXT)
def test_bytes_are_those_of_utf8(text):
    vocabulary = ByteVocabulary()
    assert vocabulary.encode(text).tolist() == list(text.encode())
    assert vocabulary.decode(vocabulary.encode(text)) == text


def test_words_are_counted_and_rare_ones_unknown():
    text = "a b a\nc a b\n"
    vocabulary = WordVocabulary.fit(text, min_count=2)
    assert vocabulary.entries == ["a", "b", "<eos>"]
    assert [vocabulary.decode([token]) for token in range(len(vocabulary))] == ["<unk>", "a", "b", "\n"]
    assert vocabulary.encode(text).tolist() == [1, 2, 1, 3, 0, 1, 2, 3]
    assert vocabulary.decode([1, 2, 3, 0, 1]) == "a b\n<unk> a"
    assert WordVocabulary.fit("<unk> a <unk>").entries == ["a"]
    assert restore_vocabulary(vocabulary.state()).encode("b zzz").tolist() == [2, 0]


@pytest.mark.parametrize(
    ("count", "dtype"), [(255, np.uint8), (256, np.uint16), (65_535, np.uint16), (65_536, np.uint32)]
)
def test_the_smallest_type_holds_the_tokens(count, dtype):
    words = WordVocabulary([f"w{i}" for i in range(count)])  # and the unknown one
    assert words.encode("w0 w1").dtype == dtype
    if count < 60_000:
        characters = CharacterVocabulary("".join(chr(0x1000 + i) for i in range(count)))
        assert characters.encode("a").dtype == dtype


def test_counts_over_several_blocks(monkeypatch):
    monkeypatch.setattr("rnn_lightning.data.tokens._BLOCK", 3)
    text = "abcab\U0001f600xyza"
    vocabulary = CharacterVocabulary.fit(text, min_count=2)
    assert vocabulary.entries == "".join(sorted(c for c, n in Counter(text).items() if n >= 2))
    assert vocabulary.decode(CharacterVocabulary.fit(text).encode(text)[:2]) is not None
    assert CharacterVocabulary.fit(text).decode(CharacterVocabulary.fit(text).encode(text)) == text


def test_prompts():
    vocabulary = fit_vocabulary("characters", "abc", 1)
    assert vocabulary.prompt("cab").tolist() == [3, 1, 2]
    with pytest.raises(ArgumentError, match="'x', 'z', which the training text does not have"):
        vocabulary.prompt("azxa")
    with pytest.raises(ArgumentError, match="prompt is empty"):
        vocabulary.prompt("")
    assert fit_vocabulary("words", "a a", 1).prompt("b a").tolist() == [0, 1]


def test_a_prompt_may_have_bytes_that_are_not_utf_8():
    typed = b"a\xff".decode(errors="surrogateescape")  # as Python decodes the command line
    with pytest.raises(ArgumentError, match=r"'\\udcff', which the training text does not have"):
        CharacterVocabulary("a").prompt(typed)
    assert ByteVocabulary().prompt(typed).tolist() == [ord("a"), 0xFF]
    for state in (None, {}, {"level": "syllables"}):
        with pytest.raises(ArgumentError, match="has no vocabulary"):
            restore_vocabulary(state)
