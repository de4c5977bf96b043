"""Captions and scenes are the same thing in two spellings."""

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cvg.shapes.grammar import caption, parse
from cvg.shapes.scene import COLOURS, DIRECTIONS, SHAPES, SPEEDS, Borders, Motion, Mover

MOTIONS = [
    None,
    *(
        Motion(direction=direction, speed=speed, borders=borders)
        for direction, speed, borders in product(DIRECTIONS, SPEEDS, Borders)
    ),
]
MOVERS = [
    Mover(shape=shape, colour=colour, motion=motion)
    for shape, colour, motion in product(SHAPES, COLOURS, MOTIONS)
]


def test_every_shape_comes_back_from_its_caption_and_no_caption_stands_twice():
    captions = [caption((mover,)) for mover in MOVERS]
    assert [parse(text) for text in captions] == [(mover,) for mover in MOVERS]
    assert len(set(captions)) == len(MOVERS)


@given(st.lists(st.sampled_from(MOVERS), min_size=2, max_size=2, unique_by=lambda m: m.colour))
def test_two_shapes_come_back_in_their_order(movers):
    assert parse(caption(tuple(movers))) == tuple(movers)


@given(st.lists(st.sampled_from(MOVERS), min_size=1, max_size=2, unique_by=lambda m: m.colour))
def test_case_commas_and_spaces_do_not_matter_and_16_words_are_enough(movers):
    text = caption(tuple(movers))
    assert parse("  " + text.upper().replace(",", "").replace(" ", "  ") + ".") == tuple(movers)
    assert len(text.split()) <= 15


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a circle",
        "a red cat",
        "a red circle moves up",
        "a red circle and",
        "a red circle a blue square",
        "a red circle moves left right fast",
        "a red circle, and a red square",
    ],
)
def test_other_sentences_are_refused(text):
    with pytest.raises(ValueError, match="expected"):
        parse(text)
