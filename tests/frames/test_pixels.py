"""The door between bytes and numbers."""

import torch

from cvg.frames.pixels import to_channels_first, to_channels_last, to_stored, to_unit


def test_all_256_values_survive():
    values = torch.arange(256, dtype=torch.uint8)
    assert torch.equal(to_stored(to_unit(values)), values)


def test_the_range_is_minus_one_to_one_and_grey_is_in_the_middle():
    low, middle, high = to_unit(torch.tensor([0, 128, 255], dtype=torch.uint8)).tolist()
    assert (low, high) == (-1.0, 1.0)
    assert abs(middle) < 0.005


def test_values_beyond_the_range_are_clipped_and_halves_are_rounded():
    found = to_stored(torch.tensor([-9.0, 9.0, 1 / 127.5 * 0.6 - 1, 1 / 127.5 * 0.4 - 1]))
    assert found.tolist() == [0, 255, 1, 0]


def test_colours_move_and_pixels_stay():
    frames = torch.arange(2 * 3 * 5 * 3).reshape(2, 3, 5, 3)
    moved = to_channels_first(frames)
    assert moved.shape == (2, 3, 3, 5)
    assert moved[1, 2, 0, 4] == frames[1, 0, 4, 2]
    assert torch.equal(to_channels_last(moved), frames)
