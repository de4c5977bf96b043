"""Videos for people: right colours, right order, right speed."""

import av
import numpy as np
import pytest
from PIL import Image

from cvg.media import (
    CAPTION_HEIGHT,
    GAP,
    PALETTE_PIXELS,
    mark_context,
    side_by_side,
    stack,
    write_gif,
    write_mp4,
)

RED, GREEN, BLUE = (220, 30, 30), (30, 200, 30), (30, 30, 220)


def plain(colour, *, frames=1, height=32, width=32):
    return np.full((frames, height, width, 3), colour, dtype=np.uint8)


def film():
    """Red, green, blue, and then ever lighter grey."""
    greys = [plain((60 + 30 * i,) * 3) for i in range(4)]
    return np.concatenate([plain(RED), plain(GREEN), plain(BLUE), *greys])


def decode(path):
    with av.open(path) as container:
        stream = container.streams.video[0]
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(stream)]
        return np.stack(frames), float(stream.average_rate)


@pytest.mark.parametrize("fps", [10.0, 29.97, 12])
def test_an_mp4_has_every_frame_in_order_with_its_colours_and_its_speed(tmp_path, fps):
    write_mp4(tmp_path / "film.mp4", film(), fps=fps)
    frames, rate = decode(tmp_path / "film.mp4")
    assert rate == pytest.approx(fps, rel=1e-3)
    assert frames.shape == film().shape
    assert np.abs(frames.astype(int) - film()).max() <= 10
    assert [path.name for path in tmp_path.iterdir()] == ["film.mp4"]


def test_the_same_frames_give_the_same_bytes_whatever_memory_they_lie_in(tmp_path):
    rng = np.random.default_rng(0)
    scene = rng.integers(0, 255, (8, 8, 3), dtype=np.uint8).repeat(4, axis=0).repeat(4, axis=1)
    frames = np.stack([np.roll(scene, step, axis=1) for step in range(12)])
    found, between = set(), []
    for _ in range(40):
        between.append(rng.integers(0, 255, rng.integers(1, 100_000), dtype=np.uint8))
        if len(between) > 10:
            between.pop(rng.integers(10))
        write_mp4(tmp_path / "film.mp4", frames, fps=8)
        found.add((tmp_path / "film.mp4").read_bytes())
    assert len(found) == 1


def test_odd_sizes_lose_one_row_and_one_column(tmp_path):
    frames = np.concatenate([film()] * 2, axis=2)[:, :31, :45]
    write_mp4(tmp_path / "film.mp4", frames, fps=10)
    found, _ = decode(tmp_path / "film.mp4")
    assert found.shape == (7, 30, 44, 3)
    assert np.abs(found.astype(int) - frames[:, :30, :44]).max() <= 10


@pytest.mark.parametrize(("fps", "duration"), [(10.0, 100), (5, 200), (25.0, 40)])
def test_a_gif_has_every_frame_with_its_colours_and_its_time(tmp_path, fps, duration):
    write_gif(tmp_path / "film.gif", film(), fps=fps)
    with Image.open(tmp_path / "film.gif") as picture:
        assert picture.n_frames == 7
        assert picture.info["loop"] == 0
        for number, expected in enumerate(film()):
            picture.seek(number)
            assert picture.info["duration"] == duration
            assert np.abs(np.asarray(picture.convert("RGB")).astype(int) - expected).max() <= 8


def test_colours_of_a_large_gif_are_chosen_from_some_of_its_pixels(tmp_path, monkeypatch):
    large, seen = film().repeat(16, axis=1).repeat(16, axis=2), []
    quantize = Image.Image.quantize

    def noted(self, *others, **more):
        seen.append(self.width * self.height)
        return quantize(self, *others, **more)

    monkeypatch.setattr(Image.Image, "quantize", noted)
    write_gif(tmp_path / "film.gif", large, fps=5)
    with Image.open(tmp_path / "film.gif") as picture:
        for number, expected in enumerate(large):
            picture.seek(number)
            assert np.abs(np.asarray(picture.convert("RGB")).astype(int) - expected).max() <= 8
    assert PALETTE_PIXELS / 2 < seen[0] <= PALETTE_PIXELS < large.size / 3


def test_a_gif_that_stands_still_takes_as_long(tmp_path):
    write_gif(tmp_path / "film.gif", plain(RED, frames=6), fps=10)
    with Image.open(tmp_path / "film.gif") as picture:
        total = 0
        for number in range(picture.n_frames):
            picture.seek(number)
            total += picture.info["duration"]
    assert total == 600


def test_videos_stand_side_by_side_under_their_names():
    left, right = plain(RED, frames=3, height=8, width=10), plain(BLUE, frames=3, height=8, width=6)
    joined = side_by_side([left, right], names=["truth", "x"], scale=2)
    assert joined.shape == (3, CAPTION_HEIGHT + 16, 20 + GAP + 12, 3)
    assert joined.dtype == np.uint8
    below = joined[:, CAPTION_HEIGHT:]
    assert (below[:, :, :20] == RED).all()
    assert (below[:, :, 20 : 20 + GAP] == 255).all()
    assert (below[:, :, 20 + GAP :] == BLUE).all()
    names = joined[:, :CAPTION_HEIGHT]
    assert (names[0] == names[2]).all()
    assert (names[:, :, :20] < 128).any()
    assert (names[:, :, 20 + GAP :] < 128).any()


def test_pixels_are_repeated_when_enlarged():
    video = np.arange(2 * 2 * 2 * 3, dtype=np.uint8).reshape(2, 2, 2, 3)
    joined = side_by_side([video], names=[""], scale=3)[:, CAPTION_HEIGHT:]
    assert np.array_equal(joined[:, ::3, ::3], video)
    assert np.array_equal(joined[:, 2::3, 1::3], video)


def test_every_video_needs_a_name():
    with pytest.raises(ValueError, match="zip"):
        side_by_side([film(), film()], names=["one"], scale=1)


def test_videos_are_stacked_with_gaps_between():
    stacked = stack([plain(RED, frames=2, height=4), plain(BLUE, frames=2, height=6)])
    assert stacked.shape == (2, 4 + GAP + 6, 32, 3)
    assert (stacked[:, :4] == RED).all()
    assert (stacked[:, 4 : 4 + GAP] == 255).all()
    assert (stacked[:, 4 + GAP :] == BLUE).all()


def test_given_frames_are_marked_green_and_predicted_ones_red():
    video = plain((0, 0, 0), frames=5)
    marked = mark_context(video, context_frames=2)
    assert (video == 0).all()
    red, green = marked[:, 0, 0, 0], marked[:, 0, 0, 1]
    assert (green > red).tolist() == [True, True, False, False, False]
    assert (marked[:, 2:] == 0).all()
    goal = mark_context(video, context_frames=2, goal=True)
    green = goal[:, 0, 0, 1] > goal[:, 0, 0, 0]
    assert green.tolist() == [True, True, False, False, True]
