"""Tells whether torch is tracing, and which transforms of torch.func, including forward-mode AD, are active.

torch.func has no public way to ask for its transforms. If a version of torch lacks the private function used here, no
transform is found, and torch raises its own error.
"""

import torch


def traces() -> bool:
    """Whether torch is compiling, tracing or exporting, and so must see only its own operations."""
    return torch.compiler.is_compiling() or torch.jit.is_tracing() or torch.onnx.is_in_onnx_export()


def transforms() -> set[str]:
    """Returns which of `"Vmap"`, `"Grad"`, `"Jvp"` and `"Functionalize"` are active; forward-mode AD is `"Jvp"`."""
    if torch.compiler.is_compiling():
        return set()
    stack = getattr(torch._C._functorch, "get_interpreter_stack", lambda: None)()
    found = set() if stack is None else {interpreter.key().name for interpreter in stack}
    return found | {"Jvp"} if torch.autograd.forward_ad._current_level >= 0 else found
