"""`predict --prompt`: a trained network continues a text. The vocabulary is in the checkpoint, so no data is read."""

from dataclasses import dataclass
from pathlib import Path

import torch

from rnn_lightning.data.tokens import UNKNOWN, WordVocabulary, restore_vocabulary
from rnn_lightning.errors import ArgumentError
from rnn_lightning.files import write_atomically
from rnn_lightning.fitted import KEY
from rnn_lightning.nn import generate
from rnn_lightning.nn.generate import check_generate
from rnn_lightning.saved import load_network, read_description


@dataclass(frozen=True)
class Continuation:
    """Settings for the continuation of a text.

    Args:
        prompt: The text to continue; None for none.
        length: Tokens to add: characters, bytes or words, whichever the network was trained on.
        temperature: Values below 1 make likely tokens likelier; 0 always takes the likeliest.
        top_k: Draws from the k likeliest tokens only.
    """

    prompt: str
    length: int = 400
    temperature: float = 1.0
    top_k: int | None = None

    def write(self, checkpoint: str, folder: str) -> Path:
        """Writes the prompt and its continuation to `predictions.txt`, and prints them.

        Args:
            checkpoint: The checkpoint of a fit on a `TextStream`, or the `network.json` of an export.
            folder: Where the file goes; it is created if missing.

        Raises:
            ArgumentError: The checkpoint is not of a text model, or its vocabulary lacks a token of the prompt.
        """
        net = load_network(checkpoint)
        vocabulary = restore_vocabulary(read_description(checkpoint).get(KEY))
        check_generate(net)
        prompt = vocabulary.prompt(self.prompt)
        if isinstance(vocabulary, WordVocabulary) and (unknown := int((prompt == 0).sum())):
            print(f"Of the prompt's {len(prompt)} words, {unknown} are unknown to the network and read as {UNKNOWN}")
        never = () if vocabulary.unknown is None else (vocabulary.unknown,)
        tokens = torch.from_numpy(prompt.astype("int64"))[None]
        drawn = generate(net, tokens, self.length, self.temperature, self.top_k, never)[0].tolist()
        text = vocabulary.decode([*prompt.tolist(), *drawn])
        print(text)
        try:
            return write_atomically(Path(folder, "predictions.txt"), text)
        except OSError as error:
            raise ArgumentError(f"cannot write into {folder} ({error.strerror or error})") from error


def exported_network(path: str | None) -> str | None:
    """The `network.json` at a path to this file or to the folder of an export; None for any other path."""
    if path is None:
        return None
    file = Path(path, "network.json") if Path(path).is_dir() else Path(path)
    return str(file) if file.suffix == ".json" and file.is_file() else None
