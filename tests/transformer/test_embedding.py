"""What a place takes from the codes that are near it."""

import pytest
import torch

from cvg.codes.layout import Grid, Layout
from cvg.transformer.embedding import CodeEmbedding

COARSE, FINE, WIDTH = 3, 6, 4


@pytest.fixture
def embedding():
    grids = [Grid(level=f"{side}", rows=side, columns=side, codebook_size=5) for side in (3, 6)]
    return CodeEmbedding(Layout(grids=tuple(grids)), width=WIDTH, code_dim=2).double()


def seen_by(give, embedding, row, column):
    """Which places change what the place in the fine grid is given."""
    m = embedding.layout.num_places
    frames = torch.randn(1, m, WIDTH, dtype=torch.float64, requires_grad=True)
    give(frames)[0, COARSE**2 + row * FINE + column].sum().backward()
    seen = frames.grad[0].abs().sum(-1) > 0
    return seen[: COARSE**2].reshape(COARSE, COARSE), seen[COARSE**2 :].reshape(FINE, FINE)


@pytest.mark.parametrize(
    ("row", "column", "rows", "columns"),
    [(2, 2, (0, 2), (0, 2)), (3, 2, (1, 3), (0, 2)), (0, 5, (0, 1), (2, 3))],
)
def test_a_place_takes_the_coarser_code_above_and_those_it_borders_on(
    embedding, row, column, rows, columns
):
    coarse, fine = seen_by(embedding.above, embedding, row, column)
    expected = torch.zeros(COARSE, COARSE, dtype=torch.bool)
    expected[slice(*rows), slice(*columns)] = True
    assert torch.equal(coarse, expected)
    assert not fine.any()


def test_a_place_takes_its_neighbours_before_it(embedding):
    def beside(frames):
        return embedding.beside(embedding.around(frames))

    coarse, fine = seen_by(beside, embedding, 2, 3)
    assert not coarse.any()
    assert fine.nonzero().tolist() == [[1, 2], [1, 3], [1, 4], [2, 2]]


def test_the_coarsest_codes_take_nothing_from_above(embedding):
    frames = torch.randn(1, embedding.layout.num_places, WIDTH, dtype=torch.float64)
    assert not embedding.above(frames)[:, : COARSE**2].any()
