"""Codes replaced at random."""

import torch

from cvg.codes.layout import Layout
from cvg.tensors import Int64, Tensor


def corrupt(
    sequence: Int64[Tensor, "b t m"],
    layout: Layout,
    *,
    share: float,
    rng: torch.Generator,
    least: float = 0.0,
) -> Int64[Tensor, "b t m"]:
    """Replace a random share of the codes by random codes of the same level.

    The share of each clip is itself drawn evenly from `least` to `share`. From 0 on, clean clips
    occur too: as inputs they teach a model to go on from its own mistakes.
    """
    b, t, m = sequence.shape
    shares = least + (share - least) * torch.rand(b, 1, 1, generator=rng)
    hit = torch.rand(b, t, m, generator=rng) < shares
    sizes = torch.cat([torch.full((g.num_codes,), g.codebook_size) for g in layout.grids])
    random = (torch.rand(b, t, m, generator=rng) * sizes).long()
    return torch.where(hit, random, sequence)
