"""Flips by hand: which cells stand still, which codes change there."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cvg.frames.pixels import STILL
from cvg.metrics.flips import Flips, still_cells

GREY = 100


def standing(count):
    """Frames of 8x8 pixels in which nothing moves: cells of 4x4 pixels, or of 2x2."""
    return np.full((count, 8, 8, 3), GREY, np.uint8)


def constant_codes(count):
    return {
        "top": np.zeros((count, 2, 2), np.int64),
        "bottom": np.zeros((count, 4, 4), np.int64),
    }


def counted(frames, codes):
    flips = Flips()
    flips.add(frames, codes, follows=False)
    return flips.figures()


def test_a_still_picture_with_constant_codes_has_no_flips():
    figures = counted(standing(3), constant_codes(3))
    assert figures == {
        "top": {"still": 1.0, "flips": 0.0},
        "bottom": {"still": 1.0, "flips": 0.0},
    }


def test_a_code_that_changes_in_a_still_cell_is_a_flip():
    codes = constant_codes(3)
    codes["bottom"][1, 2, 3] = 7
    figures = counted(standing(3), codes)
    # It changes there and back: 2 flips of 2 pairs with 16 cells each.
    assert figures["bottom"]["flips"] == pytest.approx(2 / 32)
    assert figures["top"]["flips"] == 0


def test_a_code_that_changes_in_a_moving_cell_is_none():
    frames, codes = standing(2), constant_codes(2)
    frames[1, 1, 6, 2] = GREY + STILL + 1
    codes["bottom"][1, 0, 3] = 7
    codes["top"][1, 0, 1] = 7
    figures = counted(frames, codes)
    assert figures["bottom"] == {"still": 15 / 16, "flips": 0.0}
    assert figures["top"] == {"still": 3 / 4, "flips": 0.0}


def test_a_cell_is_where_its_pixels_are():
    frames = standing(2)
    frames[1, 7, 0] = 0
    assert still_cells(frames, grid=2).tolist() == [[[True, True], [False, True]]]


@pytest.mark.parametrize(("change", "still"), [(STILL, True), (STILL + 1, False)])
@pytest.mark.parametrize("sign", [-1, 1])
def test_the_smallest_changes_are_noise_and_not_motion(change, still, sign):
    frames = standing(2)
    frames[1, 0, 0, 0] = GREY + sign * change
    assert still_cells(frames, grid=1).item() is still


def test_bytes_do_not_wrap_round():
    frames = np.stack([np.zeros((2, 2, 3), np.uint8), np.full((2, 2, 3), 255, np.uint8)])
    assert not still_cells(frames, grid=1).any()
    assert not still_cells(frames[::-1].copy(), grid=1).any()


def test_without_a_still_cell_flips_are_absent():
    frames = standing(2)
    frames[1] = 0
    assert counted(frames, constant_codes(2))["top"] == {"still": 0.0}


def test_without_successive_frames_nothing_is_known():
    flips = Flips()
    for _ in range(2):
        flips.add(standing(1), constant_codes(1), follows=False)
    assert flips.figures() == {"top": {}, "bottom": {}}


def test_the_last_frame_of_a_segment_and_the_first_of_the_next_are_no_pair():
    flips = Flips()
    for code in (0, 1):
        codes = {level: grids + code for level, grids in constant_codes(2).items()}
        flips.add(standing(2), codes, follows=False)
    assert flips.figures()["top"] == {"still": 1.0, "flips": 0.0}


def test_the_pair_across_two_batches_counts():
    codes = constant_codes(4)
    codes["top"][2:] = 1
    flips = Flips()
    for first in (0, 2):
        batch = slice(first, first + 2)
        part = {level: grids[batch] for level, grids in codes.items()}
        flips.add(standing(4)[batch], part, follows=first > 0)
    assert flips.figures()["top"] == {"still": 1.0, "flips": pytest.approx(1 / 3)}


@given(
    seed=st.integers(0, 2**16),
    lengths=st.lists(st.integers(1, 5), min_size=1, max_size=5),
)
def test_figures_do_not_depend_on_the_batches(seed, lengths):
    draws = np.random.default_rng(seed)
    count = sum(lengths)
    frames = standing(count) + draws.integers(0, 4, (count, 8, 8, 1), dtype=np.uint8)
    codes = {"top": draws.integers(0, 2, (count, 2, 2))}
    flips, first = Flips(), 0
    for length in lengths:
        batch = slice(first, first + length)
        flips.add(frames[batch], {"top": codes["top"][batch]}, follows=first > 0)
        first += length
    assert flips.figures() == counted(frames, codes)
    assert flips.figures() == {"top": plainly(frames, codes["top"])}


def plainly(frames, codes):
    """The same figures, one cell at a time."""
    still = flipped = cells = 0
    for before, after, old, new in zip(frames, frames[1:], codes, codes[1:], strict=False):
        for row in range(2):
            for column in range(2):
                area = slice(4 * row, 4 * row + 4), slice(4 * column, 4 * column + 4)
                change = np.abs(before[area].astype(int) - after[area].astype(int)).max()
                cells += 1
                if change <= STILL:
                    still += 1
                    flipped += int(old[row, column] != new[row, column])
    figures = {"still": still / cells} if cells else {}
    return figures | ({"flips": flipped / still} if still else {})
