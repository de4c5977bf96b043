"""The transformer over codes: one class for both levels, told apart by their layout alone.

What is unusual, besides what cvg/transformer/attention.py says:

- the sequence of a video is frame after frame; position i has code i - 1 as input and predicts
  code i;
- a position sees the condition, its own frame up to itself, and window - 1 whole frames before
  it: in training by a mask, in decoding by a ring of keys and values. Both compute the same, so
  that videos of any length can be written in constant memory;
- the codes of the previous frame also enter aligned, through a 3x3 convolution at each place, and
  so does the coarser code above each place: a place need not search for its own past;
- besides logits of its own, each place has a logit for repeating the code of the previous frame at
  the same place, whatever it is (a pointer, as in See et al. 2017, arXiv:1704.04368), and logits
  that fall with the distance from a codebook vector near that of the repeated code. Most places
  do not change, or change to a code that looks alike; this is learned from few videos, where the
  same for each of hundreds of codes is not;
- codes enter as their codebook vectors besides a table of their own;
- the condition is added at every position, besides being a prefix that every position sees.
"""

from dataclasses import dataclass
from typing import cast

import torch
from einops import rearrange
from torch import nn

from cvg.codes.layout import Layout
from cvg.tensors import Bool, Float, Int64, Tensor
from cvg.transformer.attention import Attention, KeysValues, attend, attend_both, rotate_in_time
from cvg.transformer.cache import Cache, LayerCache
from cvg.transformer.embedding import CodeEmbedding, ConditionEmbedding

INITIAL_DEVIATION = 0.02


@dataclass(frozen=True, kw_only=True)
class TransformerShape:
    """Everything that rebuilds the network, beside its layout."""

    width: int
    layers: int
    heads: int
    window: int  # frames
    dropout: float
    code_dim: int
    num_conditions: int  # distinct numbers in a condition
    condition_length: int  # numbers in a condition


class Block(nn.Module):
    """Attention and a two-layer network, each normalised before and added to its input."""

    def __init__(self, shape: TransformerShape) -> None:
        """Make one layer."""
        super().__init__()
        width = shape.width
        self.attention_norm = nn.LayerNorm(width)
        self.attention = Attention(width, shape.heads)
        self.network_norm = nn.LayerNorm(width)
        self.network = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
        )
        self.dropout = nn.Dropout(shape.dropout)

    def prefix(
        self, features: Float[Tensor, "b p d"], present: Bool[Tensor, "b p"]
    ) -> tuple[Float[Tensor, "b p d"], KeysValues]:
        """Let the prefix see itself; give its new features, and what codes see of it here."""
        queries, keys, values = self.attention.split_heads(self.attention_norm(features))
        seen = KeysValues(keys=keys, values=values, visible=present[:, None, None])
        return self._finish(features, attend(queries, seen)), seen

    def codes(
        self,
        features: Float[Tensor, "b n d"],
        *,
        times: Int64[Tensor, "n"],
        visible: Bool[Tensor, "n n"],
        prefix: KeysValues,
    ) -> Float[Tensor, "b n d"]:
        """Process all positions of whole clips at once."""
        queries, keys, values = self.attention.split_heads(self.attention_norm(features))
        codes = KeysValues(keys=rotate_in_time(keys, times), values=values, visible=visible)
        mixed = attend_both(queries, rotate_in_time(queries, times), prefix=prefix, codes=codes)
        return self._finish(features, mixed)

    def cached(
        self, features: Float[Tensor, "b n d"], *, layer: LayerCache, cache: Cache
    ) -> Float[Tensor, "b n d"]:
        """Process the next places of the present frame, and keep their keys and values."""
        count = features.shape[1]
        times = torch.full((count,), cache.frame, device=features.device)
        queries, keys, values = self.attention.split_heads(self.attention_norm(features))
        slots = cache.slots(count)
        layer.keys[:, :, slots] = rotate_in_time(keys, times)
        layer.values[:, :, slots] = values
        codes = KeysValues(keys=layer.keys, values=layer.values, visible=cache.visible(count))
        rotated = rotate_in_time(queries, times)
        return self._finish(
            features, attend_both(queries, rotated, prefix=layer.prefix, codes=codes)
        )

    def _finish(
        self, features: Float[Tensor, "b n d"], mixed: Float[Tensor, "b a n e"]
    ) -> Float[Tensor, "b n d"]:
        features = features + self.dropout(self.attention.join_heads(mixed))
        return features + self.dropout(self.network(self.network_norm(features)))


