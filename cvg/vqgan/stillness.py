"""A loss on codes that flicker where the picture stands still.

An encoder sees more than the cell of a code. What moves far away then changes codes that nothing
happens to, a decoder does not mind, and a transformer has to predict it all. So latents of cells
that stand still from one frame to the next are drawn together; unusual, and our own.
"""

import torch.nn.functional as F
from einops import rearrange

from cvg.frames.pixels import STILL
from cvg.tensors import Bool, Float, Float32, Tensor
from cvg.training.ranks import ALONE, Ranks

LEAST_VARIANCE = 1e-6


def stillness_loss(
    encoded: Float32[Tensor, "b d h w"],
    frames: Float[Tensor, "b c _ _"],
    *,
    ranks: Ranks = ALONE,
) -> Float32[Tensor, ""]:
    """Give how far latents of still cells move, as a share of how much latents differ at all.

    Args:
        encoded: latents before quantization; rows 2i and 2i + 1 are of successive frames.
        frames: in [-1, 1].
        ranks: each of which has a part of the batch.

    Returns:
        mean squared move of the still cells, over the variance of all latents (without gradient):
        0 where they all rest, and where none is still.
    """
    before, after = rearrange(encoded, "(b two) d h w -> two b d h w", two=2)
    still = still_cells(frames, grid=encoded.shape[-1])
    moves = (after - before).square().mean(1)
    of_all = ranks.gathered(encoded.detach())
    variance = of_all.var(dim=(0, 2, 3)).mean().clamp(min=LEAST_VARIANCE)
    count = ranks.sum(still.sum()).clamp(min=1) / ranks.count
    return (moves * still).sum() / count / variance


def still_cells(frames: Float[Tensor, "b c _ _"], *, grid: int) -> Bool[Tensor, "b2 {grid} {grid}"]:
    """Say for each pair of successive frames which cells of a grid stand still."""
    before, after = rearrange(frames, "(b two) c h w -> two b c h w", two=2)
    change = (after - before).abs().amax(1, keepdim=True)
    return F.max_pool2d(change, change.shape[-1] // grid)[:, 0] <= STILL / 127.5
