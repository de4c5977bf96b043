"""The state of the global random generators, which dropout and the restart of codes draw from."""

import torch

from cvg.tensors import Tensor


def global_random_state(device: torch.device) -> dict[str, Tensor]:
    """Give the state of the generator of the CPU, and of the device where it is a CUDA device."""
    state = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        state["cuda"] = torch.cuda.get_rng_state(device)
    return state


def restore_global_random_state(state: dict[str, Tensor], device: torch.device) -> None:
    """Go on from a state that was taken for the same kind of device."""
    torch.set_rng_state(state["cpu"])
    if device.type == "cuda":
        torch.cuda.set_rng_state(state["cuda"], device)
