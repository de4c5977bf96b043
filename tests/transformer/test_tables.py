"""What codes bring to the places near them is, by tables, what the embedding makes of them."""

import pytest
import torch

from cvg.codes.layout import Grid, Layout
from cvg.transformer.embedding import CodeEmbedding
from cvg.transformer.tables import EVERYTHING, CodeTables

THREE = Layout(
    grids=tuple(
        Grid(level=level, rows=rows, columns=rows, codebook_size=size)
        for level, rows, size in (("top", 2, 3), ("middle", 4, 5), ("bottom", 8, 7))
    )
)


@pytest.fixture(params=[1, 2, 3], ids="levels {}".format)
def embedding(request):
    layout = Layout(grids=THREE.grids[: request.param])
    made = CodeEmbedding(layout, width=6, code_dim=4).double()
    for parameter in made.parameters():
        torch.nn.init.normal_(parameter)
    made.codebook_vectors.normal_()
    return made


@pytest.fixture
def codes(embedding, toys):
    grids = embedding.layout.grids
    draws = toys.rng()
    parts = [torch.randint(g.codebook_size, (3, g.num_codes), generator=draws) for g in grids]
    return torch.cat(parts, dim=1)


def assert_equal(found, expected):
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


@torch.no_grad()
@pytest.mark.parametrize("name", ["next_frame", "above", "beside", "own"])
def test_places_are_brought_what_the_embedding_makes_of_codes(embedding, codes, name):
    tables = CodeTables.of(embedding)
    numbers, vectors = tables.number(codes), embedding.look_up(embedding.table(), codes)
    found, expected = {
        "next_frame": (tables.next_frame(numbers), embedding.next_frame(vectors)),
        "above": (tables.above(numbers, EVERYTHING), embedding.above(vectors)),
        "beside": (
            tables.beside(numbers, EVERYTHING),
            embedding.beside(embedding.around(vectors)),
        ),
        "own": (tables.look_up(numbers[:, :-1]), vectors),
    }[name]
    assert_equal(found, expected)


@torch.no_grad()
def test_some_places_are_brought_what_they_are_among_all(embedding, codes):
    tables = CodeTables.of(embedding)
    numbers, last = tables.number(codes), codes.shape[1] - 1
    whole = tables.beside(numbers, EVERYTHING)
    for places in (slice(1, last), slice(last, last + 1), torch.tensor([last, 0])):
        assert torch.equal(tables.beside(numbers, places), whole[:, places])


@torch.no_grad()
@pytest.mark.parametrize("order", ["raster", "parallel"])
@pytest.mark.parametrize("frames", [1, 3])
def test_whole_clips_are_embedded_as_the_model_does(toys, layout, make_sequence, order, frames):
    model = toys.toy_transformer(layout, order=order)
    sequence = make_sequence(layout, frames=frames)
    found = CodeTables.of(model.code_embedding).clips(sequence, order)
    assert_equal(found, model._embed_clip(sequence))
