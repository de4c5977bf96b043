"""Where tensors live; a property of the machine, so environment variables and no parameters."""

import os

import torch

from cvg import launch
from cvg.errors import UserError


def chosen_device() -> torch.device:
    """Give the device of `CVG_DEVICE` (`cpu`, `cuda`, `cuda:1`), by default the CPU.

    Of several processes on a machine, each has the CUDA device of its number.

    Raises:
        UserError: the device is unknown or is not there.
    """
    name = os.environ.get("CVG_DEVICE", "cpu")
    try:
        device = torch.device(name)
        if device.type == "cuda" and device.index is None and launch.world_size() > 1:
            device = torch.device("cuda", launch.local_rank())
            torch.cuda.set_device(device)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise UserError(
            f"CVG_DEVICE={name}: not to be had here ({error}); try CVG_DEVICE=cpu"
        ) from error
    return device


def chosen(name: str, values: tuple[str, ...]) -> str:
    """Give the value of an environment variable; where it is not set or empty, the first one.

    Raises:
        UserError: it is none of the values.
    """
    value = os.environ.get(name) or values[0]
    if value not in values:
        raise UserError(f"{name}={value}: expected one of {', '.join(values)}")
    return value
