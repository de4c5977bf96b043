"""Attention over a condition prefix, anchor frames and a window of frames.

Sources: Vaswani et al. 2017, arXiv:1706.03762, sec. 3.2 (attention); Su et al. 2021,
arXiv:2104.09864, eq. 34 (rotary positions). Unusual here: codes see the prefix without rotation,
so that the condition is equally near at every frame however long the video, and anchor frames at
a distance in time that is bounded. The product is written out, because one softmax runs over scores
of differently rotated queries.
"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from einops import rearrange
from torch import nn

from cvg.config import Order
from cvg.tensors import Bool, Float, Int64, Tensor

# Times are small whole numbers (frames), so wave lengths from about 6 to 600 frames are enough.
WAVE_BASE = 100.0


@dataclass(frozen=True, kw_only=True)
class Rotation:
    """Cosines and sines of the angles of some times; made once, used by every layer."""

    cosines: Float[Tensor, "n e"]
    sines: Float[Tensor, "n e"]

    @classmethod
    def at(cls, times: Int64[Tensor, "n"], *, head_width: int, dtype: torch.dtype) -> "Rotation":
        """Prepare the rotation of `n` positions at `times`, in frames.

        Angles are computed in double precision: late in a long video, single precision would lose
        what tells two successive frames apart.
        """
        half = head_width // 2
        exponents = torch.arange(half, device=times.device, dtype=torch.float64) / half
        angles = (times[:, None] * WAVE_BASE**-exponents).repeat(1, 2)
        signs = torch.ones_like(angles)
        signs[:, :half] = -1
        return cls(cosines=angles.cos().to(dtype), sines=(angles.sin() * signs).to(dtype))

    def turn(self, vectors: Float[Tensor, "b a n e"]) -> Float[Tensor, "b a n e"]:
        """Turn pairs of components; products then depend on the difference of times only."""
        half = vectors.shape[-1] // 2
        swapped = torch.cat([vectors[..., half:], vectors[..., :half]], dim=-1)
        return vectors * self.cosines + swapped * self.sines


@dataclass(frozen=True, kw_only=True)
class KeysValues:
    """What queries may look at."""

    keys: Float[Tensor, "b a k e"]
    values: Float[Tensor, "b a k e"]
    visible: Bool[Tensor, "..."]  # broadcasts to `b a n k`


class Attention(nn.Module):
    """Projections of multi-head attention."""

    def __init__(self, width: int, heads: int) -> None:
        """Make projections for `heads` heads of width / heads numbers each."""
        super().__init__()
        self.heads = heads
        self.scale = (width // heads) ** -0.5  # of queries; Vaswani et al. 2017, eq. 1
        self.project_in = nn.Linear(width, 3 * width, bias=False)
        self.project_out = nn.Linear(width, width, bias=False)

    def split_heads(
        self, features: Float[Tensor, "b n d"]
    ) -> tuple[Float[Tensor, "b a n e"], Float[Tensor, "b a n e"], Float[Tensor, "b a n e"]]:
        """Give queries (already scaled), keys and values, without rotation."""
        heads = rearrange(self.project_in(features), "b n (s a e) -> s b a n e", s=3, a=self.heads)
        queries, keys, values = heads.unbind(0)
        return queries * self.scale, keys, values

    def join_heads(self, mixed: Float[Tensor, "b a n e"]) -> Float[Tensor, "b n d"]:
        """Put the heads back together."""
        return self.project_out(rearrange(mixed, "b a n e -> b n (a e)"))


def with_scaled_queries(attention: Attention) -> nn.Linear:
    """Give the projection of queries, keys and values, with the scale of queries in its weights."""
    projection = copy.deepcopy(attention.project_in).requires_grad_(False)
    projection.weight[: projection.in_features] *= attention.scale
    return projection


def attend(
    parts: Sequence[tuple[Float[Tensor, "b a n e"], KeysValues]],
) -> Float[Tensor, "b a n e"]:
    """Mix values by one softmax over the query-key products of all parts.

    Args:
        parts: what is looked at, each with the queries that look at it.
    """
    scores = torch.cat([queries @ seen.keys.transpose(-2, -1) for queries, seen in parts], dim=-1)
    values = torch.cat([seen.values for _, seen in parts], dim=2)
    # Added, and not filled in: the gradient of a sum costs nothing.
    scores = scores + torch.cat([_bias(seen, scores) for _, seen in parts], dim=-1)
    # Autocast would turn scores, which are the largest arrays of a step, to single precision and
    # back; a softmax sums in single precision whatever it is given.
    with torch.autocast(scores.device.type, enabled=False):
        weights = scores.softmax(-1)
    return weights.to(values.dtype) @ values


def _bias(seen: KeysValues, scores: Float[Tensor, "b a n _"]) -> Float[Tensor, "#b 1 n k"]:
    """Give 0 for what is visible, and minus infinity."""
    shape = (len(scores), 1, scores.shape[2], seen.keys.shape[2])
    bias = scores.new_zeros(()).masked_fill(~seen.visible, -torch.inf)
    return bias.expand(shape)


def window_mask(
    times: Int64[Tensor, "n"], *, window: int, order: Order = "raster", twice: bool = False
) -> Bool[Tensor, "n n"]:
    """Say which positions (columns) each position (row) may look at.

    Args:
        times: frame number of each position, in the order of the sequence.
        window: frames in sight, the position's own included.
        order: raster: of its own frame a position sees what is before it; parallel: all of it.
        twice: whether the second half of the positions are the same frames with codes hidden,
            which see themselves and, of the first half, the frames before.
    """
    position = torch.arange(len(times), device=times.device)
    age = times[:, None] - times
    if order == "raster":
        return (age < window) & (position <= position[:, None])
    if not twice:
        return (age < window) & (age >= 0)
    behind = position >= len(times) // 2
    earlier = (age < window) & (age >= behind[:, None].long()) & ~behind
    return earlier | ((age == 0) & behind & behind[:, None])
