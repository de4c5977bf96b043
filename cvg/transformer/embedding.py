"""How codes, places and conditions become vectors."""

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import nn

from cvg.codes.layout import Layout
from cvg.conditions.batch import Conditions
from cvg.conditions.vocabulary import CAPTION_PLACE, PADDING
from cvg.tensors import Bool, Float, Int64, Tensor


class CodeEmbedding(nn.Module):
    """The vector of each position of a frame, from everything that is known before it."""

    codebook_vectors: Tensor
    offsets: Tensor
    parents: Tensor
    neighbours: Tensor

    def __init__(self, layout: Layout, *, width: int, code_dim: int) -> None:
        """Make untrained tables; codebook vectors are zero until they are filled in."""
        super().__init__()
        self.layout = layout
        self.register_buffer("codebook_vectors", torch.zeros(layout.vocabulary_size, code_dim))
        self.register_buffer("offsets", layout.offsets(), persistent=False)
        self.register_buffer("parents", layout.parents(), persistent=False)
        self.register_buffer("neighbours", layout.beside(), persistent=False)
        self.code_table = nn.Embedding(layout.vocabulary_size, width)
        self.code_projection = nn.Linear(code_dim, width, bias=False)
        self.place_table = nn.Embedding(layout.num_places, width)
        self.start = nn.Parameter(torch.zeros(width))  # in place of the code before the first
        self.hidden = nn.Parameter(torch.zeros(width))  # in place of a code that is yet unknown
        self.no_frame = nn.Parameter(torch.zeros(width))  # in place of the frame before the first
        self.beside = nn.Linear(4 * width, width, bias=False)
        self.coarser = nn.ModuleList(_convolution(width) for _ in layout.grids[1:])
        self.previous = nn.ModuleList(_convolution(width) for _ in layout.grids)

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
        results = [
            _convolve(part, convolution, rows=grid.rows)
            for grid, part, convolution in zip(self.layout.grids, parts, self.previous, strict=True)
        ]
        return self.place_table.weight + torch.cat(results, dim=1)

    def shifted(
        self, frames: Float[Tensor, "b m d"], before: Float[Tensor, "b d"]
    ) -> Float[Tensor, "b m d"]:
        """Give each place the vector of the code before it; `before` to the first."""
        return torch.cat([before[:, None], frames[:, :-1]], dim=1)

    def above(self, frames: Float[Tensor, "b m d"]) -> Float[Tensor, "b m d"]:
        """Give what places take from the coarser codes above and around, which are before them."""
        above = frames.index_select(1, self.parents)
        coarsest, *finer = above.split([grid.num_codes for grid in self.layout.grids], dim=1)
        results = [torch.zeros_like(coarsest)]
        for grid, part, convolution in zip(self.layout.grids[1:], finer, self.coarser, strict=True):
            results.append(_convolve(part, convolution, rows=grid.rows))
        return torch.cat(results, dim=1)

    def around(self, frames: Float[Tensor, "b m d"]) -> Float[Tensor, "b m _"]:
        """Give the vectors of each place's neighbours that are before it; 0 beyond the edge."""
        beyond = frames.new_zeros(len(frames), 1, frames.shape[2])
        padded = torch.cat([frames, beyond], dim=1)
        return rearrange(
            padded.index_select(1, self.neighbours.flatten()), "b (m n) d -> b m (n d)", n=4
        )


def _convolution(width: int) -> nn.Conv2d:
    return nn.Conv2d(width, width, 3, padding=1, bias=False)


def _convolve(
    grid: Float[Tensor, "b n d"], convolution: nn.Module, *, rows: int
) -> Float[Tensor, "b n d"]:
    picture = rearrange(grid, "b (h w) d -> b d h w", h=rows)
    return rearrange(convolution(picture), "b d h w -> b (h w) d")


class PrefixEmbedding(nn.Module):
    """Vectors of what does not change in a video: one a number, and their mean for every place."""

    def __init__(
        self, *, num_conditions: int, length: int, sentence_width: int, width: int
    ) -> None:
        """Make untrained tables for `length` numbers out of `num_conditions`.

        Args:
            num_conditions: distinct numbers.
            length: of a prefix.
            sentence_width: of the vector of a whole caption; 0 where there is none.
            width: of the transformer.
        """
        super().__init__()
        self.table = nn.Embedding(num_conditions, width)
        self.place_table = nn.Embedding(length, width)
        self.projection = nn.Linear(width, width)
        self.sentence = nn.Linear(sentence_width, width, bias=False) if sentence_width else None

    def forward(
        self, conditions: Conditions
    ) -> tuple[Float[Tensor, "b p d"], Bool[Tensor, "b p"], Float[Tensor, "b d"]]:
        """Give the prefix, which of it is not padding, and what is added at every position."""
        numbers = conditions.prefix
        present = numbers != PADDING
        prefix = self.table(numbers) + self.place_table.weight
        if self.sentence is not None:
            vector = self.sentence(conditions.sentences)[:, None]
            prefix = torch.cat(
                [
                    prefix[:, :CAPTION_PLACE],
                    prefix[:, CAPTION_PLACE : CAPTION_PLACE + 1] + vector,
                    prefix[:, CAPTION_PLACE + 1 :],
                ],
                dim=1,
            )
        shares = present / present.sum(1, keepdim=True)
        return prefix, present, self.projection((prefix * shares[..., None]).sum(1))


