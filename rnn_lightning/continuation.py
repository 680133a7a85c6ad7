"""`predict --prompt`: a trained network continues a text. The vocabulary is in the checkpoint, so no data is read."""

from pathlib import Path

import torch
from jsonargparse.typing import NonNegativeFloat, NonNegativeInt, PositiveInt

from rnn_lightning.data.tokens import UNKNOWN, WordVocabulary, restore_vocabulary
from rnn_lightning.files import write_atomically
from rnn_lightning.fitted import KEY
from rnn_lightning.nn import generate
from rnn_lightning.nn.generate import check_generate
from rnn_lightning.saved import load_network, read_description


def write_continuation(
    checkpoint: str,
    folder: str,
    prompt: str | None = None,
    length: NonNegativeInt = 400,
    temperature: NonNegativeFloat = 1.0,
    top_k: PositiveInt | None = None,
) -> Path:
    """Writes a text and its continuation to `predictions.txt`, and prints them.

    Args:
        checkpoint: The checkpoint of a fit on a `TextStream`, or the `network.json` of an export.
        folder: Where the file goes; it is created if missing.
        prompt: predict only: a text to continue with a network trained on text; no data is read.
        length: With --prompt: characters, bytes or words to add, whichever the network was trained on.
        temperature: With --prompt: values below 1 make likely continuations likelier; 0 always takes the likeliest.
        top_k: With --prompt: draw only among the k likeliest tokens.

    Raises:
        ArgumentError: The checkpoint is not of a text model, its vocabulary lacks a token of the prompt, or an argument
            is out of its range.
        NotWrittenError: The file cannot be written.
    """
    net = load_network(checkpoint)
    vocabulary = restore_vocabulary(read_description(checkpoint).get(KEY))
    check_generate(net)
    given = vocabulary.prompt(prompt or "")
    if isinstance(vocabulary, WordVocabulary) and (unknown := int((given == 0).sum())):
        print(f"Of the prompt's {len(given)} words, {unknown} are unknown to the network and read as {UNKNOWN}")
    never = () if vocabulary.unknown is None else (vocabulary.unknown,)
    tokens = torch.from_numpy(given.astype("int64"))[None]
    drawn = generate(net, tokens, length, temperature, top_k, never)[0].tolist()
    text = vocabulary.decode([*given.tolist(), *drawn])
    print(text)
    return write_atomically(Path(folder, "predictions.txt"), text)


def exported_network(path: str | None) -> str | None:
    """The `network.json` at a path to this file or to the folder of an export; None for any other path."""
    if path is None:
        return None
    file = Path(path, "network.json") if Path(path).is_dir() else Path(path)
    return str(file) if file.suffix == ".json" and file.is_file() else None
