"""`TextSamples`: shows a text that the network writes, after each validation."""

from typing import Any

import torch
from lightning.pytorch import Trainer
from typing_extensions import override

from rnn_lightning.callbacks.tensorboard import TensorBoardCallback, as_code, logged_step
from rnn_lightning.data import TextStream
from rnn_lightning.models import Seq2Seq
from rnn_lightning.nn import generate


class TextSamples(TensorBoardCallback):
    """Adds `val/sample` after each validation: how the network continues the beginning of the validation text.

    This needs a `TextStream`, and a `Seq2Seq` with an embedding. The random numbers are the same each time, so samples
    from two epochs only differ because of the weights.

    Args:
        enabled: Whether to add samples.
        length: The number of tokens to add.
        temperature: The temperature of the draws. Below 1, likely tokens become likelier; at 0, the likeliest token is
            always taken.
        top_k: Draws only from the k likeliest tokens; None for all tokens.
    """

    def __init__(
        self, enabled: bool = True, length: int = 300, temperature: float = 0.8, top_k: int | None = None
    ) -> None:
        super().__init__(enabled)
        self.length, self.temperature, self.top_k = length, temperature, top_k

    @override
    def on_validation_epoch_end(self, trainer: Trainer, pl_module: Any) -> None:
        data: Any = getattr(trainer, "datamodule", None)
        reads_text = isinstance(data, TextStream) and isinstance(pl_module, Seq2Seq)
        if not reads_text or pl_module.net.embedding is None or not self.writes(trainer):
            return
        vocabulary = data.vocabulary
        prompt = torch.from_numpy(vocabulary.encode(data.prompt).astype("int64"))[None].to(pl_module.device)
        never = () if vocabulary.unknown is None else (vocabulary.unknown,)
        generator = torch.Generator(pl_module.device).manual_seed(0)
        drawn = generate(pl_module.net, prompt, self.length, self.temperature, self.top_k, never, generator)
        before, after = (vocabulary.decode(tokens[0].tolist()) for tokens in (prompt, drawn))
        self.writer(trainer).add_text("val/sample", as_code(f"{before}[...]{after}"), logged_step(trainer))
