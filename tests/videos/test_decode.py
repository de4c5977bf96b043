"""Decoding: the right frames, upright, in true colours, at their times; nothing cut is accepted."""

import pytest

from cvg.videos.decode import decode, read_header
from cvg.videos.location import UnusableError
from cvg.videos.skips import SkipCode

CONTAINERS = {"a.mp4": "libx264", "a.mkv": "libx264", "a.avi": "mjpeg", "a.gif": "gif"}


def numbers(films, path):
    return [films.number_of(frame.pixels) for frame in decode(path)]


def refused(path):
    with pytest.raises(UnusableError) as caught:
        list(decode(path))
    return caught.value


@pytest.mark.parametrize(("name", "codec"), CONTAINERS.items())
def test_every_frame_comes_once_and_in_order(films, tmp_path, name, codec):
    path = films.write(tmp_path / name, codec=codec)
    assert numbers(films, path) == list(range(40))
    times = [frame.time_s for frame in decode(path)]
    assert times == pytest.approx([index / 25 for index in range(40)])


def test_colours_and_axes_are_right(films, tmp_path):
    path = films.write(tmp_path / "a.mp4", width=96, height=64, frames=1)
    (frame,) = decode(path)
    assert frame.pixels.shape == (64, 96, 3)
    red, blue = frame.pixels[50, 10].astype(int), frame.pixels[50, 80].astype(int)
    assert abs(red - (200, 30, 30)).max() < 12
    assert abs(blue - (30, 30, 200)).max() < 12


def test_a_turned_video_comes_upright(films, tmp_path):
    path = films.turn(films.write(tmp_path / "a.mp4", width=96, height=64, frames=3), side=64)
    frame = next(iter(decode(path)))
    assert frame.pixels.shape == (96, 64, 3)
    # Turned clockwise, what stood at the bottom left is at the top left.
    assert frame.pixels[10, 10, 0] > 150
    assert frame.pixels[85, 10, 2] > 150


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
def test_times_of_an_uneven_video_are_its_own_and_start_at_zero(films, tmp_path, name):
    times_ms = [5000, 5100, 5120, 5500, 5510, 5900]
    path = films.write(tmp_path / name, frames=6, times_ms=times_ms)
    found = [frame.time_s for frame in decode(path)]
    assert found == pytest.approx([0, 0.1, 0.12, 0.5, 0.51, 0.9])
    assert numbers(films, path) == list(range(6))


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.gif"])
@pytest.mark.parametrize("share", [0.5, 0.9])
def test_a_cut_file_is_refused_as_cut(films, tmp_path, name, share):
    path = films.cut(films.write(tmp_path / name, codec=CONTAINERS[name]), share=share)
    assert refused(path).code == SkipCode.TRUNCATED


def test_a_cut_file_tells_how_many_frames_of_how_many(films, tmp_path):
    path = films.write(tmp_path / "a.mp4", options={"movflags": "faststart"})
    error = refused(films.cut(path, share=0.6))
    assert error.code == SkipCode.TRUNCATED
    assert "frames decoded of 40 declared" in error.reason


def test_damage_in_the_middle_is_refused_as_corrupt(films, tmp_path):
    path = films.write(tmp_path / "a.mp4", frames=80, options={"movflags": "faststart"})
    data = bytearray(path.read_bytes())
    middle = (data.index(b"mdat") + len(data)) // 2
    for place in range(middle, middle + 60):
        data[place] ^= 0xFF
    path.write_bytes(bytes(data))
    assert refused(path).code == SkipCode.CORRUPT


def test_text_is_no_media_and_its_start_is_shown(tmp_path):
    path = tmp_path / "page.mp4"
    path.write_text("<html>not found</html>")
    error = refused(path)
    assert error.code == SkipCode.NOT_MEDIA
    assert "<html>" in error.reason
    assert str(tmp_path) not in error.reason


def test_sound_alone_is_no_video(films, tmp_path):
    error = refused(films.write_sound(tmp_path / "a.mp4"))
    assert error.code == SkipCode.NO_VIDEO_STREAM
    assert "found audio" in error.reason


def test_a_single_frame_is_a_whole_video(films, tmp_path):
    assert numbers(films, films.write(tmp_path / "a.mkv", frames=1)) == [0]


def test_the_header_is_told_without_decoding(films, tmp_path):
    header = read_header(films.write(tmp_path / "a.mp4", width=96))
    assert (header.width, header.height, header.num_frames) == (96, 64, 40)
    assert header.fps == pytest.approx(25)
    assert header.duration_s == pytest.approx(1.6)
