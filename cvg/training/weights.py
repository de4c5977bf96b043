"""Weights on disk: safetensors with their configuration beside them, never a pickle."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from cvg.errors import UserError
from cvg.files import read_json, write_json

WEIGHTS = "weights.safetensors"
CONFIG = "config.json"


def save_model(folder: Path, model: nn.Module, config: dict[str, Any]) -> None:
    """Write weights, and the configuration that rebuilds the model, into `folder`."""
    tensors = {name: tensor.cpu().contiguous() for name, tensor in model.state_dict().items()}
    save_file(tensors, folder / WEIGHTS)
    write_json(folder / CONFIG, config)


@contextmanager
def reading_config(folder: Path, kind: str, *, stage: str) -> Iterator[dict[str, Any]]:
    """Give the configuration of a saved model, to rebuild it from.

    Args:
        folder: of the model.
        kind: what is expected there.
        stage: that writes such a model.

    Raises:
        UserError: the file is missing, damaged or of another kind; or a field that the block reads
            is missing or not what it expects.
    """
    config = read_json(folder / CONFIG)
    if config.get("kind") != kind:
        raise UserError(f"{folder}: holds a {config.get('kind')}, expected a {kind}")
    try:
        yield config
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"{folder}/{CONFIG}: describes no {kind} of this version of the program ({error}); "
            f"run {stage} again"
        ) from error


def load_weights(folder: Path, model: nn.Module) -> None:
    """Fill `model` with the weights of `folder`.

    Raises:
        UserError: the file is missing, damaged or of another model.
    """
    path = folder / WEIGHTS
    try:
        model.load_state_dict(load_file(path))
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such file; run the stage that writes it") from error
    except (SafetensorError, RuntimeError) as error:
        raise UserError(
            f"{path}: not the weights of this model ({error}); run the stage again"
        ) from error


def hash_weights(model: nn.Module) -> str:
    """Give the SHA-256 over names, types, shapes and values of all weights and buffers."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)} ".encode())
        digest.update(
            tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes()
        )
    return digest.hexdigest()
