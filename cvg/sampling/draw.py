"""Drawing codes, each video from random numbers of its own."""

from collections.abc import Sequence

import torch

from cvg.seeding import generator
from cvg.tensors import Float, Int64, Tensor


def draw(probabilities: Float[Tensor, "b v"], uniforms: Float[Tensor, "b"]) -> Int64[Tensor, "b"]:
    """Draw one code a row by inverting its distribution function.

    Args:
        probabilities: of each code; rows sum to 1.
        uniforms: random numbers in [0, 1), one a row.
    """
    steps = probabilities.double().cumsum(-1)
    # Scaled by the last step, so that rounding in the sum can never lead past the last code.
    targets = uniforms.double()[:, None] * steps[:, -1:]
    return torch.searchsorted(steps, targets, right=True)[:, 0]


def uniforms_of_videos(
    seed: int, names: Sequence[str], *, count: int, level: str
) -> Float[Tensor, "b n"]:
    """Give `count` random numbers for each video, which depend on the seed and its name alone.

    So a video is the same whatever else is in its batch.
    """
    rows = [torch.rand(count, generator=generator(seed, "draw", level, name)) for name in names]
    return torch.stack(rows)
