"""`TextStream`: a text as one long stream of tokens. Each token is predicted from the tokens before it."""

import hashlib
from pathlib import Path
from typing import Any, get_args

import numpy as np
from lightning.pytorch.utilities.rank_zero import rank_zero_info
from torch.utils.data import DataLoader

from rnn_lightning.batch import Batch
from rnn_lightning.data.datamodule import PARTS, SequenceDataModule, check_one_direction
from rnn_lightning.data.streams import StreamBatches
from rnn_lightning.data.text_files import python_topics, read_text
from rnn_lightning.data.tokens import Level, Vocabulary, fit_vocabulary, restore_vocabulary
from rnn_lightning.errors import ArgumentError, check_ints
from rnn_lightning.nn import RecurrentNet, Seq2SeqNet

_PROMPT = 100  # how many characters of the validation text come before a sample


class TextStream(SequenceDataModule):
    """Reads a text in order, for a `Seq2Seq` with an embedding and `carry_state`; the target is the next token.

    `batch_size` parallel rows share the training part and read it `n_steps` at a time. An epoch reads the whole part
    once. In the same way, `eval_batch_size` rows read the validation and the test part. A row begins with a state of
    zeros, so fewer rows give slightly lower losses. Every token is a target once. If parts are cut from one text, this
    includes each later part's first token, which is predicted from the last token of the previous part.

    A batch has `x` and `y`, both (B, n_steps) int64. The last batch of an epoch has a different number of steps, and
    has `lengths` if rows differ in length. There is no set to predict. Instead, `predict --prompt` and
    `rnn_lightning.nn.generate` continue your text.

    Args:
        path: A UTF-8 file, or a folder of such files; None for the text that comes with Python as `pydoc_data.topics`.
        level: What the tokens are: "characters", "bytes" (of UTF-8), or "words", which are separated by white space,
            with `<eos>` at the end of each line.
        n_steps: The number of tokens of each row in a batch.
        val: The validation part: a share of the text, or a file or folder.
        test: The test part, given like `val`. Shares are taken from the end of the text, with the test part last.
        min_count: Characters or words that occur fewer times in the training part are unknown (`<unk>`). By default, it
            is 1 for characters and 2 for words, so that the network learns about unknown words.
        fitted: The `fitted_values` of the data that a network was trained on. Their vocabulary is then used. The
            command line takes these values from the checkpoint.
        **settings: Arguments of `SequenceDataModule`; `batch_size` is the number of rows per process.

    Attributes:
        vocabulary: Turns texts into tokens and back.
        sha256: The hash of the whole text in UTF-8, followed by the texts of `val` and `test` if these are files.
        characters_per_token: The mean number of characters per token in each part: "train", "val" and "test".

    Raises:
        ArgumentError: A file is missing, empty or not UTF-8, an argument is out of range, or a part is too short.
    """

    contiguous = True
    new_each_epoch = True  # a stream is not shuffled
    task = "classification"

    def __init__(
        self,
        path: str | Path | None = None,
        level: Level = "characters",
        n_steps: int = 128,
        val: float | str | Path = 0.05,
        test: float | str | Path = 0.05,
        min_count: int | None = None,
        fitted: dict[str, Any] | None = None,
        batch_size: int = 32,
        **settings: Any,
    ) -> None:
        super().__init__(batch_size=batch_size, **settings)
        if level not in get_args(Level):
            raise ArgumentError(f"level must be one of {', '.join(get_args(Level))}, got {level!r}: change level")
        min_count = (2 if level == "words" else 1) if min_count is None else min_count
        check_ints(1, n_steps=n_steps, min_count=min_count)
        # A Path in the hyperparameters would be pickled.
        path = None if path is None else str(path)
        val, test = (str(value) if isinstance(value, Path) else value for value in (val, test))
        _check_shares(val, test)
        self.save_hyperparameters(ignore=["fitted"])
        self.n_steps = n_steps
        text = python_topics() if path is None else read_text(path)
        files = {
            part: read_text(value, part) for part, value in (("val", val), ("test", test)) if isinstance(value, str)
        }
        self.sha256 = hashlib.sha256("".join((text, *files.values())).encode()).hexdigest()
        texts = _cut(text, {"val": val, "test": test}, level) | files
        self.vocabulary = _vocabulary(level, texts["train"], min_count, fitted)
        self.input_size = self.output_size = len(self.vocabulary)
        tokens = {part: self.vocabulary.encode(texts[part]) for part in PARTS}
        self.characters_per_token = {part: len(texts[part]) / max(len(tokens[part]), 1) for part in PARTS}
        self.unknown = {part: int(np.count_nonzero(tokens[part] == self.vocabulary.unknown)) for part in PARTS}
        self.prompt = texts["val"][:_PROMPT]
        before = tokens["train"][:0]
        for part in PARTS:
            if part not in files:  # in a part cut from the text, the first token is predicted, too
                tokens[part] = np.concatenate((before, tokens[part]))
                before = tokens[part][-1:]
            size = batch_size if part == "train" else self.eval_batch_size
            if len(tokens[part]) - 1 < size:
                raise ArgumentError(
                    f"the {part} part has {max(len(tokens[part]) - 1, 0)} tokens to predict, too few for {size} rows: give "
                    "more text, another val or test, or a lower "
                    f"{'batch_size' if part == 'train' else 'eval_batch_size'}"
                )
        self._parts = tokens

    @property
    def fitted_values(self) -> dict[str, Any]:
        """The vocabulary, as plain values that are saved with the network."""
        return self.vocabulary.state()

    def setup(self, stage: str | None = None) -> None:
        """Makes the datasets of all stages."""
        for part, tokens in self._parts.items():
            self.datasets[part] = StreamBatches(tokens, tokens, self.n_steps, self.rows(part), ahead=1)
        counts = [f"{self.unknown[part]:,} in {part}" for part in PARTS if self.unknown[part]]
        if stage == "fit" and counts:
            rank_zero_info(f"Unknown {self.vocabulary.level}: {', '.join(counts)}")

    def check_model(self, model: Any) -> None:
        """Refuses networks that do not predict tokens at each step, and networks that would read their targets."""
        net = getattr(model, "net", None)
        if isinstance(net, RecurrentNet):
            if not isinstance(net, Seq2SeqNet) or net.embedding is None:
                raise ArgumentError(
                    "a TextStream has a token to predict at each step: use --model Seq2Seq and set model.embedding_size"
                )
            if getattr(model, "hparams", {}).get("task") not in (None, self.task):
                raise ArgumentError("the tokens of a TextStream are classes: leave model.task out")
            check_one_direction(net)

    def predict_dataloader(self) -> DataLoader[Batch]:
        """Raises `ArgumentError`, as there is no set to predict: a text model continues a prompt instead."""
        raise ArgumentError(
            'a TextStream has no set to predict: give --prompt "TEXT", or, from Python, use rnn_lightning.nn.generate'
        )


