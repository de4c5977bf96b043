"""The look at a manifest before any work."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cvg.files import write_json
from cvg.params import load_params
from cvg.videos import check as module
from cvg.videos.check import Check, UsableVideo, check_manifest, describe, foresee_split, spread
from cvg.videos.location import UnusableError
from cvg.videos.manifest import Entry
from cvg.videos.skips import SkipCode
from cvg.videos.source import Header
from cvg.videos.split import choose_rule, split_by_video

PARAMS = load_params(Path(__file__).resolve().parents[2] / "params.yaml").extract


def params(**changes):
    limits = PARAMS.limits.model_copy(update=changes.pop("limits", {}))
    return PARAMS.model_copy(update={"limits": limits} | changes)


def codes(check):
    return {skip.row or skip.file: skip.code for skip in check.skips}


def check_rows(folder, text, **changes):
    (folder / "m.csv").write_text(text)
    return check_manifest(folder / "m.csv", params(**changes), workers=1)


def header(**changes):
    values = {"width": 64, "height": 48, "fps": 25.0, "duration_s": 4.0, "num_frames": 100}
    return Header(**(values | changes))


def foreseen(*videos, **changes):
    """What the split of usable videos would give; each is a header and the cells of its row."""
    usable = tuple(
        UsableVideo(
            entry=Entry(**({"name": str(row), "path": Path(str(row)), "row": row} | cells)),
            header=one,
        )
        for row, (one, cells) in enumerate(videos, start=2)
    )
    told = params(**changes)
    entries = [video.entry for video in usable]
    rule = choose_rule(told.split, entries, min_videos=told.split_min_videos)
    check = Check(found=len(usable), usable=usable, skips=(), ignored={}, rule=rule)
    return foresee_split(check, told)


def one_by_one(function, items, **limits):
    """What the pool of child processes does, without them."""
    for item in items:
        try:
            yield item, function(item)
        except UnusableError as error:
            yield item, error


@pytest.fixture(autouse=True)
def in_process(request, monkeypatch):
    if "in_children" not in request.fixturenames:
        monkeypatch.setattr(module, "run_in_order", one_by_one)


@pytest.fixture
def in_children():
    """Headers are read in child processes, as they are outside of tests."""


@pytest.fixture
def folder(films, tmp_path):
    films.write(tmp_path / "good.mp4")
    (tmp_path / "same.mp4").write_bytes((tmp_path / "good.mp4").read_bytes())
    films.write(tmp_path / "short.mp4", frames=5)
    films.write_sound(tmp_path / "sound.mp4")
    (tmp_path / "text.mp4").write_text("hello")
    (tmp_path / "zero.mp4").touch()
    (tmp_path / "notes.txt").touch()
    return tmp_path


@pytest.fixture
def film(films, tmp_path):
    """40 frames in 1.6 seconds."""
    films.write(tmp_path / "a.mp4")
    return tmp_path


def test_headers_tell_what_would_be_used_and_what_not(folder):
    check = check_manifest(folder, params(), workers=1)
    assert [video.entry.name for video in check.usable] == ["good.mp4"]
    assert codes(check) == {
        "same.mp4": SkipCode.DUPLICATE,
        "short.mp4": SkipCode.TOO_SHORT,
        "sound.mp4": SkipCode.NO_VIDEO_STREAM,
        "text.mp4": SkipCode.NOT_MEDIA,
        "zero.mp4": SkipCode.EMPTY_FILE,
    }
    assert check.sum_sentence() == "found 6 = usable 1 + skipped 5"
    assert check.ignored == {".txt": 1}
    assert check_manifest(folder, params(folder_files="all"), workers=1).found == 7


@pytest.mark.parametrize(
    ("changes", "frames"),
    [
        ({}, 40),
        ({"fps": 10.0}, 16),
        ({"fps": 50.0}, 80),
        ({"stride": 2}, 20),
        ({"stride": 3}, 14),
    ],
)
def test_too_short_is_judged_at_the_rate_wanted(film, changes, frames):
    assert check_manifest(film, params(min_frames=frames, **changes), workers=1).usable
    check = check_manifest(film, params(min_frames=frames + 1, **changes), workers=1)
    assert codes(check) == {"a.mp4": SkipCode.TOO_SHORT}


@pytest.mark.parametrize(
    ("start", "end", "frames"),
    [("", "0.8", 20), ("0.8", "", 20), ("0.4", "0.8", 10), ("", "9", 40), ("0", "", 40)],
)
def test_too_short_is_judged_within_the_range(film, start, end, frames):
    text = f"path,start,end\na.mp4,{start},{end}\n"
    assert check_rows(film, text, min_frames=frames).usable
    assert codes(check_rows(film, text, min_frames=frames + 1)) == {2: SkipCode.TOO_SHORT}


def test_a_range_must_begin_within_the_video(film):
    check = check_rows(film, "path,start\na.mp4,1.6\na.mp4,1.5\n", min_frames=1)
    assert codes(check) == {2: SkipCode.BAD_RANGE}
    assert "start is 1.6 s, and the video declares 1.6 s" in check.skips[0].reason


def test_headers_are_read_in_child_processes_within_the_limits(film, in_children):
    np.save(film / "acts.npy", np.zeros((3, 2), np.float32))
    check = check_rows(film, "path,actions\na.mp4,acts.npy\na.npy,\n")
    assert [video.entry.row for video in check.usable] == [2]
    assert codes(check) == {3: SkipCode.MISSING_FILE}


def test_a_header_that_kills_its_reader_is_a_skip(film, monkeypatch):
    def run(function, items, *, workers, seconds, memory_mb):
        assert (workers, seconds, memory_mb) == (1, 7.0, 300)
        for item in items:
            yield item, UnusableError(SkipCode.TIMEOUT, "took too long")

    monkeypatch.setattr(module, "run_in_order", run)
    check = check_rows(film, "path\na.mp4\n", limits={"seconds": 7.0, "memory_mb": 300})
    assert codes(check) == {2: SkipCode.TIMEOUT}


def test_limits_hold_for_what_is_declared(film):
    assert check_manifest(film, params(limits={"pixels": 4096, "frames": 40}), workers=1).usable
    check = check_manifest(film, params(limits={"pixels": 4095}), workers=1)
    assert codes(check) == {"a.mp4": SkipCode.TOO_LARGE}
    check = check_manifest(film, params(limits={"frames": 39}), workers=1)
    assert codes(check) == {"a.mp4": SkipCode.TOO_LONG}
    text = "path,end\na.mp4,1.0\na.mp4,1.2\n"
    assert codes(check_rows(film, text, limits={"frames": 25})) == {3: SkipCode.TOO_LONG}


def test_hdr_is_skipped_on_demand(film, monkeypatch):
    monkeypatch.setattr(module, "read_header", lambda *_, **__: header(hdr="PQ"))
    assert check_manifest(film, params(hdr="keep"), workers=1).usable
    assert codes(check_manifest(film, params(hdr="skip"), workers=1)) == {"a.mp4": SkipCode.HDR}


def test_the_rate_of_the_manifest_reaches_sources_that_say_none(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((30, 8, 8, 3), dtype=np.uint8))
    check = check_rows(tmp_path, "path,fps\na.npy,10\n")
    assert check.usable[0].header.duration_s == pytest.approx(3.0)


def test_a_file_listed_twice_is_a_duplicate_of_the_first_unless_the_range_differs(folder):
    text = "path,start,end\ngood.mp4,,\nsame.mp4,,\ngood.mp4,0,\ngood.mp4,0,1.2\nsame.mp4,,1.2\n"
    check = check_rows(folder, text, split="video")
    assert codes(check) == dict.fromkeys([3, 4, 6], SkipCode.DUPLICATE)
    assert "found the content of good.mp4" in check.skips[0].reason


def test_ranges_that_overlap_are_foreseen_where_the_split_is_by_time(film):
    text = "path,start,end\na.mp4,,1\na.mp4,1,1.5\na.mp4,0.5,\n"
    check = check_rows(film, text, split="time", min_frames=4)
    assert codes(check) == {4: SkipCode.DUPLICATE}
    assert "shares moments with a.mp4" in check.skips[0].reason
    assert codes(check_rows(film, text, split="video", min_frames=4)) == {}


def test_what_cannot_be_used_is_no_original(film):
    """As extraction finds it: the second row is the first that is taken."""
    np.save(film / "acts.npy", np.array(["no", "numbers"]))
    check = check_rows(film, "path,actions\na.mp4,acts.npy\na.mp4,\n")
    assert codes(check) == {2: SkipCode.BAD_ACTIONS}


def test_only_files_that_may_be_alike_are_read_whole(folder, monkeypatch, films):
    films.write(folder / "other.mp4", frames=50)
    read = []
    whole = module.content_hash
    monkeypatch.setattr(module, "content_hash", lambda path: read.append(path.name) or whole(path))
    rows = "".join(f"good.mp4,{number / 100}\n" for number in range(20))
    check_rows(folder, f"path,start\n{rows}other.mp4,\nother.mp4,\nsame.mp4,0.15\n")
    assert sorted(read) == ["good.mp4", "other.mp4", "same.mp4"]


def test_what_is_gone_when_it_is_compared_is_a_skip(folder, monkeypatch):
    def gone(path):
        raise UnusableError(SkipCode.UNREADABLE, "found nothing; expected a file")

    monkeypatch.setattr(module, "content_hash", gone)
    check = check_rows(folder, "path\ngood.mp4\nsame.mp4\n")
    assert codes(check) == {2: SkipCode.UNREADABLE, 3: SkipCode.UNREADABLE}


@pytest.mark.parametrize(("rows", "warned"), [(40, False), (39, True), (41, True)])
@pytest.mark.parametrize("suffix", ["npy", "csv"])
def test_rows_of_actions_that_do_not_fit_are_a_warning(film, rows, warned, suffix):
    actions = np.ones((rows, 3))
    np.save(film / "acts.npy", actions)
    np.savetxt(film / "acts.csv", actions, delimiter=",")
    (video,) = check_rows(film, f"path,actions\na.mp4,acts.{suffix}\n").usable
    assert video.action_width == 3
    assert bool(video.warnings) == warned


def test_a_range_needs_rows_of_actions_up_to_its_end_alone(film):
    for rows, warned in ((24, True), (25, False), (30, False), (60, False)):
        np.save(film / "acts.npy", np.ones(rows))
        (video,) = check_rows(film, "path,actions,end\na.mp4,acts.npy,1.0\n").usable
        assert bool(video.warnings) == warned, rows


def test_bad_conditions_are_skips(film, films):
    np.save(film / "objects.npy", np.array([None]), allow_pickle=True)
    films.write_sound(film / "sound.mp4")
    text = "path,actions,map\na.mp4,objects.npy,\na.mp4,,sound.mp4\na.mp4,,a.mp4\n"
    check = check_rows(film, text)
    assert codes(check) == {2: SkipCode.BAD_ACTIONS, 3: SkipCode.BAD_MAP}
    assert "NO_VIDEO_STREAM" in check.skips[1].reason


def test_actions_of_another_width_than_the_first_are_skips(film, films):
    films.write(film / "b.mp4", first=50)
    np.save(film / "two.npy", np.ones((40, 2)))
    np.save(film / "three.npy", np.ones((40, 3)))
    check = check_rows(film, "path,actions\na.mp4,two.npy\nb.mp4,three.npy\n")
    assert codes(check) == {3: SkipCode.BAD_ACTIONS}
    assert "found 3 columns; expected 2" in check.skips[0].reason


def test_skips_stand_in_the_order_of_the_manifest(folder):
    text = "path\ntext.mp4\nabsent.mp4\ngood.mp4\nsame.mp4\nzero.mp4\n"
    assert list(codes(check_rows(folder, text))) == [2, 3, 5, 6]


def test_conditions_and_sizes_are_counted(film, films):
    films.write(film / "b.mp4", first=50, height=32)
    np.save(film / "acts.npy", np.ones(40))
    check = check_rows(
        film,
        "path,caption,label,group,split,actions,map\n"
        "a.mp4,x,cat,g,train,acts.npy,a.mp4\nb.mp4,,cat,g,,,\n",
    )
    assert check.coverage() == {
        **{"caption": 1, "label": 2, "different_labels": 1, "group": 2, "different_groups": 1},
        **{"actions": 1, "map": 1, "split": 1},
    }
    assert check.sizes() == {"64x64": 1, "64x32": 1}


def test_all_of_it_can_be_written_for_machines(folder, tmp_path):
    check = check_manifest(folder, params(), workers=1)
    write_json(tmp_path / "check.json", describe(check, params()))
    tree = json.loads((tmp_path / "check.json").read_text())
    assert tree["found"] == len(tree["usable"]) + len(tree["skips"])
    assert tree["usable"][0]["file"] == "good.mp4"
    assert tree["usable"][0]["num_frames"] == 40
    assert tree["skip_counts"]["DUPLICATE"] == 1
    assert tree["ignored"] == {".txt": 1}
    nothing = Check(found=0, usable=(), skips=(), ignored={}, rule="time")
    assert describe(nothing, params())["usable"] == []


def test_the_end_of_each_long_video_is_held_out():
    long, short = header(), header(num_frames=77, duration_s=3.08)
    sides = foreseen((long, {}), (short, {}), split="time", held_out=0.2, min_frames=16)
    assert (sides.train, sides.held_out) == (2, 1)
    unknown = header(num_frames=None, duration_s=None)
    assert foreseen((unknown, {}), split="time").held_out == 1


def test_sides_of_the_manifest_count_whole():
    sides = foreseen(
        (header(num_frames=20, duration_s=0.8), {"split": "held_out"}),
        (header(), {"split": "train"}),
        split="time",
    )
    assert (sides.train, sides.held_out) == (1, 1)


def test_of_several_ranges_only_the_last_is_cut():
    path = Path("a.mp4")
    sides = foreseen(
        (header(), {"path": path, "end_s": 2.0}),
        (header(), {"path": path, "start_s": 2.0}),
        split="time",
        min_frames=4,
    )
    assert (sides.train, sides.held_out) == (2, 1)


@settings(deadline=None)
@given(
    groups=st.lists(st.sampled_from([None, "a", "b", "c"]), min_size=1, max_size=7),
    fixed=st.sampled_from([None, "train", "held_out"]),
    share=st.sampled_from([0.1, 0.3, 0.6]),
)
def test_as_many_whole_videos_are_foreseen_as_the_split_holds_out(groups, fixed, share):
    """Groups of one size apart: which group is held out is for the hash to say."""
    videos = [(header(), {"group": group}) for group in groups]
    videos[0][1]["split"] = fixed
    sides = foreseen(*videos, split="video", held_out=share)
    assert sides.train + sides.held_out == len(groups)
    if not any(groups):
        names = [str(number) for number in range(len(groups))]
        settled = {} if fixed is None else {names[0]: fixed}
        real = split_by_video(names, share=share, seed=5, fixed=settled)
        assert sides.held_out == list(real.values()).count("held_out")
    elif len(set(groups)) == 1:
        assert 0 in (sides.train, sides.held_out)


@settings(deadline=None)
@given(st.lists(st.none() | st.floats(0, 100), max_size=9))
def test_the_spread_lies_between_its_ends_and_counts_the_unknown(values):
    found = spread(values)
    known = [value for value in values if value is not None]
    if not known:
        assert found is None
    else:
        assert min(known) == found.smallest <= found.median <= found.largest == max(known)
        assert found.unknown + len(known) == len(values)
