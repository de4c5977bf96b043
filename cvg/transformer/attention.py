"""Attention over a condition prefix and a window of frames, with rotary positions in time.

Sources: Vaswani et al. 2017, arXiv:1706.03762, sec. 3.2 (attention); Su et al. 2021,
arXiv:2104.09864, eq. 34 (rotary positions). Unusual here: codes see the prefix without rotation,
so that the condition is equally near at every frame however long the video. The product is written
out, because one softmax runs over rotated and unrotated scores.
"""

from dataclasses import dataclass

import torch
from einops import rearrange
from torch import nn

from cvg.tensors import Bool, Float, Int64, Tensor

# Times are small whole numbers (frames), so wave lengths from about 6 to 600 frames are enough.
WAVE_BASE = 100.0


def rotate_in_time(
    vectors: Float[Tensor, "b a n e"], times: Int64[Tensor, "n"]
) -> Float[Tensor, "b a n e"]:
    """Turn pairs of components by angles proportional to the frame number.

    The product of two rotated vectors depends on the difference of their times only.
    """
    half = vectors.shape[-1] // 2
    exponents = torch.arange(half, device=vectors.device, dtype=torch.float32) / half
    angles = times[:, None] * WAVE_BASE**-exponents
    cosine, sine = angles.cos().to(vectors.dtype), angles.sin().to(vectors.dtype)
    first, second = vectors[..., :half], vectors[..., half:]
    return torch.cat([first * cosine - second * sine, first * sine + second * cosine], dim=-1)


@dataclass(frozen=True, kw_only=True)
class KeysValues:
    """What queries may look at."""

    keys: Float[Tensor, "b a k e"]
    values: Float[Tensor, "b a k e"]
    visible: Bool[Tensor, "..."]  # broadcasts to `b a n k`


class Attention(nn.Module):
    """Multi-head attention of codes to a prefix and to other codes."""

    def __init__(self, width: int, heads: int) -> None:
        """Make projections for `heads` heads of width / heads numbers each."""
        super().__init__()
        self.heads = heads
        self.project_in = nn.Linear(width, 3 * width, bias=False)
        self.project_out = nn.Linear(width, width, bias=False)

    def split_heads(
        self, features: Float[Tensor, "b n d"]
    ) -> tuple[Float[Tensor, "b a n e"], Float[Tensor, "b a n e"], Float[Tensor, "b a n e"]]:
        """Give queries (already scaled), keys and values, without rotation."""
        heads = rearrange(self.project_in(features), "b n (s a e) -> s b a n e", s=3, a=self.heads)
        queries, keys, values = heads.unbind(0)
        return queries * queries.shape[-1] ** -0.5, keys, values

    def join_heads(self, mixed: Float[Tensor, "b a n e"]) -> Float[Tensor, "b n d"]:
        """Put the heads back together."""
        return self.project_out(rearrange(mixed, "b a n e -> b n (a e)"))


def attend(queries: Float[Tensor, "b a n e"], to: KeysValues) -> Float[Tensor, "b a n e"]:
    """Mix values by the softmax of query-key products."""
    return _scores(queries, to).softmax(-1) @ to.values


def attend_both(
    queries: Float[Tensor, "b a n e"],
    rotated: Float[Tensor, "b a n e"],
    *,
    prefix: KeysValues,
    codes: KeysValues,
) -> Float[Tensor, "b a n e"]:
    """One softmax over the prefix, seen by `queries`, and the codes, seen by `rotated`."""
    scores = [_scores(queries, prefix), _scores(rotated, codes)]
    weights = torch.cat(scores, dim=-1).softmax(-1)
    to_prefix, to_codes = weights.split([part.shape[-1] for part in scores], dim=-1)
    return to_prefix @ prefix.values + to_codes @ codes.values


def _scores(queries: Float[Tensor, "b a n e"], to: KeysValues) -> Float[Tensor, "b a n k"]:
    return (queries @ to.keys.transpose(-2, -1)).masked_fill(~to.visible, -torch.inf)
