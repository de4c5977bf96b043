"""Planted pictures: what is drawn is read back, after what extraction does to it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from cvg.hostile.pictures import film_of, frame_of, is_upright, picture

NUMBERS = st.integers(0, 255)


def cropped(pixels, *, size=64):
    height, width = pixels.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    square = Image.fromarray(pixels[top : top + side, left : left + side])
    return np.asarray(square.resize((size, size)))


@given(NUMBERS, NUMBERS, st.sampled_from([(64, 48), (90, 160), (333, 241), (64, 64)]))
def test_numbers_survive_crop_scaling_and_noise(film, frame, sides):
    width, height = sides
    noise = np.random.default_rng(film).integers(-20, 21, (64, 64, 3))
    square = cropped(picture(film, frame, width=width, height=height)) + noise
    square = square.clip(0, 255).astype(np.uint8)
    assert (film_of(square), frame_of(square)) == (film, frame)
    assert is_upright(square)


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_a_turned_picture_is_not_upright(turns):
    assert not is_upright(
        np.ascontiguousarray(np.rot90(cropped(picture(1, 2, width=64, height=48)), turns))
    )


def test_a_mirrored_picture_is_not_upright():
    assert not is_upright(
        np.ascontiguousarray(cropped(picture(1, 2, width=64, height=48))[:, ::-1])
    )


@given(st.integers(0, 254))
def test_successive_frames_differ_little(frame):
    now, then = (picture(7, number, width=64, height=48) for number in (frame, frame + 1))
    assert 0 < np.abs(now.astype(int) - then).mean() < 10
