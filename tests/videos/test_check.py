"""The look at a manifest before any work."""

import pytest

from cvg.videos.check import check_manifest
from cvg.videos.skips import SkipCode


@pytest.fixture
def folder(films, tmp_path):
    films.write(tmp_path / "good.mp4")
    (tmp_path / "same.mp4").write_bytes((tmp_path / "good.mp4").read_bytes())
    films.write(tmp_path / "short.mp4", frames=5)
    films.write_sound(tmp_path / "sound.mp4")
    (tmp_path / "text.mp4").write_text("hello")
    (tmp_path / "zero.mp4").touch()
    return tmp_path


def test_headers_tell_what_would_be_used_and_what_not(folder):
    check = check_manifest(folder, min_frames=16, fps=None)
    assert [video.entry.name for video in check.usable] == ["good.mp4"]
    assert {skip.file: skip.code for skip in check.skips} == {
        "same.mp4": SkipCode.DUPLICATE,
        "short.mp4": SkipCode.TOO_SHORT,
        "sound.mp4": SkipCode.NO_VIDEO_STREAM,
        "text.mp4": SkipCode.NOT_MEDIA,
        "zero.mp4": SkipCode.EMPTY_FILE,
    }
    assert check.sum_sentence() == "found 6 = usable 1 + skipped 5"


def test_too_short_is_judged_at_the_rate_wanted(folder):
    check = check_manifest(folder, min_frames=16, fps=5.0)
    assert check.usable == ()


def test_a_file_listed_twice_is_a_duplicate_of_the_first(folder):
    (folder / "m.csv").write_text("path\ngood.mp4\ngood.mp4\n")
    check = check_manifest(folder / "m.csv", min_frames=16, fps=None)
    assert [(skip.row, skip.code) for skip in check.skips] == [(3, SkipCode.DUPLICATE)]