class ActionEmbedding(nn.Module):
    """A projection of actions, which starts at zero."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, action_width: int, width: int) -> None:
        """Make a projection of zeros; actions are taken as they are until a spread is set."""
        super().__init__()
        self.register_buffer("mean", torch.zeros(action_width))
        self.register_buffer("deviation", torch.ones(action_width))
        self.projection = nn.Linear(action_width, width)
        self.missing = nn.Parameter(torch.zeros(width))

    def set_spread(self, mean: Float[Tensor, "a"], deviation: Float[Tensor, "a"]) -> None:
        """Scale actions by their mean and standard deviation in training."""
        self.mean.copy_(mean)
        self.deviation.copy_(deviation)

    def forward(self, actions: Float[Tensor, "b t a"] | None) -> Float[Tensor, "*bt d"]:
        """Give what is added at the places of each frame; None is missing everywhere."""
        if actions is None:
            return self.missing
        missing = actions.isnan().any(-1, keepdim=True)
        scaled = (actions.nan_to_num() - self.mean) / self.deviation
        return torch.where(missing, self.missing, self.projection(scaled))


class MapEmbedding(nn.Module):
    """Convolutions of maps to the grids of codes, which start at zero."""

    def __init__(self, layout: Layout, map_cells: int, width: int) -> None:
        """Make convolutions of zeros; `map_cells` is a multiple of the rows of every grid."""
        super().__init__()
        self.rows = [grid.rows for grid in layout.grids]
        self.convolutions = nn.ModuleList(
            nn.Conv2d((map_cells // rows) ** 2, width, 3, padding=1) for rows in self.rows
        )
        self.missing = nn.Parameter(torch.zeros(width))

    def forward(self, maps: Float[Tensor, "b t c c"] | None) -> Float[Tensor, "*btm d"]:
        """Give what is added at each place; None is missing everywhere."""
        if maps is None:
            return self.missing
        missing = maps.isnan().flatten(2).any(-1)[:, :, None, None]
        pictures = rearrange(maps.nan_to_num(), "b t h w -> (b t) 1 h w")
        parts = []
        for rows, convolution in zip(self.rows, self.convolutions, strict=True):
            cells = F.pixel_unshuffle(pictures, pictures.shape[-1] // rows)
            parts.append(rearrange(convolution(cells), "(b t) d h w -> b t (h w) d", b=len(maps)))
        return torch.where(missing, self.missing, torch.cat(parts, dim=2))


class FrameEmbedding(nn.Module):
    """What is added at the places of each frame: its action, and its map where the place lies.

    Both start at zero, so that a model that is to learn them begins as one without.
    """

    def __init__(self, layout: Layout, *, action_width: int, map_cells: int, width: int) -> None:
        """Make projections of zeros.

        Args:
            layout: of the transformer.
            action_width: numbers of an action; 0 where there are none.
            map_cells: rows and columns of a map; 0 where there is none, else a multiple of those
                of every grid.
            width: of the transformer.
        """
        super().__init__()
        self.actions = ActionEmbedding(action_width, width) if action_width else None
        self.maps = MapEmbedding(layout, map_cells, width) if map_cells else None

    def forward(self, conditions: Conditions) -> Float[Tensor, "*btm d"] | float:
        """Give what is added at places of frames; broadcasts to `b t m d`, 0.0 without any kind."""
        added: Tensor | float = 0.0
        if self.actions is not None:
            actions = self.actions(conditions.actions)
            added = added + (actions[:, :, None] if actions.ndim > 1 else actions)
        if self.maps is not None:
            added = added + self.maps(conditions.maps)
        return added

    def zero(self) -> None:
        """Make all projections zero."""
        for module in self.modules():
            if isinstance(module, nn.Linear | nn.Conv2d):
                for parameter in module.parameters():
                    nn.init.zeros_(parameter)
