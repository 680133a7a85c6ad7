"""`OneLightning`: says which package to import where a module meets the Trainer of `pytorch_lightning`.

The two packages hold the same code twice, and neither knows the classes of the other: `pytorch_lightning` says only that a
`Seq2Seq` is no `LightningModule`. Before that it asks nothing of the module but `isinstance`, and that asks for
`__class__` (https://docs.python.org/3/reference/datamodel.html), so the answer has to be given there.
"""

import sys

from rnn_lightning.errors import ArgumentError

_OTHER = "pytorch_lightning"


class OneLightning:
    """Mixed into a LightningModule."""

    def _class(self) -> type:
        caller = sys._getframe(1).f_globals.get("__name__", "") if _OTHER in sys.modules else ""
        if caller.partition(".")[0] == _OTHER:
            raise ArgumentError(
                f"{type(self).__name__} is a module of lightning.pytorch, the Trainer is of pytorch_lightning: import "
                "Trainer from lightning.pytorch"
            )
        return type(self)

    __class__ = property(_class)
