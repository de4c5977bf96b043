"""Clips of anyone's model: what is found in a folder, what part of it is read, what is refused."""

import numpy as np
import pytest
from PIL import Image

from cvg.errors import UserError
from cvg.media import write_mp4
from cvg.metrics.folders import Cut, open_clips


@pytest.fixture
def film():
    """Twelve frames, each of its own colours."""
    return np.random.default_rng(0).integers(0, 256, (12, 16, 16, 3), dtype=np.uint8)


def test_arrays_and_pictures_come_back_byte_for_byte(tmp_path, film):
    np.save(tmp_path / "b10.npy", film)
    (tmp_path / "b2").mkdir()
    for number, frame in enumerate(film):
        Image.fromarray(frame).save(tmp_path / "b2" / f"{number}.png")
    (tmp_path / "notes.txt").write_text("not a video")
    found = open_clips(tmp_path, Cut(frames=4, stride=3))
    assert found.names == ("b2", "b10")
    assert found.clips.shape == (2, 4, 16, 16, 3)
    assert (found.clips[0:2] == film[None, :12:3]).all()


def test_every_grey_level_comes_back(tmp_path):
    levels = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1).repeat(3, axis=3)
    np.save(tmp_path / "levels.npy", levels)
    assert (open_clips(tmp_path, Cut(frames=1)).clips[0:1] == levels[None]).all()


def test_videos_are_read(tmp_path, film):
    smooth = np.broadcast_to(np.arange(0, 240, 20, dtype=np.uint8)[:, None, None, None], film.shape)
    write_mp4(tmp_path / "a.mp4", np.ascontiguousarray(smooth), fps=10)
    clips = open_clips(tmp_path, Cut(frames=12)).clips[0:1]
    assert np.abs(clips[0].astype(int) - smooth).max() < 6


def test_a_single_array_holds_clips(tmp_path, film):
    clips = np.stack([film, film[::-1]])
    np.save(tmp_path / "clips.npy", clips)
    found = open_clips(tmp_path / "clips.npy", Cut(frames=5, stride=2))
    assert found.names == ("0", "1")
    assert (found.clips[0:2] == clips[:, :9:2]).all()


def test_random_starts_follow_from_seed_and_name_alone(tmp_path, film):
    for name in ("a", "b", "c", "d"):
        np.save(tmp_path / f"{name}.npy", film)
    cut = {"frames": 3, "starts": "random"}
    clips = open_clips(tmp_path, Cut(**cut)).clips[0:4]
    starts = [next(n for n in range(10) if (film[n] == clip[0]).all()) for clip in clips]
    assert len(set(starts)) > 1
    (tmp_path / "a.npy").unlink()
    assert (open_clips(tmp_path, Cut(**cut)).clips[0:3] == clips[1:]).all()
    other = open_clips(tmp_path, Cut(**cut, seed=1)).clips[0:3]
    assert (other != clips[1:]).any()


def test_frames_that_are_not_square_need_a_size(tmp_path, film):
    np.save(tmp_path / "wide.npy", film[:, :8])
    with pytest.raises(UserError, match=r"wide.npy: its frames are 16 x 8 pixels; .*--size"):
        open_clips(tmp_path, Cut(frames=4))
    squashed = open_clips(tmp_path, Cut(frames=4, size=16)).clips[0:1]
    cropped = open_clips(tmp_path, Cut(frames=4, size=8, fit="crop")).clips[0:1]
    assert squashed.shape == (1, 4, 16, 16, 3)
    assert (cropped[0] == film[:4, :8, 4:12]).all()


def test_videos_of_another_size_are_not_resized_unasked(tmp_path, film):
    np.save(tmp_path / "a.npy", film)
    np.save(tmp_path / "b.npy", film[:, :8, :8])
    clips = open_clips(tmp_path, Cut(frames=4)).clips
    with pytest.raises(
        UserError, match=r"b.npy: its frames are 8 pixels wide and high, those of a"
    ):
        clips[0:2]
    assert open_clips(tmp_path, Cut(frames=4, size=8)).clips[0:2].shape == (2, 4, 8, 8, 3)


def test_starts_do_not_depend_on_the_kind_of_file(tmp_path, film):
    for side in ("one", "two"):
        (tmp_path / side).mkdir()
    np.save(tmp_path / "one" / "a.npy", film)
    (tmp_path / "two" / "a").mkdir()
    for number, frame in enumerate(film):
        Image.fromarray(frame).save(tmp_path / "two" / "a" / f"{number}.png")
    cut = Cut(frames=3, starts="random", seed=4)
    one, two = (open_clips(tmp_path / side, cut).clips[0:1] for side in ("one", "two"))
    assert (one == two).all()


def test_an_array_has_no_random_starts(tmp_path, film):
    np.save(tmp_path / "clips.npy", film[None])
    with pytest.raises(UserError, match="give one of 4 frames"):
        open_clips(tmp_path / "clips.npy", Cut(frames=4, starts="random"))
    found = open_clips(tmp_path / "clips.npy", Cut(frames=12, starts="random")).clips[0:1]
    assert (found == film).all()


def test_what_is_not_clips_is_refused_with_what_to_do(tmp_path, film):
    with pytest.raises(UserError, match="found no folder; expected a folder of videos"):
        open_clips(tmp_path / "nothing", Cut(frames=4))
    with pytest.raises(UserError, match="found no video in it"):
        open_clips(tmp_path, Cut(frames=4))
    np.save(tmp_path / "a.npy", film)
    clips = open_clips(tmp_path, Cut(frames=13)).clips
    with pytest.raises(UserError, match=r"a.npy: has 12 of the 13 frames .*--length"):
        clips[0:1]
    (tmp_path / "a").mkdir()
    Image.fromarray(film[0]).save(tmp_path / "a" / "0.png")
    with pytest.raises(UserError, match="more than one video is called a"):
        open_clips(tmp_path, Cut(frames=4))


@pytest.mark.parametrize(
    ("array", "found"),
    [
        (np.zeros((2, 4, 8, 8, 3), np.float32), r"float32 of \[2, 4, 8, 8, 3\]"),
        (np.zeros((4, 8, 8, 3), np.uint8), r"uint8 of \[4, 8, 8, 3\]"),
        (np.zeros((0, 4, 8, 8, 3), np.uint8), r"uint8 of \[0, 4, 8, 8, 3\]"),
        (np.zeros((2, 3, 8, 8, 3), np.uint8), "its clips have 3 frames; expected 4 or more"),
        (np.zeros((2, 4, 8, 9, 3), np.uint8), "its frames are 9 x 8 pixels"),
    ],
)
def test_arrays_of_another_kind_are_refused(tmp_path, array, found):
    np.save(tmp_path / "clips.npy", array)
    with pytest.raises(UserError, match=found):
        open_clips(tmp_path / "clips.npy", Cut(frames=4))


def test_a_damaged_video_is_named(tmp_path, film):
    np.save(tmp_path / "a.npy", film)
    (tmp_path / "b.mp4").write_bytes(b"no video")
    clips = open_clips(tmp_path, Cut(frames=4)).clips
    with pytest.raises(UserError, match=r"b.mp4: cannot be read"):
        clips[0:2]
