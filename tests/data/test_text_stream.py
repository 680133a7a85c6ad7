"""`TextStream`: parts, vocabulary, targets, and files that can't be read."""

import gzip
import hashlib
import lzma

import pytest
import torch
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from lightning.pytorch import Trainer

from rnn_lightning import ArgumentError
from rnn_lightning.data import TextStream
from rnn_lightning.data.text_files import PACKAGES
from rnn_lightning.models import Seq2Seq, Seq2Vec
from rnn_lightning.recipes import recipes

WORDS = "the cat sat on a mat and the dog ran to it\n"
SMALL = {"n_steps": 5, "batch_size": 3}


@pytest.fixture
def book(tmp_path):
    path = tmp_path / "book.txt"
    path.write_text("".join(f"{i} {WORDS}" for i in range(40)), encoding="utf-8")
    return path


def shown(data, part):
    """The targets of a part in the order of the text, and the inputs: each row's go on from batch to batch."""
    rows = {}
    for batch in getattr(data, f"{part}_dataloader")():
        lengths = batch.get("lengths", torch.full((len(batch["x"]),), batch["x"].shape[1]))
        for row, length in enumerate(lengths.tolist()):
            for name in ("x", "y"):
                rows.setdefault((name, row), []).extend(batch[name][row, :length].tolist())
    count = max(row for _, row in rows) + 1
    return tuple([token for row in range(count) for token in rows[name, row]] for name in ("x", "y"))


@pytest.mark.parametrize("level", ["characters", "bytes", "words"])
@pytest.mark.parametrize("eval_rows", [1, 2, 7])
def test_every_token_is_a_target_once_and_predicted_from_the_one_before(level, eval_rows, book):
    data = TextStream(book, level=level, val=0.2, test=0.1, min_count=1, eval_batch_size=eval_rows, **SMALL)
    data.setup()
    text = data.vocabulary.encode(book.read_text()).tolist()
    x, y = ([token for part in ("train", "val", "test") for token in shown(data, part)[i]] for i in (0, 1))
    assert y == text[1:], "also the first token of a part"
    assert x == text[:-1]
    shares = [len(shown(data, part)[1]) / len(text) for part in ("val", "test")]
    assert shares == pytest.approx([0.2, 0.1], abs=0.02)
    assert data.input_size == data.output_size == len(data.vocabulary)


@settings(deadline=None, max_examples=20)
@given(
    first=st.text("abcdefgh \n", min_size=300, max_size=300), second=st.text("wxyzabc \n", min_size=400, max_size=400)
)
def test_the_test_part_changes_nothing_else(first, second, tmp_path_factory):
    folder = tmp_path_factory.mktemp("texts")
    streams = []
    for number, end in enumerate((second, second[::-1])):
        (folder / f"{number}.txt").write_text(first * 2 + end, encoding="utf-8")
        data = TextStream(folder / f"{number}.txt", val=0.2, test=0.4, **SMALL)
        data.setup()
        streams.append(data)
    a, b = streams
    assert a.fitted_values == b.fitted_values
    assert set(a.vocabulary.entries) <= set(first)
    for part in ("train", "val"):
        assert shown(a, part) == shown(b, part)


def test_what_the_training_part_lacks_is_unknown_and_counted(tmp_path):
    (tmp_path / "a.txt").write_text("ab" * 100 + "acab" + "zzab")
    data = TextStream(tmp_path / "a.txt", val=4 / 208, test=4 / 208, n_steps=4, batch_size=2)
    assert data.vocabulary.entries == "ab"
    assert data.unknown == {"train": 0, "val": 1, "test": 2}


def test_three_files_and_a_folder(tmp_path, book):
    parts = tmp_path / "parts"
    (parts / "b").mkdir(parents=True)
    (parts / "b" / "2.txt").write_text("second ")
    (parts / "a.txt").write_text("first ")
    (parts / ".hidden").write_text("hidden")
    data = TextStream(book, val=str(parts), test=str(parts / "a.txt"), eval_batch_size=1, **SMALL)
    data.setup()
    assert data.vocabulary.decode(shown(data, "train")[1]) == book.read_text()[1:]
    decoded = [data.vocabulary.decode(shown(data, part)[1]) for part in ("val", "test")]
    known = set(book.read_text())
    assert decoded == ["".join(c if c in known else "\ufffd" for c in text) for text in ("irst second ", "irst ")]
    texts = book.read_text() + "first second " + "first "
    assert data.sha256 == hashlib.sha256(texts.encode()).hexdigest()


@pytest.mark.parametrize("suffix", [".gz", ".dz"])
def test_compressed_texts(suffix, book, tmp_path):
    path = tmp_path / f"book.txt{suffix}"
    path.write_bytes(gzip.compress(book.read_bytes()))
    assert TextStream(path, **SMALL).sha256 == TextStream(book, **SMALL).sha256
    for damaged in (path.read_bytes()[:-20], b"\x1f\x8b\x08" + b"\0" * 50, b"no gzip"):
        path.write_bytes(damaged)
        with pytest.raises(ArgumentError, match="cannot be read") as error:
            TextStream(path, **SMALL)
        assert "\n" not in str(error.value)


