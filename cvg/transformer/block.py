"""One layer: attention over everything in sight, and a two-layer network."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from cvg.tensors import Bool, Float, Tensor
from cvg.transformer.attention import Attention, KeysValues, Rotation, attend


@dataclass(frozen=True, kw_only=True)
class Anchor:
    """A frame in one layer, seen from far away."""

    seen: KeysValues  # keys without rotation
    ages: Rotation  # of the distance from each query, bounded


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What one layer has made of a clip: its keys, without rotation, and its values."""

    keys: Float[Tensor, "b a n e"]
    values: Float[Tensor, "b a n e"]


@dataclass(frozen=True, kw_only=True)
class FirstFrame:
    """The first frame of a clip as an anchor, once it has left the window."""

    places: int
    ages: Rotation
    visible: Bool[Tensor, "n 1"]

    def of(self, keys: Float[Tensor, "b a n e"], values: Float[Tensor, "b a n e"]) -> Anchor:
        """Take it out of the keys and values of the clip."""
        part = slice(self.places)
        seen = KeysValues(keys=keys[:, :, part], values=values[:, :, part], visible=self.visible)
        return Anchor(seen=seen, ages=self.ages)


@dataclass(frozen=True, kw_only=True)
class Within:
    """What the positions of clips, or of the frame of a goal, see of each other."""

    times: Rotation
    visible: Bool[Tensor, "n n"]
    first: FirstFrame | None = None


@dataclass(frozen=True, kw_only=True)
class Sight:
    """Who sees what in whole clips; the same in every layer."""

    present: Bool[Tensor, "b p"]  # what of the prefix is not padding
    clip: Within
    goal: Within
    ages: Rotation | None  # of the distance from the goal, where there is one


# What dropout multiplies the two sums of a layer with.
Masks = tuple[Float[Tensor, "b _ d"], Float[Tensor, "b _ d"]]


class Block(nn.Module):
    """Attention and a two-layer network, each normalised before and added to its input."""

    def __init__(self, *, width: int, heads: int, dropout: float) -> None:
        """Make one layer of `width` channels."""
        super().__init__()
        self.attention_norm = nn.LayerNorm(width)
        self.attention = Attention(width, heads)
        self.network_norm = nn.LayerNorm(width)
        self.network = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
        )
        self.dropout = nn.Dropout(dropout)

    def forward(
        self,
        codes: Float[Tensor, "b n d"],
        prefix: Float[Tensor, "b p d"],
        goal: Float[Tensor, "b m d"] | None,
        *,
        sight: Sight,
        masks: tuple[Masks | None, Masks | None],
    ) -> tuple[Float[Tensor, "b n d"], Float[Tensor, "b p d"], Float[Tensor, "b m d"] | None, Seen]:
        """Pass whole clips, their prefix and their goal through this layer in one call.

        Where weights lie in parts (cvg/training/shards.py), those of a layer are whole for the time
        of this call, and tensors that need a gradient must come and go plainly, in no dataclass.

        Args:
            codes: features of the clips.
            prefix: of their conditions.
            goal: of the frames in which they end.
            sight: who sees what.
            masks: of the prefix, and of the goal.
        """
        of_prefix, of_goal = masks
        prefix, seen_prefix = self.prefix(prefix, sight.present, masks=of_prefix)
        anchors = []
        if goal is not None and sight.ages is not None:
            goal, seen = self.codes(goal, sight.goal, prefix=seen_prefix, masks=of_goal)
            anchors.append(everywhere(seen, sight.ages))
        codes, seen = self.codes(codes, sight.clip, prefix=seen_prefix, anchors=anchors)
        return codes, prefix, goal, seen

    def prefix(
        self,
        features: Float[Tensor, "b p d"],
        present: Bool[Tensor, "b p"],
        *,
        masks: Masks | None = None,
    ) -> tuple[Float[Tensor, "b p d"], KeysValues]:
        """Let the prefix see itself; give its new features, and what codes see of it here."""
        queries, keys, values = self.attention.split_heads(
            _normalised(features, self.attention_norm)
        )
        seen = KeysValues(keys=keys, values=values, visible=present[:, None, None])
        return self._finish(features, attend([(queries, seen)]), masks), seen

    def codes(
        self,
        features: Float[Tensor, "b n d"],
        within: Within,
        *,
        prefix: KeysValues,
        anchors: Sequence[Anchor] = (),
        masks: Masks | None = None,
    ) -> tuple[Float[Tensor, "b n d"], Seen]:
        """Process all positions of whole clips at once."""
        queries, keys, values = self.attention.split_heads(
            _normalised(features, self.attention_norm)
        )
        times = within.times
        codes = KeysValues(keys=times.turn(keys), values=values, visible=within.visible)
        if within.first is not None:
            anchors = [*anchors, within.first.of(keys, values)]
        parts = [(queries, prefix), (times.turn(queries), codes)]
        parts += [(anchor.ages.turn(queries), anchor.seen) for anchor in anchors]
        return self._finish(features, attend(parts), masks), Seen(keys=keys, values=values)

    def masks(self, features: Float[Tensor, "b n d"]) -> Masks | None:
        """Draw what dropout multiplies with in this layer, for features of this shape."""
        if not (self.training and self.dropout.p):
            return None
        ones = torch.ones_like(features)
        return self.dropout(ones), self.dropout(ones)

    def _finish(
        self,
        features: Float[Tensor, "b n d"],
        mixed: Float[Tensor, "b a n e"],
        masks: Masks | None,
    ) -> Float[Tensor, "b n d"]:
        first, second = masks or (None, None)
        features = features + self._drop(self.attention.join_heads(mixed), first)
        return features + self._drop(self.network(_normalised(features, self.network_norm)), second)

    def _drop(
        self, features: Float[Tensor, "b n d"], mask: Float[Tensor, "b n d"] | None
    ) -> Float[Tensor, "b n d"]:
        """Drop features at random, or those of a mask that was drawn before."""
        return self.dropout(features) if mask is None else features * mask.to(features.dtype)


def everywhere(seen: Seen, ages: Rotation) -> Anchor:
    """Make an anchor that all queries see, at their distances from it."""
    visible = torch.ones(1, 1, dtype=torch.bool, device=seen.keys.device)
    return Anchor(seen=KeysValues(keys=seen.keys, values=seen.values, visible=visible), ages=ages)


def _normalised(features: Float[Tensor, "*n d"], norm: nn.LayerNorm) -> Float[Tensor, "*n d"]:
    """Normalise by weights that may have less precision than the features."""
    weight, bias = norm.weight.to(features.dtype), norm.bias.to(features.dtype)
    return F.layer_norm(features, norm.normalized_shape, weight, bias, norm.eps)
