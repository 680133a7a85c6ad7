"""The entry points for torch.hub: `torch.hub.load(REPO, NAME)`."""

dependencies = ["torch"]

from rnn_lightning.hub import (  # noqa: E402  # torch.hub lists the callables in this file
    seq2seq,  # noqa: F401
    seq2seq_sine,  # noqa: F401
    seq2seq_sine_deep,  # noqa: F401
    seq2vec,  # noqa: F401
    seq2vec_mnist,  # noqa: F401
    seq2vec_mnist_lstm,  # noqa: F401
)
