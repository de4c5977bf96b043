"""One door for every source: what a video, a folder and an array of the same frames give."""

import numpy as np
import pytest
from PIL import Image

from cvg.videos.location import UnusableError
from cvg.videos.look import Look, ReadLimits
from cvg.videos.skips import SkipCode
from cvg.videos.source import read_frames, read_header
from cvg.videos.timing import resample

LIMITS = ReadLimits(pixels=100_000, frames=100)


def make(films, folder, kind, *, length=20):
    pictures = [films.picture(number, height=48, width=96) for number in range(length)]
    match kind:
        case "container":
            return films.write(folder / "a.mp4", frames=length, height=48, width=96)
        case "images":
            (folder / "images").mkdir()
            for number, picture in enumerate(pictures):
                Image.fromarray(picture).save(folder / "images" / f"{number}.png")
            return folder / "images"
        case _:
            np.save(folder / "a.npy", np.stack(pictures))
            return folder / "a.npy"


KINDS = pytest.mark.parametrize("kind", ["container", "images", "array"])


@KINDS
@pytest.mark.parametrize("fit", ["pad", "squash"])
@pytest.mark.parametrize("channels", [1, 3])
def test_all_sources_give_the_same_frames(films, tmp_path, kind, fit, channels):
    path = make(films, tmp_path, kind)
    look = Look(size=32, fit=fit, channels=channels)
    (tmp_path / "plain").mkdir()
    plain = make(films, tmp_path / "plain", "array")
    expected = [frame.pixels() for frame in read_frames(plain, look=look, limits=LIMITS)]
    found = list(read_frames(path, look=look, limits=LIMITS))
    assert [frame.index for frame in found] == list(range(20))
    assert [frame.time_s for frame in found] == pytest.approx([n / 25 for n in range(20)])
    for frame, pixels in zip(found, expected, strict=True):
        assert frame.pixels().shape == (32, 32, channels)
        # The codec of the container blurs edges; on the whole nothing may differ.
        assert np.abs(frame.pixels().astype(float) - pixels).mean() < 4
    header = read_header(path, limits=LIMITS)
    assert (header.width, header.height, header.num_frames, header.fps) == (96, 48, 20, 25)


@KINDS
def test_every_frame_chosen_by_time_is_the_one_of_its_number(films, tmp_path, kind):
    path = make(films, tmp_path, kind)
    source = read_frames(path, look=Look(size=64, fit="squash"), limits=LIMITS)
    chosen = list(resample(((frame.time_s, frame) for frame in source), fps=5.0))
    assert [films.number_of(frame.pixels()) for _, frame in chosen] == [0, 5, 10, 15]
    assert [frame.index for _, frame in chosen] == [0, 5, 10, 15]


@KINDS
def test_the_same_source_gives_the_same_bytes_twice(films, tmp_path, kind):
    path = make(films, tmp_path, kind)
    look = Look(size=24, fit="crop")
    once, again = (
        b"".join(frame.pixels().tobytes() for frame in read_frames(path, look=look, limits=LIMITS))
        for _ in range(2)
    )
    assert once == again


@KINDS
def test_the_rate_given_holds_only_where_the_source_has_none(films, tmp_path, kind):
    path = make(films, tmp_path, kind)
    fps = 25 if kind == "container" else 10
    look = Look(size=24, fit="crop")
    second = list(read_frames(path, look=look, limits=LIMITS, fps=10.0))[1]
    assert second.time_s == pytest.approx(1 / fps)
    assert read_header(path, limits=LIMITS, fps=10.0).fps == fps


@KINDS
def test_limits_hold_for_every_source(films, tmp_path, kind):
    path = make(films, tmp_path, kind)
    look = Look(size=24, fit="crop")
    for limits, code in (
        (ReadLimits(pixels=96 * 48 - 1, frames=20), SkipCode.TOO_LARGE),
        (ReadLimits(pixels=96 * 48, frames=19), SkipCode.TOO_LONG),
    ):
        with pytest.raises(UnusableError) as caught:
            list(read_frames(path, look=look, limits=limits))
        assert caught.value.code == code
