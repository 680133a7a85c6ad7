"""torch.hub's face of the project: `torch.hub.load(REPO, NAME)`."""

dependencies = ["torch"]

from rnn_lightning.hub import seq2seq, seq2vec  # noqa: E402, F401  # torch.hub lists what is callable here
