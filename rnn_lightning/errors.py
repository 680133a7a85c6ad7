"""What the package raises: for a wrong argument, and for a loss that is not finite."""


class ArgumentError(ValueError):
    """A wrong argument, file or setting, told in one line: what is wrong, which argument, what to do.

    From Python it is a `ValueError`. The command line prints its message after `error: ` and exits with 2.
    """


class NonFiniteLossError(FloatingPointError):
    """The loss became NaN or infinite; the message says at which step.

    On a CPU it is raised before the loss reaches the weights, on an accelerator some steps later.
    """
