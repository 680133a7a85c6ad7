"""Which transforms of torch.func, and whether forward-mode AD, are at work.

torch.func has no public way to ask. Where the private one is gone, nothing is found and a transform meets its own error.
"""

import torch


def transforms() -> set[str]:
    """Of `"Vmap"`, `"Grad"`, `"Jvp"` and `"Functionalize"`, those at work; forward-mode AD counts as `"Jvp"`."""
    if torch.compiler.is_compiling():
        return set()
    stack = getattr(torch._C._functorch, "get_interpreter_stack", lambda: None)()
    found = set() if stack is None else {interpreter.key().name for interpreter in stack}
    return found | {"Jvp"} if torch.autograd.forward_ad._current_level >= 0 else found