class Transformer(nn.Module):
    """Predicts the codes of one level, given all codes before them and the condition."""

    def __init__(self, shape: TransformerShape, layout: Layout) -> None:
        """Build the network with untrained weights."""
        super().__init__()
        self.shape = shape
        self.layout = layout
        self.code_embedding = CodeEmbedding(layout, width=shape.width, code_dim=shape.code_dim)
        self.condition_embedding = ConditionEmbedding(
            num_conditions=shape.num_conditions,
            length=shape.condition_length,
            width=shape.width,
        )
        self.dropout = nn.Dropout(shape.dropout)
        self.blocks = nn.ModuleList(Block(shape) for _ in range(shape.layers))
        self.norm = nn.LayerNorm(shape.width)
        self.head = nn.Linear(shape.width, layout.predicted.codebook_size)
        self.repeat_head = nn.Linear(shape.width, 1)
        self.near_head = nn.Linear(shape.width, 1 + shape.code_dim)
        self._initialise()

    def forward(
        self, sequence: Int64[Tensor, "b t m"], conditions: Int64[Tensor, "b p"]
    ) -> Float[Tensor, "b t mp v"]:
        """Give the logits of every predicted place of every frame, from the codes before it.

        Args:
            sequence: codes in the order of the layout.
            conditions: of each video.
        """
        _, t, m = sequence.shape
        prefix, added = self.see_condition(conditions)
        features = self._embed_clip(sequence) + added[:, None, None]
        features = self.dropout(rearrange(features, "b t m d -> b (t m) d"))
        times = torch.arange(t, device=sequence.device).repeat_interleave(m)
        visible = window_mask(times, window=self.shape.window)
        for block, seen in zip(self.layers, prefix, strict=True):
            features = block.codes(features, times=times, visible=visible, prefix=seen)
        features = rearrange(features, "b (t m) d -> b t m d", t=t)
        features = features[:, :, self.layout.num_given :]
        previous = sequence[:, :-1, self.layout.num_given :]
        first = self.predict(features[:, :1], None)
        return torch.cat([first, self.predict(features[:, 1:], previous)], dim=1)

    def see_condition(
        self, conditions: Int64[Tensor, "b p"]
    ) -> tuple[list[KeysValues], Float[Tensor, "b d"]]:
        """Give what each layer sees of the condition, and what is added at every position."""
        features, present, added = self.condition_embedding(conditions)
        seen = []
        for block in self.layers:
            features, layer = block.prefix(features, present)
            seen.append(layer)
        return seen, added

    @property
    def layers(self) -> list[Block]:
        """The layers, first to last."""
        return cast("list[Block]", list(self.blocks))

    def predict(
        self, features: Float[Tensor, "*n d"], previous: Int64[Tensor, "*n"] | None
    ) -> Float[Tensor, "*n v"]:
        """Give logits.

        Args:
            features: of the last layer.
            previous: the codes at the same places one frame before; None in a first frame.
        """
        features = self.norm(features)
        logits = self.head(features)
        if previous is None:
            return logits
        logits = logits + self._nearness(features, previous)
        repeated = self.repeat_head(features).to(logits.dtype)  # autocast leaves them different
        return logits.scatter_add(-1, previous[..., None], repeated)

    def _nearness(
        self, features: Float[Tensor, "*n d"], previous: Int64[Tensor, "*n"]
    ) -> Float[Tensor, "*n v"]:
        """Give logits that fall with the squared distance from a point near the previous code.

        The features move the point away from the previous code's vector, and say how steeply the
        logits fall. What all codes have in common is left out: softmax does not see it.
        """
        vectors = self.code_embedding.codebook_vectors[-self.layout.predicted.codebook_size :]
        steepness, move = self.near_head(features).split([1, vectors.shape[1]], dim=-1)
        point = vectors[previous] + move
        # Small differences of large numbers: never in half precision.
        with torch.autocast(features.device.type, enabled=False):
            return steepness * (2 * point @ vectors.T - vectors.square().sum(1))

    def set_codebooks(self, codebooks: dict[str, Float[Tensor, "_ d"]]) -> None:
        """Fill in the codebook vectors of all levels of the layout."""
        vectors = torch.cat([codebooks[grid.level] for grid in self.layout.grids])
        # Scaled like the other tables, so that no part of the sum drowns the rest at the start.
        self.code_embedding.codebook_vectors.copy_(vectors / vectors.std())

    def _embed_clip(self, sequence: Int64[Tensor, "b t m"]) -> Float[Tensor, "b t m d"]:
        embedding = self.code_embedding
        b, t, _ = sequence.shape
        frames = embedding.look_up(embedding.table(), rearrange(sequence, "b t m -> (b t) m"))
        frames = rearrange(frames, "(b t) m d -> b t m d", t=t)
        start = embedding.start.expand(b, 1, -1)
        before = torch.cat([start, frames[:, :-1, -1]], dim=1)
        within = embedding.within_frame(
            rearrange(frames, "b t m d -> (b t) m d"), rearrange(before, "b t d -> (b t) d")
        )
        brought = [embedding.first_frame(b)[:, None]]
        if t > 1:
            previous = rearrange(frames[:, :-1], "b t m d -> (b t) m d")
            brought.append(rearrange(embedding.next_frame(previous), "(b t) m d -> b t m d", b=b))
        return rearrange(within, "(b t) m d -> b t m d", t=t) + torch.cat(brought, dim=1)

    def _initialise(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Linear | nn.Embedding | nn.Conv2d):
                nn.init.normal_(module.weight, std=INITIAL_DEVIATION)
            if isinstance(module, nn.Linear) and module.bias is not None:
                nn.init.zeros_(module.bias)
        # All codes are equally likely at first: the loss starts at ln(codebook_size).
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.repeat_head.weight)
        nn.init.zeros_(self.near_head.weight)


def window_mask(times: Int64[Tensor, "n"], *, window: int) -> Bool[Tensor, "n n"]:
    """Say which positions (columns) each position (row) may look at.

    Args:
        times: frame number of each position, in the order of the sequence.
        window: frames in sight, the position's own included.
    """
    position = torch.arange(len(times), device=times.device)
    age = times[:, None] - times
    return (age < window) & (position <= position[:, None])
