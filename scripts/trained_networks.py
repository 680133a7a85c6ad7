"""The networks that `train_weights.py` trains: recipe, what is set otherwise, and what their model cards say in words."""

from dataclasses import dataclass
from typing import Literal

_MNIST = (
    "MNIST (Y. LeCun, C. Cortes and C. Burges; CC BY-SA 3.0), a row a step: 28 steps of 28 pixels, divided by 255. The "
    "first 5,000 of the 60,000 training images validate, the other 55,000 are trained on, the official 10,000 test images "
    "test. Nothing is augmented."
)
_SINE = (
    "Windows of 20 points of f(t) = t sin(t) / 3 + 2 sin(5 t), 0.1 apart, that start uniformly at random in [0, 28); the "
    "target is the input one step ahead. Training windows never come again; validation and test are two fixed sets of "
    "10,000 windows each, from random streams of their own. No model gets a mean squared error below 0.030, as the "
    "first value does not tell where in the series a window lies."
)
_DIGITS = (
    "An example of a recurrent classifier, a start for fine-tuning, a network of known accuracy to test tools with."
)
_NO_DIGITS = (
    "It knows centred, size-normalised grey digits of 28 x 28 pixels, white on black, as MNIST has them. Digits "
    "inverted or turned by 90 degrees it reads hardly better than by guessing, those four pixels off the centre worse "
    "than centred ones. It has an answer to any picture, also to noise, and a softmax of its outputs is no calibrated "
    "probability. A convolutional network reads digits better."
)
_SERIES = (
    "An example of a network that goes on from its state, a start for fine-tuning, a known figure to test tools with."
)
_NO_SERIES = (
    "It knows this one series, at this spacing, up to t = 30, and nothing else. The first output of a window is a guess "
    "unless the state of what came before is given. It was trained on windows of 20 steps: what it does over longer ones, "
    "or fed with its own outputs, was not trained for."
)


@dataclass(frozen=True)
class TrainedNetwork:
    """How a network is trained, and what is said of it.

    Attributes:
        name: Of the `torch.hub` entry.
        summary: One line.
        recipe: A shipped recipe.
        overrides: What is typed after it.
        metric: What the card gives for the test set; "acc", or "mse".
        data: Data and split.
        use: What it is for.
        limits: What it is not for.
    """

    name: str
    summary: str
    recipe: str
    overrides: tuple[str, ...]
    metric: Literal["acc", "mse"]
    data: str
    use: str
    limits: str

    @property
    def on_mnist(self) -> bool:
        """Whether the data are MNIST's, which lie in a folder."""
        return self.metric == "acc"


NETWORKS = {
    entry.name: entry
    for entry in (
        TrainedNetwork(
            "seq2vec_mnist",
            "One tanh layer of 150 that reads a handwritten digit row by row.",
            "mnist_rnn",
            (
                "--trainer.max_epochs=25",
                "--model.lr_scheduler=CosineAnnealingLR",
                "--model.lr_scheduler.T_max=25",
            ),
            "acc",
            _MNIST,
            _DIGITS,
            _NO_DIGITS,
        ),
        TrainedNetwork(
            "seq2vec_mnist_lstm",
            "One LSTM layer of 150 that reads a handwritten digit row by row, trained with input and state dropout.",
            "mnist_lstm",
            (
                "--trainer.max_epochs=24",
                "--model.lr_scheduler.T_max=24",
                "--model.input_dropout=0.2",
                "--model.state_dropout=0.2",
            ),
            "acc",
            _MNIST,
            _DIGITS,
            _NO_DIGITS,
        ),
        TrainedNetwork(
            "seq2seq_sine",
            "One relu layer of 100 that predicts a synthetic series one step ahead.",
            "sine_long",
            (
                "--trainer.max_epochs=200",
                "--trainer.check_val_every_n_epoch=5",
                "--model.lr_scheduler.total_steps=20000",
                "--data.batch_size=200",
            ),
            "mse",
            _SINE,
            _SERIES,
            _NO_SERIES,
        ),
        TrainedNetwork(
            "seq2seq_sine_deep",
            "Three tanh layers of 100 that predict a synthetic series one step ahead, trained with state dropout.",
            "sine_deep_dropout",
            (
                "--trainer.max_epochs=80",
                "--trainer.check_val_every_n_epoch=5",
                "--model.lr_scheduler.total_steps=8000",
                "--model.state_dropout=0.05",
                "--model.variational=false",
                "--data.batch_size=100",
            ),
            "mse",
            _SINE,
            _SERIES,
            _NO_SERIES,
        ),
    )
}
