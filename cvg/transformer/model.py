"""The transformer over codes: one class for all levels, told apart by their layout alone.

What is unusual, besides what cvg/transformer/attention.py says:

- the sequence of a video is frame after frame. In raster order, position i has code i - 1 as input
  and predicts code i. In parallel order, a frame whose codes are hidden in part is a sequence of
  its own beside the video, sees the frames before it, and all its hidden codes are predicted at
  once (Chang et al. 2022, arXiv:2202.04200);
- a position sees the condition, its own frame, and window - 1 whole frames before it: in training
  by a mask, in decoding by a ring of keys and values. Both compute the same, so that videos of any
  length can be written in constant memory;
- anchors are frames that are seen from however far away: the first frame, where it is kept, and a
  goal, the frame in which a video is to end;
- the codes of the previous frame also enter aligned, through a 3x3 convolution at each place, and
  so do the coarser codes above it and, in raster order, the neighbours before it: a place need
  not search for what is near;
- besides logits of its own, each place has a logit for repeating the code of the previous frame at
  the same place, whatever it is (a pointer, as in See et al. 2017, arXiv:1704.04368), and logits
  that fall with the distance from a codebook vector near that of the repeated code. Most places
  do not change, or change to a code that looks alike; this is learned from few videos, where the
  same for each of hundreds of codes is not;
- codes enter as their codebook vectors besides a table of their own;
- the condition is added at every position, besides being a prefix that every position sees. What
  changes from frame to frame, actions and maps, is added at the places of its frame.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import torch
from einops import rearrange
from torch import nn

from cvg.codes.layout import Layout
from cvg.conditions.batch import Conditions
from cvg.config import Order
from cvg.tensors import Bool, Float, Int64, Tensor
from cvg.transformer.attention import KeysValues, Rotation, window_mask
from cvg.transformer.block import Block, FirstFrame, Masks, Seen, Sight, Within
from cvg.transformer.embedding import CodeEmbedding, FrameEmbedding, PrefixEmbedding
from cvg.transformer.head import Head

INITIAL_DEVIATION = 0.02


@dataclass(frozen=True, kw_only=True)
class TransformerShape:
    """Everything that rebuilds the network, beside its layout."""

    width: int
    layers: int
    heads: int
    window: int  # frames
    order: Order
    keep_first: bool  # whether the first frame is always in sight
    reach: int  # largest distance, in frames, at which an anchor is seen
    dropout: float
    code_dim: int
    num_conditions: int  # distinct numbers in a prefix
    condition_length: int  # numbers in a prefix
    sentence_width: int = 0  # of the vector of a caption; 0: none
    action_width: int = 0  # numbers in an action; 0: none
    map_cells: int = 0  # rows and columns of a map; 0: none


@dataclass(frozen=True, kw_only=True)
class Goal:
    """The frame in which videos are to end."""

    codes: Int64[Tensor, "b m"]
    time: int  # number of the frame


@dataclass(frozen=True, kw_only=True)
class Passed:
    """What a pass over clips leaves."""

    features: Float[Tensor, "b n d"]  # of the last layer
    layers: list[Seen]


class Transformer(nn.Module):
    """Predicts the codes of one level, given the codes before them and the condition."""

    def __init__(self, shape: TransformerShape, layout: Layout) -> None:
        """Build the network with untrained weights."""
        super().__init__()
        self.shape = shape
        self.layout = layout
        self.code_embedding = CodeEmbedding(layout, width=shape.width, code_dim=shape.code_dim)
        self.prefix_embedding = PrefixEmbedding(
            num_conditions=shape.num_conditions,
            length=shape.condition_length,
            sentence_width=shape.sentence_width,
            width=shape.width,
        )
        self.frame_embedding = FrameEmbedding(
            layout, action_width=shape.action_width, map_cells=shape.map_cells, width=shape.width
        )
        self.goal_mark = nn.Parameter(torch.zeros(shape.width))
        self.dropout = nn.Dropout(shape.dropout)
        self.blocks = nn.ModuleList(
            Block(width=shape.width, heads=shape.heads, dropout=shape.dropout)
            for _ in range(shape.layers)
        )
        self.head = Head(
            width=shape.width,
            codebook_size=layout.predicted.codebook_size,
            code_dim=shape.code_dim,
        )
        self._initialise()

    def forward(
        self,
        sequence: Int64[Tensor, "b t m"],
        conditions: Conditions,
        *,
        goal: Goal | None = None,
        hidden: Bool[Tensor, "b t mp"] | None = None,
        last: int | None = None,
    ) -> Float[Tensor, "b _ mp v"]:
        """Give the logits of every predicted place of every frame.

        Args:
            sequence: codes in the order of the layout.
            conditions: of each video.
            goal: the frame in which they end.
            hidden: in parallel order, the codes that are not known; each frame is predicted from
                its other codes and from all codes of the frames before it.
            last: give those of so many frames, the last ones, alone; at most all.
        """
        t = sequence.shape[1]
        passed = self.process(sequence, conditions, goal=goal, hidden=hidden)
        features = rearrange(passed.features, "b (t m) d -> b t m d", m=self.layout.num_places)
        features = features[:, -t:, self.layout.num_given :]
        codes = sequence[..., self.layout.num_given :]
        begin = 0 if last is None else max(0, t - last)
        # The first frame has none before it.
        parts = [] if begin else [self.predict(features[:, :1], None)]
        begin = max(1, begin)
        parts.append(self.predict(features[:, begin:], codes[:, begin - 1 : -1]))
        return torch.cat(parts, dim=1)

    def process(
        self,
        sequence: Int64[Tensor, "b t m"],
        conditions: Conditions,
        *,
        goal: Goal | None = None,
        hidden: Bool[Tensor, "b t mp"] | None = None,
        brought: Float[Tensor, "b t m d"] | None = None,
    ) -> Passed:
        """Pass clips through all layers; arguments as for `forward`.

        With `hidden`, the features of the frames with hidden codes stand behind those of the clip.
        `brought` is what the codes bring to their places, where that is known (`CodeTables`).
        """
        _, t, m = sequence.shape
        prefix, present, added = self.prefix_embedding(conditions)
        prefix_masks = self._masks(prefix)
        per_frame = self.frame_embedding(conditions) + added[:, None, None]
        embedded = (self._embed_clip(sequence) if brought is None else brought) + per_frame
        frames = torch.arange(t, device=sequence.device)
        if hidden is not None:
            behind = self._embed_clip(sequence, hidden=hidden) + per_frame
            embedded, frames = torch.cat([embedded, behind], dim=1), frames.repeat(2)
        features = self.dropout(rearrange(embedded, "b t m d -> b (t m) d"))
        end = None if goal is None else self._embed_goal(goal, added)
        times = frames.repeat_interleave(m)
        sight = Sight(
            present=present,
            clip=self._within_clip(times, features.dtype, twice=hidden is not None),
            goal=self._within_goal(features),
            ages=None if goal is None else self._ages(times - goal.time, features.dtype),
        )
        layers: list[Seen] = []
        for block, *masks in zip(self.layers, prefix_masks, self._masks(end), strict=True):
            features, prefix, end, seen = block(
                features, prefix, end, sight=sight, masks=tuple(masks)
            )
            layers.append(seen)
        return Passed(features=features, layers=layers)

    def see_condition(
        self, conditions: Conditions
    ) -> tuple[list[KeysValues], Float[Tensor, "b d"]]:
        """Give what each layer sees of the prefix, and what is added at every position."""
        features, present, added = self.prefix_embedding(conditions)
        seen = []
        for block in self.layers:
            features, layer = block.prefix(features, present)
            seen.append(layer)
        return seen, added

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.head.project.weight.device

    @property
    def layers(self) -> list[Block]:
        """The layers, first to last."""
        return cast("list[Block]", list(self.blocks))

    @property
    def layer_names(self) -> list[str]:
        """The names of the layers, first to last."""
        return [name for name, module in self.named_modules() if isinstance(module, Block)]

    @property
    def matrices(self) -> list[Tensor]:
        """The matrices of the layers, without what maps codes to features and back."""
        return [parameter for parameter in self.blocks.parameters() if parameter.ndim == 2]

    def predict(
        self,
        features: Float[Tensor, "*n d"],
        previous: Int64[Tensor, "*n"] | None,
        *,
        project: Callable[[Tensor], Tensor] | None = None,
    ) -> Float[Tensor, "*n v"]:
        """Give logits; arguments as for `Head`."""
        vectors = self.code_embedding.codebook_vectors[-self.layout.predicted.codebook_size :]
        return self.head(features, previous, vectors, project=project)

    def rotation(self, times: Int64[Tensor, "n"], dtype: torch.dtype) -> Rotation:
        """Prepare the rotation of heads at `times`."""
        return Rotation.at(times, head_width=self.shape.width // self.shape.heads, dtype=dtype)

    def set_codebooks(self, codebooks: dict[str, Float[Tensor, "_ d"]]) -> None:
        """Fill in the codebook vectors of all levels of the layout."""
        vectors = torch.cat([codebooks[grid.level] for grid in self.layout.grids])
        # Scaled like the other tables, so that no part of the sum drowns the rest at the start.
        self.code_embedding.codebook_vectors.copy_(vectors / vectors.std())

    def see_goal(
        self, goal: Goal, prefix: list[KeysValues], added: Float[Tensor, "b d"]
    ) -> list[Seen]:
        """Pass the frame of a goal through all layers: it sees the condition and itself only."""
        features = self._embed_goal(goal, added)
        within = self._within_goal(features)
        seen_by_layer = []
        for block, seen in zip(self.layers, prefix, strict=True):
            features, layer = block.codes(features, within, prefix=seen)
            seen_by_layer.append(layer)
        return seen_by_layer

    def _embed_goal(self, goal: Goal, added: Float[Tensor, "b d"]) -> Float[Tensor, "b m d"]:
        embedded = self._embed_clip(goal.codes[:, None])[:, 0]
        return self.dropout(embedded + added[:, None] + self.goal_mark)

    def _masks(self, features: Float[Tensor, "b n d"] | None) -> list[Masks | None]:
        """Draw the masks of all layers for the prefix or a goal, which need them before codes do.

        So the same is drawn whether these pass through all layers first or layer by layer.
        """
        return [None if features is None else block.masks(features) for block in self.layers]

    def _within_goal(self, features: Float[Tensor, "b _ d"]) -> Within:
        # Within one frame times do not matter.
        times = torch.zeros(self.layout.num_places, dtype=torch.int64, device=features.device)
        return Within(
            times=self.rotation(times, features.dtype),
            visible=window_mask(times, window=1, order=self.shape.order),
        )

    def _within_clip(self, times: Int64[Tensor, "n"], dtype: torch.dtype, *, twice: bool) -> Within:
        window, order = self.shape.window, self.shape.order
        first = None
        if self.shape.keep_first:
            first = FirstFrame(
                places=self.layout.num_places,
                ages=self._ages(times, dtype),
                visible=(times >= window)[:, None],
            )
        visible = window_mask(times, window=window, order=order, twice=twice)
        return Within(times=self.rotation(times, dtype), visible=visible, first=first)

    def _ages(self, ages: Int64[Tensor, "n"], dtype: torch.dtype) -> Rotation:
        """Bound the distance to an anchor by what training has seen."""
        return self.rotation(ages.clamp(-self.shape.reach, self.shape.reach), dtype)

    def _embed_clip(
        self, sequence: Int64[Tensor, "b t m"], hidden: Bool[Tensor, "b t mp"] | None = None
    ) -> Float[Tensor, "b t m d"]:
        embedding = self.code_embedding
        b, t, _ = sequence.shape
        frames = embedding.look_up(embedding.table(), rearrange(sequence, "b t m -> (b t) m"))
        brought = [embedding.first_frame(b)[:, None]]
        if t > 1:
            by_clip = rearrange(frames, "(b t) m d -> b t m d", t=t)
            previous = rearrange(by_clip[:, :-1], "b t m d -> (b t) m d")
            brought.append(rearrange(embedding.next_frame(previous), "(b t) m d -> b t m d", b=b))
        own = embedding.above(frames) + self._inputs(frames, clips=b, hidden=hidden)
        return rearrange(own, "(b t) m d -> b t m d", t=t) + torch.cat(brought, dim=1)

    def _inputs(
        self,
        frames: Float[Tensor, "bt m d"],
        *,
        clips: int,
        hidden: Bool[Tensor, "b t mp"] | None,
    ) -> Float[Tensor, "bt m d"]:
        """Give the code that each position has as input: in raster order the one before it."""
        embedding = self.code_embedding
        if self.shape.order == "raster":
            last = rearrange(frames[:, -1], "(b t) d -> b t d", b=clips)
            start = embedding.start.expand(clips, 1, -1)
            before = torch.cat([start, last[:, :-1]], dim=1)
            beside = embedding.beside(embedding.around(frames))
            return beside + embedding.shifted(frames, rearrange(before, "b t d -> (b t) d"))
        if hidden is None:
            return frames
        unknown = rearrange(hidden, "b t m -> (b t) m 1")
        given, predicted = frames.split(
            [self.layout.num_given, self.layout.predicted.num_codes], dim=1
        )
        return torch.cat([given, torch.where(unknown, embedding.hidden, predicted)], dim=1)

    def _initialise(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Linear | nn.Embedding | nn.Conv2d):
                nn.init.normal_(module.weight, std=INITIAL_DEVIATION)
            if isinstance(module, nn.Linear) and module.bias is not None:
                nn.init.zeros_(module.bias)
        self.frame_embedding.zero()
        # All codes are equally likely at first: the loss starts at ln(codebook_size).
        nn.init.zeros_(self.head.project.weight)
