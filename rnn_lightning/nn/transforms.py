"""Whether torch traces, which transforms of torch.func are active, and whether forward-mode AD is.

torch.func has no public way to ask for its transforms. If a version of torch lacks the private one, no transform is
found, and torch raises its own error.
"""

import torch


def traces() -> bool:
    """Whether torch compiles, traces or exports, where only its own operations should be seen."""
    return torch.compiler.is_compiling() or torch.jit.is_tracing() or torch.onnx.is_in_onnx_export()


def transforms() -> set[str]:
    """Of `"Vmap"`, `"Grad"`, `"Jvp"` and `"Functionalize"`, the active ones; forward-mode AD counts as `"Jvp"`."""
    if torch.compiler.is_compiling():
        return set()
    stack = getattr(torch._C._functorch, "get_interpreter_stack", lambda: None)()
    found = set() if stack is None else {interpreter.key().name for interpreter in stack}
    return found | {"Jvp"} if torch.autograd.forward_ad._current_level >= 0 else found
