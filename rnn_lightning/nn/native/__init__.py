"""The fast recurrence in C, for CPUs: forward and backward over whole sequences, state mask, lengths and resets included.

The C sources are in this folder, `recurrence.c` first. They are compiled when the package is installed where there is a
C compiler (`build.py`), loaded by pointer (`library.py`), seen by torch as operators (`operators.py`) and used by the
layers as a differentiable function (`function.py`).
"""

from rnn_lightning.nn.native.function import native_recurrence
from rnn_lightning.nn.native.library import reason, variant

__all__ = ["native_recurrence", "reason", "variant"]
