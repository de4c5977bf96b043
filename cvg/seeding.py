"""Random generators, each derived from the root seed and a purpose."""

import hashlib

import torch


def derive_seed(seed: int, *purpose: str | int) -> int:
    """Derive an independent 63-bit seed for a purpose, the same on every machine.

    >>> derive_seed(0, "weights") == derive_seed(0, "weights")
    True
    >>> derive_seed(0, "weights") == derive_seed(0, "batches")
    False
    """
    text = "/".join(str(part) for part in (seed, *purpose))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def generator(seed: int, *purpose: str | int, device: str = "cpu") -> torch.Generator:
    """Give a generator for one purpose, for example `generator(seed, "draw", video)`."""
    return torch.Generator(device).manual_seed(derive_seed(seed, *purpose))


def seed_everything(seed: int, *purpose: str | int) -> None:
    """Seed the global generator, which weight initialisation and dropout draw from."""
    torch.manual_seed(derive_seed(seed, *purpose))
