"""`ArrayStream`: an array or a memory map, read as one long stream."""

from typing import Any

import numpy as np

from rnn_lightning.data.datamodule import PARTS, SequenceDataModule, check_int
from rnn_lightning.data.streams import StreamBatches
from rnn_lightning.errors import ArgumentError


class ArrayStream(SequenceDataModule):
    """Reads arrays in order, for a model with `carry_state`. It can only be used from Python.

    The arrays may be memory maps: each batch reads only its own part of them.

    The time axis is cut into a training, a validation and a test part. `batch_size` parallel rows share the training
    part and read it `n_steps` at a time. An epoch reads the whole part once. In the same way, `eval_batch_size` rows
    read each of the other parts. Each row begins with a state of zeros. Every step is in exactly one batch. The last
    batch of an epoch has a different number of steps, and has `lengths` if rows differ in length.

    A batch has `x` and `y`, (B, n_steps, ...). Whole numbers are int64, and all others are float32.

    Args:
        x: (N, I) inputs, or (N,) tokens.
        y: (N, O) or (N,), the target for each input. By default, the target is the next input.
        n_steps: The number of steps of each row in a batch.
        val: The share of the steps to validate on.
        test: The share of the steps to test on, taken from the end.
        output_size: The number of outputs that a model needs. By default, it is O; if y holds classes (N,), it is the
            highest class plus one.
        **settings: Arguments of `SequenceDataModule`; `batch_size` is the number of rows per process.

    Raises:
        ArgumentError: The arrays don't fit, or an argument is out of range.
    """

    contiguous = True
    new_each_epoch = True  # a stream is not shuffled

    def __init__(
        self,
        x: Any,
        y: Any = None,
        n_steps: int = 128,
        val: float = 0.1,
        test: float = 0.1,
        output_size: int | None = None,
        **settings: Any,
    ) -> None:
        super().__init__(**settings)
        check_int("n_steps", n_steps, at_least=1)
        self.hparams.update(n_steps=n_steps, val=val, test=test)
        x = np.asanyarray(x)
        self.predicts_next_input = y is None
        ahead = int(y is None)
        y = x if y is None else np.asanyarray(y)
        for name, array in (("x", x), ("y", y)):
            if array.ndim not in (1, 2) or array.dtype.kind not in "biuf":
                raise ArgumentError(
                    f"{name} has type {array.dtype} and shape {array.shape}: give numbers (N,) or (N, F)"
                )
        if len(x) != len(y):
            raise ArgumentError(f"x has {len(x)} steps, but y has {len(y)}: give one target for each input")
        if min(val, test) < 0 or val + test >= 1:
            raise ArgumentError(f"val={val} and test={test} must be shares of 0 or more that leave a part to train on")
        self.x, self.y, self.n_steps, self.ahead = x, y, n_steps, ahead
        steps = len(x) - ahead
        ends = [steps - round((val + test) * steps), steps - round(test * steps), steps]
        self.parts = dict(zip(PARTS, zip([0, *ends[:2]], ends, strict=True), strict=True))
        self.input_size = x.shape[1] if x.ndim == 2 else int(x.max()) + 1
        whole = y.dtype.kind != "f" and y.ndim == 1
        self.output_size = output_size or (int(y.max()) + 1 if whole else y.shape[1] if y.ndim == 2 else 1)

    def setup(self, stage: str | None = None) -> None:
        """Makes the datasets of all stages, except those of empty parts."""
        for part, (begin, end) in self.parts.items():
            if end > begin:
                span = (begin, end)
                self.datasets[part] = StreamBatches(self.x, self.y, self.n_steps, self.rows(part), span, self.ahead)
        if "test" in self.datasets:
            self.datasets["predict"] = self.datasets["test"]
