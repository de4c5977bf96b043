"""What each code brings to the places near it, worked out once for all codes.

A place takes from the codes near it by convolutions and a linear layer, each the sum of one product
a neighbour. Codes are few and their vectors stand still while videos are written, so all of these
products are rows of tables, and a place is a sum of rows: the same numbers but for the order of
sums, without reading the weights for each code.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from cvg.config import Order
from cvg.tensors import Float, Int64, Tensor
from cvg.transformer.embedding import CodeEmbedding

EVERYTHING = slice(None)


@dataclass(frozen=True, kw_only=True)
class NearTable:
    """What places take from the codes at k other places.

    Attributes:
        rows: what each of v codes brings from each direction, and, as code v, zeros for what is
            beyond the edge.
        places: whose codes each place takes; m stands for beyond the edge.
        begins: where the rows of each direction begin.
    """

    rows: Float[Tensor, "k v1 d"]
    places: Int64[Tensor, "m k"]
    begins: Int64[Tensor, "k"]

    @classmethod
    def of(
        cls, by_grid: Iterable[Float[Tensor, "k _ d"]], places: Int64[Tensor, "m k"]
    ) -> "NearTable":
        """Put the rows of the codes of all grids together."""
        rows = F.pad(torch.cat(list(by_grid), dim=1), (0, 0, 0, 1))
        begins = torch.arange(0, rows.shape[0] * rows.shape[1], rows.shape[1], device=rows.device)
        return cls(rows=rows, places=places, begins=begins)

    def add_up(
        self, numbers: Int64[Tensor, "b m1"], places: slice | Int64[Tensor, "n"]
    ) -> Float[Tensor, "b n d"]:
        """Add up the rows of some places.

        Args:
            numbers: of the codes of a frame, v for what is beyond the edge.
            places: in the frame.
        """
        near = self.places[places]
        found = numbers[:, near.flatten()].view(-1, len(self.begins)) + self.begins
        mixed = F.embedding_bag(found, self.rows.flatten(0, 1), mode="sum")
        return mixed.view(len(numbers), len(near), self.rows.shape[2])


@dataclass(frozen=True, kw_only=True)
class CodeTables:
    """All that a frozen `CodeEmbedding` makes of codes, by their numbers.

    Numbers are those of the vocabulary of the layout: levels do not share them. What is beyond the
    edge has the number behind the last.

    Attributes:
        embedding: whose tables these are.
        own: the vector of each code.
        from_previous: what places take from the codes of the frame before.
        from_above: from the coarser codes above and around; finer codes have no rows.
        from_beside: from their neighbours before them.
    """

    embedding: CodeEmbedding
    own: Float[Tensor, "v d"]
    from_previous: NearTable
    from_above: NearTable
    from_beside: NearTable

    @classmethod
    @torch.no_grad()
    def of(cls, embedding: CodeEmbedding) -> "CodeTables":
        """Work out all rows: a product for each code, direction and layer of the embedding."""
        layout, own = embedding.layout, embedding.table()
        by_grid = own.split([grid.codebook_size for grid in layout.grids])
        around = layout.around().to(own.device)
        nothing = own.new_zeros(9, 0, own.shape[1])  # that a first grid is brought from above
        above = map(_of_kernel, embedding.coarser, by_grid[:-1])
        return cls(
            embedding=embedding,
            own=own,
            from_previous=NearTable.of(map(_of_kernel, embedding.previous, by_grid), around),
            from_above=NearTable.of([nothing, *above], _parents_around(embedding, around)),
            from_beside=NearTable.of([_of_matrix(embedding.beside, own)], embedding.neighbours),
        )

    def number(self, codes: Int64[Tensor, "b m"]) -> Int64[Tensor, "b m1"]:
        """Give the numbers of the codes of whole frames, and that of what is beyond the edge."""
        return F.pad(codes + self.embedding.offsets, (0, 1), value=len(self.own))

    def look_up(self, numbers: Int64[Tensor, "*b"]) -> Float[Tensor, "*b d"]:
        """Give the vectors of codes."""
        return F.embedding(numbers, self.own)

    def next_frame(self, numbers: Int64[Tensor, "b m1"]) -> Float[Tensor, "b m d"]:
        """Give what the places of a frame bring along, from the codes of the frame before it."""
        brought = self.from_previous.add_up(numbers, EVERYTHING)
        return self.embedding.place_table.weight + brought

    def above(self, numbers: Int64[Tensor, "b m1"], places: slice) -> Float[Tensor, "b n d"]:
        """Give what places take from the coarser codes above and around."""
        edge = self.from_above.rows.shape[1] - 1
        return self.from_above.add_up(numbers.clamp(max=edge), places)

    def beside(
        self, numbers: Int64[Tensor, "b m1"], places: slice | Int64[Tensor, "n"]
    ) -> Float[Tensor, "b n d"]:
        """Give what places take from their neighbours before them."""
        return self.from_beside.add_up(numbers, places)

    def clips(self, sequence: Int64[Tensor, "b t m"], order: Order) -> Float[Tensor, "b t m d"]:
        """Give what codes bring to the places of whole clips, as the model embeds them."""
        b, t, _ = sequence.shape
        numbers = self.number(sequence.flatten(0, 1))
        brought, vectors = self.above(numbers, EVERYTHING), self.look_up(numbers[:, :-1])
        if order == "raster":
            start = self.embedding.start.expand(b, 1, -1)
            before = vectors.unflatten(0, (b, t)).flatten(1, 2)[:, :-1]
            vectors = torch.cat([start, before], dim=1).unflatten(1, (t, -1)).flatten(0, 1)
            brought = brought + self.beside(numbers, EVERYTHING)
        brought = (brought + vectors).unflatten(0, (b, t))
        first = self.embedding.first_frame(b)[:, None]
        earlier = numbers.unflatten(0, (b, t))[:, :-1].flatten(0, 1)
        later = self.next_frame(earlier).unflatten(0, (b, t - 1))
        return brought + torch.cat([first, later], dim=1)


def _of_kernel(convolution: nn.Module, vectors: Float[Tensor, "v d"]) -> Float[Tensor, "9 v d"]:
    """Give what a 3x3 convolution makes of vectors in each of its directions."""
    assert isinstance(convolution, nn.Conv2d)
    return torch.einsum("oikl,vi->klvo", convolution.weight, vectors).flatten(0, 1)


def _of_matrix(linear: nn.Linear, vectors: Float[Tensor, "v d"]) -> Float[Tensor, "k v d"]:
    """Give what a linear layer makes of vectors in each place among its inputs."""
    by_direction = linear.weight.unflatten(1, (-1, vectors.shape[1]))
    return torch.einsum("oki,vi->kvo", by_direction, vectors)


def _parents_around(embedding: CodeEmbedding, around: Int64[Tensor, "m 9"]) -> Int64[Tensor, "m 9"]:
    """Give the coarser codes above what is around each place; beyond the edge in the first grid."""
    layout = embedding.layout
    parents = F.pad(embedding.parents, (0, 1), value=layout.num_places)[around]
    parents[: layout.grids[0].num_codes] = layout.num_places
    return parents
