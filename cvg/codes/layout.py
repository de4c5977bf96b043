"""Where each code of a frame stands: the only thing that differs between the transformers.

A frame of a level's layout is the grids of all coarser levels, which are given, and then the grid
of that level, which is predicted: top | top, middle | top, middle, bottom where there are three
levels. Within a grid the order is raster: rows from above, columns from the left. Another order is
another layout and no change to a model.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from einops import rearrange

from cvg.tensors import Int64, Tensor


@dataclass(frozen=True, kw_only=True)
class Grid:
    """The code grid of one level."""

    level: str
    rows: int
    columns: int
    codebook_size: int

    @property
    def num_codes(self) -> int:
        """Codes of one frame."""
        return self.rows * self.columns


@dataclass(frozen=True, kw_only=True)
class Layout:
    """The places of one frame in a code sequence: grids, coarse to fine; the last is predicted."""

    grids: tuple[Grid, ...]

    @property
    def predicted(self) -> Grid:
        """The grid that the transformer writes."""
        return self.grids[-1]

    @property
    def num_places(self) -> int:
        """Places of a frame."""
        return sum(grid.num_codes for grid in self.grids)

    @property
    def num_given(self) -> int:
        """Places of a frame that are known before the first prediction; they come first."""
        return self.num_places - self.predicted.num_codes

    @property
    def vocabulary_size(self) -> int:
        """Distinct codes of all grids together."""
        return sum(grid.codebook_size for grid in self.grids)

    def offsets(self) -> Int64[Tensor, "m"]:
        """Give for each place what to add to its code, so that levels do not share numbers."""
        parts, start = [], 0
        for grid in self.grids:
            parts.append(torch.full((grid.num_codes,), start))
            start += grid.codebook_size
        return torch.cat(parts)

    def parents(self) -> Int64[Tensor, "m"]:
        """Give for each place the place of the coarser code above it; itself in the first grid."""
        parts, start = [torch.arange(self.grids[0].num_codes)], 0
        for coarse, fine in zip(self.grids, self.grids[1:], strict=False):
            rows = torch.arange(fine.rows) * coarse.rows // fine.rows
            columns = torch.arange(fine.columns) * coarse.columns // fine.columns
            parts.append(start + (rows[:, None] * coarse.columns + columns).flatten())
            start += coarse.num_codes
        return torch.cat(parts)

    def beside(self) -> Int64[Tensor, "m 4"]:
        """Give for each place its neighbours in its grid that are before it in raster order.

        They are above to the left, above, above to the right, and to the left; `num_places` stands
        for one beyond the edge.
        """
        return self.around()[:, :4].contiguous()

    def around(self) -> Int64[Tensor, "m 9"]:
        """Give for each place what is around it in its grid, row by row, itself in the middle.

        `num_places` stands for what is beyond the edge.
        """
        parts, start = [], 0
        for grid in self.grids:
            numbers = start + torch.arange(grid.num_codes).reshape(grid.rows, grid.columns)
            padded = F.pad(numbers, (1, 1, 1, 1), value=self.num_places)
            parts.append(padded.unfold(0, 3, 1).unfold(1, 3, 1).reshape(-1, 9))
            start += grid.num_codes
        return torch.cat(parts)

    def to_sequence(
        self, codes: Mapping[str, Int64[Tensor, "b t hg wg"]]
    ) -> Int64[Tensor, "b t m"]:
        """Lay out the grids of each frame, one after the other."""
        parts = [rearrange(codes[grid.level], "b t h w -> b t (h w)") for grid in self.grids]
        return torch.cat(parts, dim=-1)

    def from_sequence(
        self, sequence: Int64[Tensor, "b t m"]
    ) -> dict[str, Int64[Tensor, "b t hg wg"]]:
        """Give back the grids; inverse of `to_sequence`."""
        parts = sequence.split([grid.num_codes for grid in self.grids], dim=-1)
        return {
            grid.level: rearrange(part, "b t (h w) -> b t h w", h=grid.rows)
            for grid, part in zip(self.grids, parts, strict=True)
        }


def layout_of(level: str, grids: tuple[Grid, ...]) -> Layout:
    """Give the layout that predicts `level`, with all coarser levels given.

    Args:
        level: "top", "middle" or "bottom"; one of the grids'.
        grids: of all levels, coarse to fine.
    """
    position = [grid.level for grid in grids].index(level)
    return Layout(grids=grids[: position + 1])
