"""The resize against other code, and what any resize must keep."""

import numpy as np
import pytest
import torch
from PIL import Image

from cvg.videos.resize import fit_square, resize


def noise(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize("factor", [2, 3, 5])
def test_whole_factors_equal_the_area_mean_of_torch(factor):
    frame = noise(16 * factor, 24 * factor)
    pixels = torch.from_numpy(frame).double().movedim(-1, 0)[None]
    mean = torch.nn.functional.interpolate(pixels, size=(16, 24), mode="area")[0].movedim(0, -1)
    expected = np.floor(mean.numpy() + 0.5)
    # Torch's own rounding decides exact halves, hence one level there and none elsewhere.
    difference = np.abs(resize(frame, height=16, width=24).astype(int) - expected)
    assert difference.max() <= 1
    assert difference[np.abs(mean.numpy() % 1 - 0.5) > 1e-6].max() == 0


def test_fractional_factors_are_the_integral_over_the_footprint():
    height, width = 50, 37
    frame = noise(height, width)
    found = resize(frame, height=16, width=16).astype(float)
    fine = frame.repeat(16, axis=0).repeat(16, axis=1).astype(float)
    mean = fine.reshape(16, height, 16, width, 3).mean(axis=(1, 3))
    assert np.abs(found - mean).max() <= 0.5 + 1e-9


def test_growth_equals_the_bilinear_of_torch():
    frame = noise(9, 13)
    pixels = torch.from_numpy(frame).double().movedim(-1, 0)[None]
    expected = torch.nn.functional.interpolate(
        pixels, size=(32, 32), mode="bilinear", align_corners=False
    )
    found = resize(frame, height=32, width=32).astype(float)
    assert np.abs(found - expected[0].movedim(0, -1).numpy()).max() <= 0.5 + 1e-9


def test_pillow_agrees_within_a_level_where_its_box_is_the_same():
    frame = noise(96, 96)
    box = Image.fromarray(frame).resize((32, 32), Image.Resampling.BOX)
    found = resize(frame, height=32, width=32)
    assert np.abs(found.astype(int) - np.asarray(box).astype(int)).max() <= 1


@pytest.mark.parametrize("shape", [(64, 64), (48, 80), (100, 33), (1, 1), (7, 300)])
def test_every_value_survives_where_the_frame_is_of_one_colour(shape):
    for value in range(0, 256, 5):
        frame = np.full((*shape, 3), value, dtype=np.uint8)
        assert (fit_square(frame, size=16, fit="crop") == value).all()
        assert (fit_square(frame, size=16, fit="squash") == value).all()


def test_all_256_values_survive():
    ramp = np.repeat(np.arange(256, dtype=np.uint8), 4)
    frame = np.broadcast_to(ramp[:, None, None], (1024, 8, 3)).copy()
    assert resize(frame, height=256, width=4)[:, 0, 0].tolist() == list(range(256))


def test_the_same_size_is_the_same_picture_and_a_copy():
    frame = noise(16, 16)
    found = fit_square(frame, size=16, fit="crop")
    assert np.array_equal(found, frame)
    assert not np.shares_memory(found, frame)


def test_crop_keeps_the_centre_pad_keeps_all_squash_fills():
    frame = np.zeros((32, 96, 3), dtype=np.uint8)
    frame[:, 32:64] = 200
    frame[:, :32] = 50
    assert (fit_square(frame, size=32, fit="crop") == 200).all()
    padded = fit_square(frame, size=48, fit="pad")
    assert (padded[:16] == 0).all()
    assert (padded[32:] == 0).all()
    assert (padded[16:32, :15] == 50).all()
    squashed = fit_square(frame, size=48, fit="squash")
    assert (squashed[:, :15] == 50).all()
    assert (squashed[:, 17:31] == 200).all()


@pytest.mark.parametrize("value", [200, 201, 203])
def test_exact_halves_are_rounded_up_however_large_the_frame(value):
    frame = np.full((558, 558, 3), value, dtype=np.uint8)
    # Each of the 9 x 9 footprints is 62 rows high; one half of them is a level brighter.
    frame[np.arange(558) % 62 < 31] += 1
    assert (resize(frame, height=9, width=9) == value + 1).all()


def test_channels_do_not_mix():
    frame = noise(40, 40)
    for channel in range(3):
        alone = np.zeros_like(frame)
        alone[..., channel] = frame[..., channel]
        found = resize(alone, height=16, width=16)
        whole = resize(frame, height=16, width=16)
        assert np.array_equal(found[..., channel], whole[..., channel])