def _check_shares(val: float | str, test: float | str) -> None:
    for name, share in (("val", val), ("test", test)):
        if not isinstance(share, (str, float, int)) or (not isinstance(share, str) and not 0 < share < 1):
            raise ArgumentError(f"{name}={share}: give a share of the text between 0 and 1, or a file")
    if not isinstance(val, str) and not isinstance(test, str) and val + test >= 1:
        raise ArgumentError(f"val={val} and test={test} leave nothing to train on: lower them")


def _cut(text: str, shares: dict[str, float | str], level: Level) -> dict[str, str]:
    """Cuts the parts that are given as shares from the end of a text. Words are not split."""
    parts, end = {}, len(text)
    for part in ("test", "val"):
        share = shares[part]
        if not isinstance(share, str):
            begin = end - round(share * len(text))
            while level == "words" and begin < end and not text[begin - 1].isspace():
                begin += 1
            parts[part], end = text[begin:end], begin
    return {"train": text[:end], **parts}


def _vocabulary(level: Level, text: str, min_count: int, fitted: dict[str, Any] | None) -> Vocabulary:
    """Returns the vocabulary of a training text, or the fitted one."""
    if fitted is None:
        vocabulary = fit_vocabulary(level, text, min_count)
        if len(vocabulary) < 2:
            raise ArgumentError(
                f"min_count={min_count}: no {level} occur that often in the training part, so all are unknown: lower it, "
                "or give more text"
            )
        return vocabulary
    vocabulary = restore_vocabulary(fitted)
    if vocabulary.level != level:
        raise ArgumentError(f"level={level}, but the network was trained on {vocabulary.level}: set level to that")
    return vocabulary
