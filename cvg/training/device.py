"""Where tensors live; a property of the machine, so an environment variable and no parameter."""

import os

import torch

from cvg.errors import UserError


def chosen_device() -> torch.device:
    """Give the device of `CVG_DEVICE` (`cpu`, `cuda`, `cuda:1`), by default the CPU.

    Raises:
        UserError: the device is unknown or is not there.
    """
    name = os.environ.get("CVG_DEVICE", "cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise UserError(
            f"CVG_DEVICE={name}: not to be had here ({error}); try CVG_DEVICE=cpu"
        ) from error
    return device
