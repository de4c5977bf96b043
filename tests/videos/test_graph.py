"""The one resize against other code, and what any resize must keep."""

import errno
from fractions import Fraction

import av
import av.error
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from cvg.videos import graph
from cvg.videos.graph import Shaper, as_frame, opaque
from cvg.videos.look import Look


def noise(height, width, channels=3, seed=0):
    shape = (height, width, channels)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def shaped(pixels, *, size, fit="squash", **look):
    return Shaper(Look(size=size, fit=fit, **look)).shape(as_frame(pixels))


def planar(form, values, *, height=48, width=64):
    """A frame whose planes are each of one value."""
    frame = av.VideoFrame(width, height, form)
    wide = frame.format.components[0].bits > 8
    for plane, value in zip(frame.planes, values, strict=True):
        kind = np.uint16 if wide else np.uint8
        plane.update(np.full(plane.buffer_size // kind().itemsize, value, kind).tobytes())
    return frame


def far(found, expected):
    return np.abs(found.astype(float) - expected).max()


@pytest.mark.parametrize("factor", [2, 3, 5, 10])
@pytest.mark.parametrize("channels", [1, 3])
def test_whole_factors_equal_the_area_mean_of_torch(factor, channels):
    pixels = noise(16 * factor, 16 * factor, channels)
    planes = torch.from_numpy(pixels).double().movedim(-1, 0)[None]
    mean = torch.nn.functional.interpolate(planes, size=(16, 16), mode="area")[0].movedim(0, -1)
    found = shaped(pixels, size=16, channels=channels)
    assert far(found, mean.numpy()) <= 1


@pytest.mark.parametrize("shape", [(16 * 200, 40), (40, 16 * 300)])
def test_the_area_mean_holds_beyond_the_longest_filter_of_the_scaler(shape):
    pixels = noise(*shape, channels=1)
    # A slope, of which each part has a mean of its own.
    pixels = (pixels // 8 + np.linspace(0, 220, shape[1])[None, :, None]).astype(np.uint8)
    found = shaped(pixels, size=8, channels=1)
    mean = pixels[..., 0].astype(float).reshape(8, shape[0] // 8, 8, shape[1] // 8).mean((1, 3))
    assert far(found[..., 0], mean) <= 1.5


@pytest.mark.parametrize("shape", [(50, 37), (100, 70), (81, 17)])
def test_fractional_factors_are_the_integral_over_the_footprint(shape):
    pixels = noise(*shape)
    fine = pixels.repeat(16, axis=0).repeat(16, axis=1).astype(float)
    mean = fine.reshape(16, shape[0], 16, shape[1], 3).mean(axis=(1, 3))
    assert far(shaped(pixels, size=16), mean) <= 1


def test_pillow_agrees_where_its_box_is_the_same():
    pixels = noise(96, 64)
    box = Image.fromarray(pixels).resize((16, 16), Image.Resampling.BOX)
    assert far(shaped(pixels, size=16), np.asarray(box)) <= 1


def test_growth_equals_the_bilinear_of_torch():
    pixels = noise(9, 13)
    planes = torch.from_numpy(pixels).double().movedim(-1, 0)[None]
    expected = torch.nn.functional.interpolate(
        planes, size=(32, 32), mode="bilinear", align_corners=False
    )
    assert far(shaped(pixels, size=32), expected[0].movedim(0, -1).numpy()) <= 2


@given(
    height=st.integers(1, 400),
    width=st.integers(1, 400),
    size=st.sampled_from([8, 16, 64]),
    fit=st.sampled_from(["crop", "pad", "squash"]),
    colour=st.tuples(*[st.integers(0, 255)] * 3),
)
def test_a_frame_of_one_colour_keeps_it_at_any_size(height, width, size, fit, colour):
    pixels = np.full((height, width, 3), colour, dtype=np.uint8)
    found = shaped(pixels, size=size, fit=fit, background=colour)
    assert found.shape == (size, size, 3)
    assert far(found, colour) <= 1


@pytest.mark.parametrize("form", ["yuv420p", "yuv444p", "yuv410p", "nv12", "yuv420p10le", "gbrp"])
@pytest.mark.parametrize("shape", [(241, 333), (1, 1), (1, 500), (301, 1), (5, 1500), (1300, 3)])
def test_odd_shapes_keep_their_colour_in_every_format(form, shape):
    colour = (60, 150, 90)
    frame = as_frame(np.full((*shape, 3), colour, dtype=np.uint8)).reformat(
        format=form, dst_colorspace=1 if max(shape) >= 720 else 5
    )
    frame.colorspace = 2
    found = Shaper(Look(size=16, fit="squash")).shape(frame)
    assert far(found, colour) <= 3


def test_all_256_values_survive():
    ramp = np.arange(256, dtype=np.uint8).repeat(4)
    found = shaped(np.broadcast_to(ramp[:, None, None], (1024, 8, 3)), size=256)
    assert found[:, 0, 0].tolist() == list(range(256))


def test_crop_keeps_the_centre_pad_keeps_all_squash_fills():
    pixels = np.zeros((32, 96, 3), dtype=np.uint8)
    pixels[:, 32:64] = 200
    pixels[:, :32] = 50
    assert (shaped(pixels, size=32, fit="crop") == 200).all()
    padded = shaped(pixels, size=48, fit="pad", background=(7, 8, 9))
    assert (padded[:16] == (7, 8, 9)).all()
    assert (padded[32:] == (7, 8, 9)).all()
    assert (padded[16:32, :15] == 50).all()
    assert (padded[16:32, 17:31] == 200).all()
    squashed = shaped(pixels, size=48)
    assert (squashed[:, :15] == 50).all()
    assert (squashed[:, 17:31] == 200).all()


ASPECTS = [Fraction(4, 3), Fraction(3, 4), Fraction(2), Fraction(1, 2)]


@pytest.mark.parametrize("aspect", ASPECTS)
@pytest.mark.parametrize("fit", ["crop", "pad", "squash"])
@pytest.mark.parametrize("shape", [(72, 144), (144, 72), (72, 72)])
def test_pixels_that_are_not_square_count_as_wide_as_they_are_shown(aspect, fit, shape):
    pixels = noise(*shape)
    look = Look(size=24, fit=fit, background=(200, 0, 100))
    square = pixels.repeat(aspect.numerator, axis=1).repeat(aspect.denominator, axis=0)
    expected = Shaper(look).shape(as_frame(square))
    assert far(Shaper(look, pixel_aspect=aspect).shape(as_frame(pixels)), expected) <= 1


@given(
    height=st.integers(1, 50),
    width=st.integers(1, 50),
    aspect=st.fractions(Fraction(1, 8), 8, max_denominator=2000),
    fit=st.sampled_from(["crop", "pad"]),
)
def test_any_shape_of_pixels_can_be_fitted(height, width, aspect, fit):
    pixels = np.full((height, width, 3), 90, dtype=np.uint8)
    look = Look(size=8, fit=fit, background=(90, 90, 90))
    assert far(Shaper(look, pixel_aspect=aspect).shape(as_frame(pixels)), 90) <= 1


def test_a_shortage_of_memory_is_no_fault_of_the_frame(monkeypatch):
    def short(*_):
        raise av.error.MemoryError(errno.ENOMEM, "Cannot allocate memory")

    monkeypatch.setattr(graph, "Graph", short)
    with pytest.raises(MemoryError):
        shaped(noise(8, 8), size=8)


def test_height_and_width_are_not_mixed_up():
    pixels = np.zeros((64, 64, 3), dtype=np.uint8)
    pixels[:16] = (255, 0, 0)
    pixels[16:, :8] = (0, 0, 255)
    found = shaped(pixels, size=8)
    assert (found[:2] == (255, 0, 0)).all()
    assert (found[2:, 0] == (0, 0, 255)).all()
    assert (found[2:, 1:] == 0).all()


def test_channels_do_not_mix():
    pixels = noise(40, 40)
    whole = shaped(pixels, size=16).astype(int)
    for channel in range(3):
        alone = np.zeros_like(pixels)
        alone[..., channel] = pixels[..., channel]
        found = shaped(alone, size=16)
        assert far(found[..., channel], whole[..., channel]) <= 1
        assert np.delete(found, channel, axis=-1).max() <= 1


@pytest.mark.parametrize("form", ["yuv420p", "yuv420p10le", "yuv422p10le", "yuv444p12le"])
@pytest.mark.parametrize("full", [False, True])
def test_grey_levels_of_every_depth_and_range_are_right(form, full):
    bits = av.VideoFormat(form).components[0].bits
    most = 2**bits - 1
    for grey in range(0, 256, 15):
        limited = (16 + 219 * grey / 255) * 2 ** (bits - 8)
        luma = round(grey * most / 255 if full else limited)
        frame = planar(form, [luma, 2 ** (bits - 1), 2 ** (bits - 1)])
        frame.color_range = 2 if full else 1
        for channels in (1, 3):
            found = Shaper(Look(size=16, fit="crop", channels=channels)).shape(frame)
            assert far(found, grey) <= 1
            # The scaler dithers grey, but no colour.
            assert channels == 1 or np.ptp(found) == 0


def test_the_range_is_the_usual_one_of_the_format_where_the_stream_does_not_say():
    shaper = Shaper(Look(size=16, fit="crop"))
    assert far(shaper.shape(planar("yuv420p", [235, 128, 128])), 255) <= 1
    assert far(shaper.shape(planar("yuvj420p", [235, 128, 128])), 235) <= 1
    assert far(shaper.shape(planar("gray", [235])), 235) <= 1
    assert far(shaper.shape(planar("ya8", [235])), 235 * 235 / 255) <= 1


# Limited range, from the equations of the two standards.
RED_601, RED_709 = (81, 90, 240), (63, 102, 240)


@pytest.mark.parametrize(
    ("marked", "height", "width", "red"),
    [
        (1, 48, 64, RED_709),
        (6, 48, 64, RED_601),
        (5, 720, 1280, RED_601),
        (2, 48, 64, RED_601),
        (2, 718, 1278, RED_601),
        (2, 720, 64, RED_709),
        (2, 48, 1280, RED_709),
        (3, 48, 64, RED_601),
    ],
)
def test_the_matrix_is_as_marked_or_as_players_guess(marked, height, width, red):
    frame = planar("yuv444p", red, height=height, width=width)
    frame.colorspace = marked
    found = Shaper(Look(size=8, fit="crop")).shape(frame)
    assert far(found, (255, 0, 0)) <= 2


@pytest.mark.parametrize("transfer", [0, 2, 3, 16, 18])
def test_a_transfer_that_the_scaler_does_not_know_is_no_error(transfer):
    frame = planar("yuv420p", [126, 128, 128])
    frame.color_trc, frame.color_primaries = transfer, 3
    assert far(Shaper(Look(size=8, fit="crop")).shape(frame), 128) <= 1


def test_the_graph_follows_a_change_of_size_and_format():
    shaper = Shaper(Look(size=16, fit="squash"))
    for height, width, value in ((32, 64, 10), (64, 32, 90), (31, 17, 200), (32, 64, 11)):
        assert (shaper.shape(as_frame(np.full((height, width, 3), value, np.uint8))) == value).all()
        assert far(shaper.shape(planar("yuvj420p", [value, 128, 128])), value) <= 1


def test_the_same_frame_gives_the_same_bytes_in_memory_of_their_own():
    frame, shaper = as_frame(noise(40, 60)), Shaper(Look(size=16, fit="crop"))
    first = shaper.shape(frame)
    kept = first.copy()
    shaper.shape(as_frame(noise(40, 60, seed=1)))[:] = 0
    assert np.array_equal(first, kept)
    assert np.array_equal(shaper.shape(frame), kept)
    assert first.flags.writeable


@given(
    colour=st.tuples(*[st.integers(0, 255)] * 3),
    opacity=st.integers(0, 255),
    background=st.tuples(*[st.integers(0, 255)] * 3),
)
def test_transparency_is_mixed_exactly_with_the_background(colour, opacity, background):
    pixels = np.full((20, 20, 4), (*colour, opacity), dtype=np.uint8)
    exact = (np.array(colour) * opacity + np.array(background) * (255 - opacity)) / 255
    assert far(opaque(pixels, background), exact) <= 0.5
    assert far(shaped(pixels, size=8, background=background), exact) <= 1.5


def test_transparent_pixels_have_no_part_in_the_mean():
    pixels = np.zeros((16, 16, 4), dtype=np.uint8)
    pixels[:, 0::2] = (200, 100, 50, 255)
    pixels[:, 1::2] = (255, 255, 255, 0)
    assert far(shaped(pixels, size=8), (100, 50, 25)) <= 1


def test_grey_is_the_luma():
    found = shaped(np.full((20, 20, 3), (200, 100, 50), np.uint8), size=8, channels=1)
    assert found.shape == (8, 8, 1)
    assert far(found, 0.299 * 200 + 0.587 * 100 + 0.114 * 50) <= 1
    wide = np.full((4, 8, 1), 90, dtype=np.uint8)
    bars = shaped(wide, size=8, fit="pad", background=(200, 100, 50), channels=1)
    assert far(bars[0], 0.299 * 200 + 0.587 * 100 + 0.114 * 50) <= 1
