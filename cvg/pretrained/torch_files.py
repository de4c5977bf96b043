"""The one door for files in PyTorch's own format: read as plain tensors, never as objects."""

import pickle
from pathlib import Path

import torch
from torch import Tensor

from cvg.errors import UserError


def read_torch_state(path: Path) -> dict[str, Tensor]:
    """Read a state dict, with PyTorch's restricted reader.

    Raises:
        UserError: the file is none, or holds more than tensors.
    """
    try:
        # weights_only admits tensors and plain containers; such files come from others, and
        # PyTorch publishes its networks in no other format.
        state = torch.load(path, map_location="cpu", weights_only=True)  # noqa: TID251
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"{path}: no state dict of PyTorch: {reason}") from error
    if not isinstance(state, dict) or not all(isinstance(v, Tensor) for v in state.values()):
        raise UserError(f"{path}: expected a dictionary of tensors, found another object")
    return dict(state)
