"""One row of a manifest, as the child process decodes it: what is written is what is said."""

import numpy as np
import pytest

from cvg.frames import film
from cvg.frames.film import Order, shoot
from cvg.params import load_params
from cvg.videos.graph import Shaper, SourceFrame, as_frame
from cvg.videos.location import UnusableError
from cvg.videos.look import Look
from cvg.videos.manifest import Entry
from cvg.videos.skips import NoteCode, SkipCode

SIDE = 32
BYTES = SIDE * SIDE * 3  # of a frame


@pytest.fixture(scope="session")
def params(root):
    return load_params(root / "params.yaml").extract.model_copy(
        update={"frame_size": SIDE, "shots": "none"}
    )


def ordered(path, params, **entry):
    return Order(
        entry=Entry(name=path.name, path=path, row=None, **entry),
        params=params,
        scratch=path.with_suffix(".scratch"),
    )


def limited(params, **limits):
    return params.model_copy(update={"limits": params.limits.model_copy(update=limits)})


def written(order):
    return np.fromfile(order.scratch, dtype=np.uint8).reshape(-1, SIDE, SIDE, 3)


def test_copies_count_for_the_limit_of_frames_and_none_is_written_beyond_it(
    films, tmp_path, params
):
    path = films.write(tmp_path / "a.mkv", frames=3, times_ms=[0, 40, 100_000])
    even = limited(params.model_copy(update={"fps": 25.0}), frames=100)
    for on_truncated in ("skip", "keep"):
        order = ordered(path, even.model_copy(update={"on_truncated": on_truncated}))
        with pytest.raises(UnusableError, match=r"more than 100 frames .* at most") as caught:
            shoot(order)
        assert caught.value.code == SkipCode.TOO_LONG
        assert order.scratch.stat().st_size <= 100 * BYTES


def test_as_many_frames_as_the_limit_are_taken(films, tmp_path, params):
    path = films.write(tmp_path / "a.mp4", frames=20)
    double = params.model_copy(update={"fps": 50.0})
    assert shoot(ordered(path, limited(double, frames=39))).num_frames == 39
    with pytest.raises(UnusableError, match="found more than 38 frames"):
        shoot(ordered(path, limited(double, frames=38)))


class Failing(Shaper):
    def shape(self, frame):
        raise UnusableError(SkipCode.CORRUPT, "found a frame; FFmpeg cannot scale it")


def grey(index, *, fails):
    """A frame whose level of grey is its number, or one that cannot be converted."""
    shaper = (Failing if fails else Shaper)(Look(size=SIDE, fit="crop"))
    frame = as_frame(np.full((SIDE, SIDE, 3), index, dtype=np.uint8))
    return SourceFrame(index, index / 25, frame, shaper)


@pytest.mark.parametrize("whole", [1, 5, film.BLOCK - 1, film.BLOCK, film.BLOCK + 1])
def test_a_frame_that_cannot_be_converted_leaves_nothing_behind(
    films, tmp_path, params, monkeypatch, whole
):
    path = films.write(tmp_path / "a.mp4", frames=2)

    def read_frames(*_, **__):
        return (grey(index, fails=index == whole) for index in range(whole + 3))

    monkeypatch.setattr(film, "read_frames", read_frames)
    order = ordered(path, params.model_copy(update={"on_truncated": "keep"}))
    found = shoot(order)
    assert found.num_frames == len(found.changes) == whole
    assert written(order)[:, 0, 0, 0].tolist() == list(range(whole))
    assert found.changes.tolist() == [0.0] + [1.0] * (whole - 1)


def codes(found):
    return [note.code for note in found.notes]


@pytest.mark.parametrize("rate", [{"fps": 2.0}, {"stride": 20}, {}])
def test_a_range_is_cut_where_the_video_ends_not_the_last_frame_kept(films, tmp_path, params, rate):
    path = films.write(tmp_path / "a.mp4", frames=100)
    slow = params.model_copy(update=rate)
    assert codes(shoot(ordered(path, slow, end_s=4.0))) == []
    found = shoot(ordered(path, slow, end_s=4.5))
    assert codes(found) == [NoteCode.RANGE_CUT]
    assert found.notes[0].text == "end is 4.5 s, but the last frame is at 3.96 s"


def test_the_last_frame_of_a_slow_video_fills_its_range(films, tmp_path, params):
    path = films.write(tmp_path / "a.mp4", frames=8, fps=2)
    assert codes(shoot(ordered(path, params, end_s=4.0))) == []
    assert codes(shoot(ordered(path, params, end_s=4.2))) == [NoteCode.RANGE_CUT]
