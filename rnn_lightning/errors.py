"""The one exception that a wrong argument raises anywhere in the package."""


class ArgumentError(ValueError):
    """A wrong argument, file or setting, told in one line: what is wrong, which argument, what to do.

    From Python it is a `ValueError`. The command line prints its message after `error: ` and exits with 2.
    """


class NonFiniteLossError(FloatingPointError):
    """The loss became NaN or infinite; the message says at which step, and no weight was changed by it."""
