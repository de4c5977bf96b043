"""From grids to sequences and back."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cvg.codes.layout import Grid, Layout, layout_of


def grid(level, rows, columns, size=10):
    return Grid(level=level, rows=rows, columns=columns, codebook_size=size)


def test_a_frame_by_hand():
    layout = Layout(grids=(grid("top", 1, 2), grid("bottom", 2, 4)))
    codes = {
        "top": torch.tensor([[[[1, 2]], [[3, 4]]]]),
        "bottom": torch.arange(16).reshape(1, 2, 2, 4),
    }
    assert layout.to_sequence(codes).tolist() == [
        [[1, 2, 0, 1, 2, 3, 4, 5, 6, 7], [3, 4, 8, 9, 10, 11, 12, 13, 14, 15]]
    ]


def test_parents_by_hand():
    layout = Layout(grids=(grid("top", 2, 2), grid("bottom", 4, 4)))
    assert layout.parents().tolist() == [
        *[0, 1, 2, 3],
        *[0, 0, 1, 1],
        *[0, 0, 1, 1],
        *[2, 2, 3, 3],
        *[2, 2, 3, 3],
    ]


def test_parents_of_a_third_level_are_in_the_second():
    layout = Layout(grids=(grid("a", 1, 1), grid("b", 1, 2), grid("c", 2, 4)))
    assert layout.parents().tolist() == [0, 0, 0, *[1, 1, 2, 2], *[1, 1, 2, 2]]


def test_neighbours_by_hand():
    layout = Layout(grids=(grid("top", 1, 1), grid("bottom", 2, 3)))
    beyond = layout.num_places
    assert layout.beside().tolist() == [
        [beyond] * 4,
        [beyond] * 4,
        [beyond, beyond, beyond, 1],
        [beyond, beyond, beyond, 2],
        [beyond, 1, 2, beyond],
        [1, 2, 3, 4],
        [2, 3, beyond, 5],
    ]


SIDES = st.integers(1, 4)
# Rows, columns and codebook size of each grid.
SHAPES = st.lists(st.tuples(SIDES, SIDES, st.integers(2, 9)), min_size=1, max_size=3)


def layout_with(shapes):
    return Layout(grids=tuple(grid(f"level{i}", *shape) for i, shape in enumerate(shapes)))


@settings(deadline=None)
@given(shapes=SHAPES, b=st.integers(1, 3), t=st.integers(1, 3))
def test_back_and_forth_is_nothing_at_all(shapes, b, t):
    layout = layout_with(shapes)
    rng = torch.Generator().manual_seed(b)
    codes = {
        g.level: torch.randint(g.codebook_size, (b, t, g.rows, g.columns), generator=rng)
        for g in layout.grids
    }
    sequence = layout.to_sequence(codes)
    assert sequence.shape == (b, t, layout.num_places)
    back = layout.from_sequence(sequence)
    assert list(back) == list(codes)
    assert all(torch.equal(back[level], codes[level]) for level in codes)
    assert torch.equal(layout.to_sequence(back), sequence)


@settings(deadline=None)
@given(shapes=SHAPES)
def test_levels_never_share_a_number(shapes):
    layout = layout_with(shapes)
    offsets = layout.offsets()
    sizes = torch.tensor([g.codebook_size for g in layout.grids for _ in range(g.num_codes)])
    ranges = {range(a, a + n) for a, n in zip(offsets.tolist(), sizes.tolist(), strict=True)}
    numbers = [number for numbers in ranges for number in numbers]
    assert sorted(numbers) == list(range(layout.vocabulary_size))


@settings(deadline=None)
@given(shapes=SHAPES)
def test_parents_come_before_their_children_on_the_next_coarser_level(shapes):
    layout = layout_with(shapes)
    level = torch.tensor([i for i, g in enumerate(layout.grids) for _ in range(g.num_codes)])
    parents, places = layout.parents(), torch.arange(layout.num_places)
    first = level == 0
    assert torch.equal(parents[first], places[first])
    assert (parents[~first] < places[~first]).all()
    assert torch.equal(level[parents[~first]], level[~first] - 1)


@settings(deadline=None)
@given(shapes=SHAPES)
def test_what_is_around_a_place_has_it_around_itself(shapes):
    layout = layout_with(shapes)
    around = layout.around()
    assert torch.equal(around[:, 4], torch.arange(layout.num_places))
    for direction in range(9):
        inside = around[:, direction] < layout.num_places
        back = around[around[inside, direction], 8 - direction]
        assert torch.equal(back, torch.arange(layout.num_places)[inside])


@settings(deadline=None)
@given(shapes=SHAPES)
def test_neighbours_are_of_the_same_grid_and_before(shapes):
    layout = layout_with(shapes)
    level = torch.tensor([i for i, g in enumerate(layout.grids) for _ in range(g.num_codes)])
    for place, neighbours in enumerate(layout.beside()):
        inside = neighbours[neighbours < layout.num_places]
        assert (inside < place).all()
        assert (level[inside] == level[place]).all()


@pytest.mark.parametrize("levels", [("bottom",), ("top", "bottom"), ("top", "middle", "bottom")])
def test_a_level_is_given_all_coarser_ones(levels):
    grids = tuple(grid(level, 2**i, 2**i) for i, level in enumerate(levels))
    for number, level in enumerate(levels):
        layout = layout_of(level, grids)
        assert [g.level for g in layout.grids] == list(levels[: number + 1])
        assert layout.predicted.level == level
        assert layout.num_given == sum(4**i for i in range(number))


def test_the_last_grid_is_predicted_and_the_others_are_given():
    grids = (grid("top", 2, 2), grid("bottom", 4, 4))
    top, bottom = layout_of("top", grids), layout_of("bottom", grids)
    assert (top.grids, top.num_given, top.num_places) == (grids[:1], 0, 4)
    assert (bottom.grids, bottom.num_given, bottom.num_places) == (grids, 4, 20)
    assert bottom.predicted.level == "bottom"
    with pytest.raises(ValueError, match="middle"):
        layout_of("middle", grids)
