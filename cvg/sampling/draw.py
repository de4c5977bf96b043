"""Drawing codes, each video from random numbers of its own."""

from collections.abc import Sequence

import torch

from cvg.seeding import generator
from cvg.tensors import Float, Int64, Tensor


def draw(
    probabilities: Float[Tensor, "*b v"], uniforms: Float[Tensor, "*b"]
) -> Int64[Tensor, "*b"]:
    """Draw one code a row by inverting its distribution function.

    Args:
        probabilities: of each code; rows sum to 1.
        uniforms: random numbers in [0, 1), one a row.
    """
    steps = probabilities.double().cumsum(-1)
    # Scaled by the last step, so that rounding in the sum can never lead past the last code.
    targets = uniforms.double()[..., None] * steps[..., -1:]
    return torch.searchsorted(steps, targets, right=True)[..., 0]


def gumbel(uniforms: Float[Tensor, "*b"]) -> Float[Tensor, "*b"]:
    """Turn random numbers in [0, 1) into Gumbel noise, by inverting its distribution function."""
    return -torch.log(-torch.log(uniforms.clamp(1e-7, 1 - 1e-7)))


class Dice:
    """Random numbers of several videos, which depend on the seed and each video's name alone.

    So a video is the same whatever else is in its batch, but for rounding. They are drawn as they
    are needed: the memory does not grow with the length of a video.
    """

    def __init__(
        self, seed: int, names: Sequence[str], *, level: str, device: torch.device
    ) -> None:
        """Seed the numbers of one level."""
        self._generators = [generator(seed, "draw", level, name) for name in names]
        self._device = device

    def roll(self, count: int) -> Float[Tensor, "b n"]:
        """Give the next `count` numbers in [0, 1) of each video."""
        rows = [torch.rand(count, generator=one) for one in self._generators]
        return torch.stack(rows).to(self._device)
