"""`OneLightning`: says which package to import if a module is given to a Trainer of `pytorch_lightning`.

The two packages contain the same code, and neither knows the other's classes: `pytorch_lightning` only says that a
`Seq2Seq` is not a `LightningModule`. Before that, its only call on the module is `isinstance`, which reads `__class__`
(https://docs.python.org/3/reference/datamodel.html), so the error has to be raised there.
"""

import sys

from rnn_lightning.errors import ArgumentError

_OTHER = "pytorch_lightning"


class OneLightning:
    """A mixin for a LightningModule."""

    def _class(self) -> type:
        caller = sys._getframe(1).f_globals.get("__name__", "") if _OTHER in sys.modules else ""
        if caller.partition(".")[0] == _OTHER:
            raise ArgumentError(
                f"{type(self).__name__} is a module of lightning.pytorch, but the Trainer comes from "
                "pytorch_lightning: import Trainer from lightning.pytorch"
            )
        return type(self)

    __class__ = property(_class)