def test_paths_of_any_kind(book, tmp_path):
    (tmp_path / "zipped").write_bytes(gzip.compress(book.read_bytes()))
    data = TextStream(tmp_path / "zipped", val=book, test=book, **SMALL)  # by its content, not by its name
    assert data._parts["val"].tolist() == data.vocabulary.encode(book.read_text()).tolist()
    assert data.hparams["val"] == str(book)
    for path, words in (("", "path is empty"), ("a" * 5000, "there is no such file"), (["a"], "there is no such file")):
        with pytest.raises(ArgumentError, match=words):
            TextStream(path)


def test_a_recipes_text_that_is_not_installed_names_its_package(monkeypatch, tmp_path):
    path = str(tmp_path / "jargon.dict.dz")
    monkeypatch.setitem(PACKAGES, path, "dict-jargon")
    with pytest.raises(ArgumentError, match="apt install dict-jargon") as error:
        TextStream(path)
    assert "\n" not in str(error.value)
    recipe = yaml.safe_load(recipes()["words"].read_text())
    assert recipe["data"]["init_args"]["path"] in PACKAGES


def test_the_default_is_the_text_that_comes_with_python():
    from pydoc_data.topics import topics

    data = TextStream()
    assert sum(map(len, topics.values())) < sum(len(tokens) for tokens in data._parts.values())
    assert data.vocabulary.dtype == "uint8"
    assert data._parts["train"].dtype == "uint8"


def test_a_fitted_vocabulary_is_not_fitted_again(book, tmp_path):
    first = TextStream(book, **SMALL)
    (tmp_path / "other.txt").write_text("étrange " * 40)
    second = TextStream(tmp_path / "other.txt", fitted=first.fitted_values, **SMALL)
    assert second.fitted_values == first.fitted_values
    assert second.input_size == first.input_size
    assert second.unknown["train"] > 0
    with pytest.raises(ArgumentError, match="level=words, but the network was trained on characters"):
        TextStream(book, level="words", fitted=first.fitted_values, **SMALL)


def test_networks_that_would_read_their_targets_are_refused(book):
    """By the Trainer, before any work is done."""
    data = TextStream(book, **SMALL)
    trainer = Trainer(accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False)
    sizes = (data.input_size, data.output_size)
    with pytest.raises(ArgumentError, match="the backward direction has already read"):
        trainer.fit(Seq2Seq(*sizes, hidden_size=4, embedding_size=4, bidirectional=True), data)
    with pytest.raises(ArgumentError, match="use --model Seq2Seq"):
        trainer.fit(Seq2Vec(*sizes, hidden_size=4, embedding_size=4), data)
    assert trainer.global_step == 0


def test_there_is_no_set_to_predict(book):
    data = TextStream(book, **SMALL)
    data.setup()
    with pytest.raises(ArgumentError, match="give --prompt"):
        data.predict_dataloader()


@pytest.mark.parametrize(
    ("content", "arguments", "words"),
    [
        (None, {}, "there is no such file"),
        (b"", {}, "contains no text"),
        ("grün".encode("latin-1") * 50, {}, "is not UTF-8, from byte 2 on: convert it"),
        (b"short", {}, "too few for 3 rows"),
        (b"text " * 50, {"val": 0.6, "test": 0.5}, "leave nothing to train on"),
        (b"text " * 50, {"test": 1.5}, "test=1.5: give a share"),
        (b"text " * 50, {"val": "nowhere.txt"}, "val=nowhere.txt: there is no such file"),
        (b"text " * 50, {"level": "syllables"}, "level must be one of"),
        (b"text " * 50, {"n_steps": 0}, "n_steps"),
        (b"text " * 50, {"min_count": 0}, "min_count"),
        (b"text " * 50, {"min_count": 999}, "no characters occur that often in the training part"),
        (b"one two three " * 50, {"level": "words", "min_count": 99}, "no words occur that often"),
        (b"te\0xt " * 50, {}, "it has a zero byte at 2"),
        ("text ".encode("utf-16-le") * 50, {}, "it has a zero byte at 1"),
        (b"PK\x03\x04" + b"text " * 50, {}, "is compressed: unpack it"),
        (lzma.compress(b"text " * 50), {}, "is compressed: unpack it"),
        (b"text " * 50, {"val": None}, "val=None: give a share"),
        (b"text " * 50, {"eval_batch_size": 40}, "lower eval_batch_size"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_bad_files_and_arguments_are_one_line(content, arguments, words, tmp_path):
    path = tmp_path / "bad.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ArgumentError, match=words) as error:
        TextStream(path, **{**SMALL, **arguments})
    assert "\n" not in str(error.value)
