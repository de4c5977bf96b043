"""A trained VQGAN on disk, and the hash by which later stages know it."""

import hashlib
import json
from dataclasses import asdict
from pathlib import Path

from cvg.errors import UserError
from cvg.remote.url import Place
from cvg.training.weights import hash_weights, load_weights, reading_config, save_model
from cvg.vqgan.model import Vqgan, VqganShape


def save_vqgan(folder: Path, vqgan: Vqgan) -> None:
    """Write the model and its hash."""
    config = {"kind": "vqgan", "shape": asdict(vqgan.shape), "hash": hash_vqgan(vqgan)}
    save_model(folder, vqgan, config)


def load_vqgan(folder: Path) -> tuple[Vqgan, str]:
    """Read a frozen VQGAN, in evaluation mode, and its hash.

    Raises:
        UserError: files are missing, damaged, or not of a VQGAN, or the weights do not have the
            hash that was stored.
    """
    with reading_config(folder, "vqgan", stage="train-vqgan") as config:
        vqgan = Vqgan(VqganShape.from_json(config["shape"]))
        expected = config["hash"]
    load_weights(folder, vqgan)
    found = hash_vqgan(vqgan)
    if found != expected:
        raise UserError(
            f"{folder}: weights and shape have hash {found[:12]}, config.json expects "
            f"{expected[:12]}; one of them was changed, run train-vqgan again"
        )
    return vqgan.eval().requires_grad_(False), found


def hash_vqgan(vqgan: Vqgan) -> str:
    """Give the SHA-256 over the shape and all weights.

    The shape counts, because some of it changes codes and has no weights: the grid of FSQ.
    """
    shape = json.dumps(asdict(vqgan.shape), sort_keys=True)
    return hashlib.sha256(f"{shape} {hash_weights(vqgan)}".encode()).hexdigest()


def require_same_vqgan(expected: str, found: str, *, where: Place) -> None:
    """Refuse to mix what two different VQGANs made.

    Args:
        expected: hash of the VQGAN that made what lies in `where`.
        found: hash of the VQGAN at hand.
        where: the folder, for the message.
    """
    if expected != found:
        raise UserError(
            f"{where}: made with VQGAN {expected[:12]}, but the one here is {found[:12]}; run the "
            "stages after train-vqgan again (dvc repro)"
        )
