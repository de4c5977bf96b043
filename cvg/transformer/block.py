"""One layer: attention over everything in sight, and a two-layer network."""

from collections.abc import Sequence
from dataclasses import dataclass

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

    def prefix(
        self, features: Float[Tensor, "b p d"], present: Bool[Tensor, "b p"]
    ) -> tuple[Float[Tensor, "b p d"], KeysValues]:
        """Let the prefix see itself; give its new features, and what codes see of it here."""
        queries, keys, values = self.attention.split_heads(self.attention_norm(features))
        seen = KeysValues(keys=keys, values=values, visible=present[:, None, None])
        return self._finish(features, attend([(queries, seen)])), seen

    def codes(
        self,
        features: Float[Tensor, "b n d"],
        *,
        times: Rotation,
        visible: Bool[Tensor, "n n"],
        prefix: KeysValues,
        anchors: Sequence[Anchor] = (),
        first: "FirstFrame | None" = None,
    ) -> tuple[Float[Tensor, "b n d"], Seen]:
        """Process all positions of whole clips at once."""
        queries, keys, values = self.attention.split_heads(self.attention_norm(features))
        codes = KeysValues(keys=times.turn(keys), values=values, visible=visible)
        if first is not None:
            anchors = [*anchors, first.of(keys, values)]
        parts = [(queries, prefix), (times.turn(queries), codes)]
        parts += [(anchor.ages.turn(queries), anchor.seen) for anchor in anchors]
        return self._finish(features, attend(parts)), Seen(keys=keys, values=values)

    def _finish(
        self, features: Float[Tensor, "b n d"], mixed: Float[Tensor, "b a n e"]
    ) -> Float[Tensor, "b n d"]:
        features = features + self.dropout(self.attention.join_heads(mixed))
        return features + self.dropout(self.network(self.network_norm(features)))


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
