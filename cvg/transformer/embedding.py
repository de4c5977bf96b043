"""How codes, places and conditions become vectors."""

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import nn

from cvg.codes.layout import Layout
from cvg.conditions.vocabulary import PADDING
from cvg.tensors import Bool, Float, Int64, Tensor


class CodeEmbedding(nn.Module):
    """The vector of each position of a frame, from everything that is known before it.

    The same methods serve whole clips in training and single places in decoding.
    """

    codebook_vectors: Tensor
    offsets: Tensor
    parents: Tensor
    is_child: Tensor

    def __init__(self, layout: Layout, *, width: int, code_dim: int) -> None:
        """Make untrained tables; codebook vectors are zero until they are filled in."""
        super().__init__()
        self.layout = layout
        parents = layout.parents()
        self.register_buffer("codebook_vectors", torch.zeros(layout.vocabulary_size, code_dim))
        self.register_buffer("offsets", layout.offsets(), persistent=False)
        self.register_buffer("parents", parents, persistent=False)
        self.register_buffer("is_child", parents != torch.arange(len(parents)), persistent=False)
        self.code_table = nn.Embedding(layout.vocabulary_size, width)
        self.code_projection = nn.Linear(code_dim, width, bias=False)
        self.place_table = nn.Embedding(layout.num_places, width)
        self.start = nn.Parameter(torch.zeros(width))  # in place of the code before the first
        self.no_frame = nn.Parameter(torch.zeros(width))  # in place of the frame before the first
        self.parent_projection = nn.Linear(width, width, bias=False)
        self.previous = nn.ModuleList(
            nn.Conv2d(width, width, 3, padding=1, bias=False) for _ in layout.grids
        )

    def table(self) -> Float[Tensor, "v d"]:
        """Give the vector of every code: an entry of its own, and its projected codebook vector."""
        return self.code_table.weight + self.code_projection(self.codebook_vectors)

    def look_up(
        self, table: Float[Tensor, "v d"], frames: Int64[Tensor, "b m"]
    ) -> Float[Tensor, "b m d"]:
        """Give the vectors of the codes of whole frames."""
        return F.embedding(frames + self.offsets, table)

    def first_frame(self, count: int) -> Float[Tensor, "b m d"]:
        """Give what the places of a first frame bring along, for `count` videos."""
        return (self.place_table.weight + self.no_frame).expand(count, -1, -1)

    def next_frame(self, previous: Float[Tensor, "b m d"]) -> Float[Tensor, "b m d"]:
        """Give what the places of a frame bring along, from the vectors of the frame before it."""
        parts = previous.split([grid.num_codes for grid in self.layout.grids], dim=1)
        results = []
        for grid, part, convolution in zip(self.layout.grids, parts, self.previous, strict=True):
            picture = rearrange(part, "b (h w) d -> b d h w", h=grid.rows)
            results.append(rearrange(convolution(picture), "b d h w -> b (h w) d"))
        return self.place_table.weight + torch.cat(results, dim=1)

    def within_frame(
        self, frames: Float[Tensor, "b m d"], before: Float[Tensor, "b d"]
    ) -> Float[Tensor, "b m d"]:
        """Give what places take from the code before them and the coarser code above them.

        Args:
            frames: vectors of the codes of each frame; those not written yet do not reach any
                place that comes before them.
            before: vector of the last code of the frame before.
        """
        shifted = torch.cat([before[:, None], frames[:, :-1]], dim=1)
        above = self.parent_projection(frames.index_select(1, self.parents))
        return shifted + above * self.is_child[:, None]


class ConditionEmbedding(nn.Module):
    """The vectors of a condition: one for each number, and their mean for every position."""

    def __init__(self, *, num_conditions: int, length: int, width: int) -> None:
        """Make untrained tables for `length` numbers out of `num_conditions`."""
        super().__init__()
        self.table = nn.Embedding(num_conditions, width)
        self.place_table = nn.Embedding(length, width)
        self.projection = nn.Linear(width, width)

    def forward(
        self, conditions: Int64[Tensor, "b p"]
    ) -> tuple[Float[Tensor, "b p d"], Bool[Tensor, "b p"], Float[Tensor, "b d"]]:
        """Give the prefix, which of it is not padding, and what is added at every position."""
        present = conditions != PADDING
        prefix = self.table(conditions) + self.place_table.weight
        shares = present / present.sum(1, keepdim=True)
        return prefix, present, self.projection((prefix * shares[..., None]).sum(1))
