"""Weights on disk: safetensors with their configuration beside them, never a pickle."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from cvg.errors import UserError
from cvg.files import read_json, sha256_file, write_json

WEIGHTS = "weights.safetensors"
CONFIG = "config.json"
DIGEST = "digest"  # in the configuration: the hash of all the rest of it and of the file of weights


def save_model(folder: Path, model: nn.Module, config: dict[str, Any]) -> None:
    """Write weights, and the configuration that rebuilds the model, into `folder`."""
    tensors = {name: tensor.cpu().contiguous() for name, tensor in model.state_dict().items()}
    save_file(tensors, folder / WEIGHTS)
    config = {key: value for key, value in config.items() if key != DIGEST}
    write_json(folder / CONFIG, config | {DIGEST: _digest(folder / WEIGHTS, config)})


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
        UserError: the file is missing, damaged or of another model, or weights and configuration
            are not those that were written together.
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
    config = read_json(folder / CONFIG)
    if config.pop(DIGEST, None) != _digest(path, config):
        raise UserError(
            f"{path}: not what was written together with {CONFIG}: one of the two was changed or "
            "is damaged, or an earlier version of the program wrote them; run the stage again"
        )


def saved_digest(folder: Path) -> str:
    """Give the hash of a saved model, weights and configuration, as it was written with them."""
    return read_json(folder / CONFIG)[DIGEST]


def _digest(weights: Path, config: Mapping[str, Any]) -> str:
    # As it is after the way through JSON, which turns tuples into lists.
    text = json.dumps(json.loads(json.dumps(config)), sort_keys=True)
    return hashlib.sha256(f"{text} {sha256_file(weights)}".encode()).hexdigest()


def hash_weights(model: nn.Module) -> str:
    """Give the SHA-256 over names, types, shapes and values of all weights and buffers."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)} ".encode())
        digest.update(
            tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes()
        )
    return digest.hexdigest()
