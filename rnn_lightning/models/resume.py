"""What a checkpoint needs besides Lightning's own, so that a resumed run equals an undisturbed one to the bit.

Every process has a generator of its own for dropout, and a state of its own that is carried from batch to batch. The
order of the data is the loader's matter (`rnn_lightning.data.loading`).
"""

from typing import Any

import torch


def generator_states(device: torch.device) -> dict[str, torch.Tensor]:
    """The states of torch's global generators: of the CPU, and of the device in use."""
    states = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        states["cuda"] = torch.cuda.get_rng_state(device)
    return states


def set_generator_states(states: dict[str, torch.Tensor], device: torch.device) -> None:
    """Puts torch's global generators where `generator_states` found them."""
    torch.set_rng_state(states["cpu"].cpu())
    if device.type == "cuda" and "cuda" in states:
        torch.cuda.set_rng_state(states["cuda"].cpu(), device)


def gather(value: Any, world_size: int) -> list[Any]:
    """One value from each process, in the order of their ranks; every process must take part."""
    if world_size == 1:
        return [value]
    values: list[Any] = [None] * world_size
    torch.distributed.all_gather_object(values, value)
    return values
