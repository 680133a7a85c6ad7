"""The fast recurrence in C, for CPUs: forward and backward over whole sequences, with state masks, lengths and resets.

The C sources are in this folder; begin with `recurrence.c`. If there is a C compiler, they are compiled when the
package is installed (`build.py`). `library.py` loads them, `operators.py` makes them operators of torch, and
`function.py` a differentiable function, which the layers call.
"""

from rnn_lightning.nn.native import build
from rnn_lightning.nn.native.function import native_recurrence
from rnn_lightning.nn.native.library import reason, variant

__all__ = ["build", "native_recurrence", "reason", "variant"]
