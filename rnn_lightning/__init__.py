"""Recurrent networks in PyTorch Lightning: truncated BPTT and state dropout, from YAML to `torch.hub.load`.

Importing the package imports neither Lightning nor torch. Import what you need from `rnn_lightning.nn` (plain torch),
`rnn_lightning.models`, `rnn_lightning.data` (Lightning) or `rnn_lightning.hub`.
"""

from rnn_lightning.errors import ArgumentError, NonFiniteLossError

__all__ = ["ArgumentError", "NonFiniteLossError", "__version__"]
__version__ = "0.1.0"
