"""From videos to frames: aligned to the source, accounted for to the last file, twice the same."""

import csv
import json
import os

import numpy as np
import pytest
from PIL import Image

from cvg.errors import UserError
from cvg.frames import intake
from cvg.frames.extract import extract as extract_with
from cvg.frames.store import FrameStore
from cvg.params import load_params


@pytest.fixture(scope="session")
def params(root):
    """The committed values, at toy size."""
    return load_params(root / "params.yaml").extract.model_copy(
        update={
            "frame_size": 32,
            "min_frames": 6,
            "split_gap_s": 0.12,
            "shard_mb": 1,
            "shots": "none",
            "max_skipped": 1.0,
        }
    )


def extract(manifest, *, out, params, seed=0, workers=1):
    return extract_with(manifest, out=out, params=params, seed=seed, workers=workers)


def numbers(films, store, segment):
    frames = store.window(segment, 0, segment.num_frames)
    return [films.number_of(frame) for frame in frames]


def both(store):
    return [*store.segments("train"), *store.segments("held_out")]


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_frames_are_those_of_the_source_and_the_gap_belongs_to_nobody(films, tmp_path, params):
    films.write(tmp_path / "in" / "a.mp4", first=0)
    films.write(tmp_path / "in" / "b.mkv", first=100)
    report = extract(tmp_path / "in", out=tmp_path / "out", params=params)
    store = FrameStore.open(tmp_path / "out")
    found = {(part.video, part.split): numbers(films, store, part) for part in both(store)}
    # 40 frames at 25 fps: the last 8 are held out, 0.12 s before them are 3 frames.
    assert found == {
        ("a.mp4", "train"): list(range(29)),
        ("a.mp4", "held_out"): list(range(32, 40)),
        ("b.mkv", "train"): list(range(100, 129)),
        ("b.mkv", "held_out"): list(range(132, 140)),
    }
    starts = [part.start_s for part in store.segments("held_out")]
    assert starts == pytest.approx([32 / 25, 32 / 25])
    assert dict(report.frames) == {"train": 58, "held_out": 16}


def test_colours_and_axes_survive_the_whole_way(films, tmp_path, params):
    films.write(tmp_path / "in" / "a.mp4", width=96)
    squash = params.model_copy(update={"fit": "squash"})
    extract(tmp_path / "in", out=tmp_path / "out", params=squash)
    store = FrameStore.open(tmp_path / "out")
    frame = store.window(store.segments("train")[0], 0, 1)[0].astype(int)
    assert abs(frame[26, 4] - (200, 30, 30)).max() < 12
    assert abs(frame[26, 28] - (30, 30, 200)).max() < 12
    assert frame[4].max() < 12


def test_a_lower_rate_keeps_the_frames_nearest_in_time(films, tmp_path, params):
    films.write(tmp_path / "in" / "a.mp4", frames=80)
    slower = params.model_copy(update={"fps": 12.5, "split_gap_s": 0.0})
    extract(tmp_path / "in", out=tmp_path / "out", params=slower)
    store = FrameStore.open(tmp_path / "out")
    (train,), (held_out,) = store.segments("train"), store.segments("held_out")
    assert numbers(films, store, train) + numbers(films, store, held_out) == list(range(0, 80, 2))
    assert train.fps == 12.5
    assert held_out.start_s == pytest.approx(64 / 25)


def test_whole_videos_are_held_out_by_content_not_by_name(films, tmp_path, params):
    by_video = params.model_copy(update={"split": "video", "held_out": 0.25})
    for index, names in enumerate(["abcdefgh", "hgfedcba"]):
        folder = tmp_path / f"in{index}"
        for number, name in enumerate(names):
            films.write(folder / f"{name}.mp4", frames=8, first=10 * number)
        extract(folder, out=tmp_path / f"out{index}", params=by_video)
    held_out = []
    for index in range(2):
        store = FrameStore.open(tmp_path / f"out{index}")
        assert len(store.segments("held_out")) == 2
        assert len(store.segments("train")) == 6
        held_out.append({numbers(films, store, part)[0] for part in store.segments("held_out")})
    assert held_out[0] == held_out[1]


def test_the_manifest_decides_where_it_says_something(films, tmp_path, params):
    for name in "abc":
        films.write(tmp_path / f"{name}.mp4", first=ord(name))
    (tmp_path / "m.csv").write_text(
        "path,split,caption,camera\na.mp4,held_out,A film,7\nb.mp4,train,,\nc.mp4,,,\n"
    )
    extract(tmp_path / "m.csv", out=tmp_path / "out", params=params)
    store = FrameStore.open(tmp_path / "out")
    found = {(part.video, part.split): part.num_frames for part in both(store)}
    assert found == {
        ("a.mp4", "held_out"): 40,
        ("b.mp4", "train"): 40,
        ("c.mp4", "train"): 29,
        ("c.mp4", "held_out"): 8,
    }
    first = next(part for part in both(store) if part.video == "a.mp4")
    assert (first.caption, json.loads(first.metadata)) == ("A film", {"camera": "7"})


def make_faults(films, folder):
    """Write two good videos among everything that is none; returns the code of each of those."""
    films.write(folder / "good.mp4")
    films.write(folder / "other.mkv", first=60)
    films.cut(films.write(folder / "cut.mkv", first=1), share=0.6)
    films.cut(
        films.write(folder / "cut.mp4", first=2, options={"movflags": "faststart"}), share=0.6
    )
    films.write(folder / "one.mp4", frames=1)
    films.write_sound(folder / "sound.mp4")
    (folder / "text.mp4").write_text("hello")
    (folder / "zero.mp4").touch()
    (folder / "folder.mp4").mkdir()
    (folder / "twin.mp4").write_bytes((folder / "good.mp4").read_bytes())
    os.mkfifo(folder / "pipe.mp4")
    return {
        "cut.mkv": "TRUNCATED",
        "cut.mp4": "TRUNCATED",
        "folder.mp4": "NOT_REGULAR_FILE",
        "one.mp4": "TOO_SHORT",
        "pipe.mp4": "NOT_REGULAR_FILE",
        "sound.mp4": "NO_VIDEO_STREAM",
        "text.mp4": "NOT_MEDIA",
        "twin.mp4": "DUPLICATE",
        "zero.mp4": "EMPTY_FILE",
    }


def test_every_fault_is_skipped_with_its_code_and_leaves_no_frame(films, tmp_path, params):
    codes = make_faults(films, tmp_path / "in")
    report = extract(tmp_path / "in", out=tmp_path / "out", params=params)
    assert {skip.file: str(skip.code) for skip in report.skips} == codes
    assert report.sum_sentence() == "found 11 = used 2 + skipped 9"
    store = FrameStore.open(tmp_path / "out")
    assert {part.video for part in both(store)} == {"good.mp4", "other.mkv"}
    assert sum(part.num_frames for part in both(store)) == 2 * (29 + 8)
    written = json.loads((tmp_path / "out" / "report.json").read_text())
    assert written["found"] == written["used"] + len(written["skipped"])
    with (tmp_path / "out" / "skipped.csv").open(newline="") as file:
        assert {row["file"]: row["code"] for row in csv.DictReader(file)} == codes
    assert str(tmp_path) not in (tmp_path / "out" / "report.json").read_text()
    twin = next(skip for skip in report.skips if skip.file == "twin.mp4")
    assert "good.mp4" in twin.reason


def test_twice_is_the_same_to_the_byte_with_any_number_of_workers(films, tmp_path, params):
    make_faults(films, tmp_path / "in")
    extract(tmp_path / "in", out=tmp_path / "a", params=params, workers=1)
    extract(tmp_path / "in", out=tmp_path / "b", params=params, workers=3)
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    assert set(contents(tmp_path / "a")) == {
        "contact_held_out.png",
        "contact_train.png",
        "frames-00000.npy",
        "index.parquet",
        "motion.csv",
        "notes.csv",
        "overview.png",
        "report.json",
        "skipped.csv",
        "store.json",
    }


def test_the_size_of_chunks_changes_nothing(films, tmp_path, params, monkeypatch):
    films.write(tmp_path / "in" / "a.mp4")
    extract(tmp_path / "in", out=tmp_path / "a", params=params)
    monkeypatch.setattr(intake, "FRAMES_AT_ONCE", 3)
    extract(tmp_path / "in", out=tmp_path / "b", params=params)
    assert contents(tmp_path / "a") == contents(tmp_path / "b")


def test_a_failure_leaves_the_store_of_before(films, tmp_path, params):
    films.write(tmp_path / "in" / "a.mp4")
    extract(tmp_path / "in", out=tmp_path / "out", params=params)
    before = contents(tmp_path / "out")
    films.cut(tmp_path / "in" / "a.mp4", share=0.5)
    with pytest.raises(UserError, match=r"none of its 1 videos can be used:\n  a\.mp4: TRUNCATED"):
        extract(tmp_path / "in", out=tmp_path / "out", params=params)
    assert contents(tmp_path / "out") == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "out"]


def test_a_part_that_is_too_short_is_noted_or_skipped(films, tmp_path, params):
    films.write(tmp_path / "in" / "long.mp4")
    films.write(tmp_path / "in" / "middle.mp4", frames=20, first=50)
    films.write(tmp_path / "in" / "little.mp4", frames=8, first=90)
    films.write(tmp_path / "in" / "short.mp4", frames=5, first=110)
    report = extract(tmp_path / "in", out=tmp_path / "out", params=params)
    store = FrameStore.open(tmp_path / "out")
    assert {(part.video, part.split): part.num_frames for part in both(store)} == {
        ("long.mp4", "train"): 29,
        ("long.mp4", "held_out"): 8,
        ("middle.mp4", "train"): 20,
        ("little.mp4", "train"): 8,  # no gap is taken off where nothing is held out
    }
    assert len(report.notes) == 2
    assert "middle.mp4: ALL_FOR_TRAINING: all of its 20 frames are for training" in "\n".join(
        note.sentence() for note in report.notes
    )
    (skip,) = report.skips
    assert (skip.file, str(skip.code)) == ("short.mp4", "TOO_SHORT")
    assert "found 5 frames, expected at least" in skip.reason


def test_a_split_with_an_empty_side_is_refused(films, tmp_path, params):
    films.write(tmp_path / "in" / "a.mp4")
    by_video = params.model_copy(update={"split": "video"})
    with pytest.raises(UserError, match="no frames are left for held_out"):
        extract(tmp_path / "in", out=tmp_path / "out", params=by_video)


def test_auto_counts_the_videos_that_look_usable(films, tmp_path, params):
    auto = params.model_copy(update={"split": "auto", "split_min_videos": 3})
    films.write(tmp_path / "in" / "a.mp4")
    films.write(tmp_path / "in" / "b.mp4", first=50)
    (tmp_path / "in" / "text.mp4").write_text("hello")
    extract(tmp_path / "in", out=tmp_path / "out", params=auto)
    assert len(FrameStore.open(tmp_path / "out").segments("held_out")) == 2
    films.write(tmp_path / "in" / "c.mp4", first=100)
    extract(tmp_path / "in", out=tmp_path / "out", params=auto)
    (held_out,) = FrameStore.open(tmp_path / "out").segments("held_out")
    assert held_out.num_frames == 40


def test_contact_sheets_show_the_frames(films, tmp_path, params):
    films.write(tmp_path / "in" / "a.mp4")
    extract(tmp_path / "in", out=tmp_path / "out", params=params)
    for split in ("train", "held_out"):
        sheet = np.asarray(Image.open(tmp_path / "out" / f"contact_{split}.png")).astype(int)
        reddish = (abs(sheet - (200, 30, 30)).max(axis=-1) < 15).mean()
        assert reddish > 0.1


def test_the_stage_stops_where_too_much_is_skipped(films, tmp_path, params):
    films.write(tmp_path / "in" / "a.mp4")
    for name in "bc":
        (tmp_path / "in" / f"{name}.mp4").write_text("hello")
    half = params.model_copy(update={"max_skipped": 0.5})
    with pytest.raises(
        UserError, match=r"2 of its 3 videos cannot be used(.|\n)*b\.mp4: NOT_MEDIA"
    ):
        extract(tmp_path / "in", out=tmp_path / "out", params=half)
    assert not (tmp_path / "out").exists()
    most = params.model_copy(update={"max_skipped": 0.7})
    assert extract(tmp_path / "in", out=tmp_path / "out", params=most).used == 1


def write_shots(films, path, *, lengths):
    """Write shots of one colour each, with a little motion in each."""
    rng = np.random.default_rng(0)
    frames = []
    for number, length in enumerate(lengths):
        shot = np.full((64, 64, 3), (40 * number % 256, 90 * number % 256, 200), dtype=np.uint8)
        for _ in range(length):
            shot = shot.copy()
            shot[rng.integers(64), :] = rng.integers(256)
            frames.append(shot)
    return films.write_frames(path, np.stack(frames))


def test_no_segment_crosses_a_cut_and_every_frame_is_accounted_for(films, tmp_path, params):
    write_shots(films, tmp_path / "in" / "a.mp4", lengths=[20, 4, 30, 26, 20])
    adaptive = params.model_copy(update={"shots": "adaptive"})
    report = extract(tmp_path / "in", out=tmp_path / "out", params=adaptive)
    parts = both(FrameStore.open(tmp_path / "out"))
    spans = [(round(part.start_s * 25), part.num_frames, part.split) for part in parts]
    # 100 frames: 20 are held out, and 3 before them are the gap.
    assert spans == [(0, 20, "train"), (24, 30, "train"), (54, 23, "train"), (80, 20, "held_out")]
    (video,) = report.videos
    assert video.shots == 5
    assert dict(video.dropped) == {"gap": 3, "short_shots": 4}
    assert [str(note.code) for note in report.notes] == ["SHORT_SHOTS"]
    whole = extract(tmp_path / "in", out=tmp_path / "out", params=params)
    assert [part.num_frames for part in whole.videos[0].segments] == [77, 20]


def test_what_belongs_together_stays_on_one_side(films, tmp_path, params):
    rows = ["path,group"]
    for number in range(12):
        films.write(tmp_path / f"{number}.mp4", frames=8, first=10 * number)
        rows.append(f"{number}.mp4,{'abc'[number % 3]}")
    (tmp_path / "m.csv").write_text("\n".join(rows))
    by_video = params.model_copy(update={"split": "video", "held_out": 0.3})
    extract(tmp_path / "m.csv", out=tmp_path / "out", params=by_video)
    store = FrameStore.open(tmp_path / "out")
    groups = {
        split: {int(part.video.split(".")[0]) % 3 for part in store.segments(split)}
        for split in ("train", "held_out")
    }
    assert len(groups["held_out"]) == 1
    assert not groups["held_out"] & groups["train"]


def test_copies_of_a_video_are_never_on_both_sides(films, tmp_path, params):
    films.write(tmp_path / "a.mp4")
    films.write(tmp_path / "other.mp4", first=50)
    films.remux(tmp_path / "a.mp4", tmp_path / "b.mkv")
    (tmp_path / "m.csv").write_text("path,split\na.mp4,train\nb.mkv,held_out\nother.mp4,held_out\n")
    report = extract(tmp_path / "m.csv", out=tmp_path / "out", params=params)
    assert [(skip.file, str(skip.code)) for skip in report.skips] == [("b.mkv", "DUPLICATE")]
    assert "very frames of a.mp4" in report.skips[0].reason


@pytest.mark.parametrize("rule", ["video", "time", "auto"])
def test_no_moment_is_on_both_sides_whatever_the_manifest_says(films, tmp_path, params, rule):
    films.write(tmp_path / "a.mp4", frames=100)
    films.write(tmp_path / "b.mp4", first=120)
    (tmp_path / "m.csv").write_text(
        "path,start,end,split\na.mp4,0,2,train\na.mp4,1,3,held_out\na.mp4,2,3,held_out\n"
        "a.mp4,1.5,2,train\nb.mp4,,,train\n"
    )
    told = params.model_copy(update={"split": rule})
    report = extract(tmp_path / "m.csv", out=tmp_path / "out", params=told)
    # Under the rule by video the fourth range is a part of the first, on the same side.
    shared = {3} if rule != "time" else {3, 5}
    assert {skip.row for skip in report.skips} == shared
    store = FrameStore.open(tmp_path / "out")
    seen = {
        split: {n for part in store.segments(split) for n in numbers(films, store, part)}
        for split in ("train", "held_out")
    }
    assert seen["held_out"] == set(range(50, 75))
    assert not seen["train"] & seen["held_out"]


def test_groups_cannot_be_cut_in_time_and_auto_does_not_cut_them(films, tmp_path, params):
    for number in range(2):
        films.write(tmp_path / f"{number}.mp4", first=50 * number)
    (tmp_path / "m.csv").write_text("path,group\n0.mp4,a\n1.mp4,b\n")
    by_time = params.model_copy(update={"split": "time"})
    with pytest.raises(UserError, match=r"m.csv:2: found a group"):
        extract(tmp_path / "m.csv", out=tmp_path / "out", params=by_time)
    auto = params.model_copy(update={"split": "auto"})
    extract(tmp_path / "m.csv", out=tmp_path / "out", params=auto)
    store = FrameStore.open(tmp_path / "out")
    videos = [{part.video for part in store.segments(split)} for split in ("train", "held_out")]
    assert videos[0] | videos[1] == {"0.mp4", "1.mp4"}
    assert not videos[0] & videos[1]


def test_a_manifest_that_settles_all_is_told_to_settle_otherwise(films, tmp_path, params):
    films.write(tmp_path / "a.mp4")
    (tmp_path / "m.csv").write_text("path,split\na.mp4,train\n")
    with pytest.raises(UserError, match=r"the column `split` settles all videos; put some of them"):
        extract(tmp_path / "m.csv", out=tmp_path / "out", params=params)


def test_ranges_of_one_video_are_rows_of_their_own(films, tmp_path, params):
    films.write(tmp_path / "a.mp4", frames=100)
    films.write(tmp_path / "b.mp4", first=120)
    (tmp_path / "m.csv").write_text(
        "path,start,end,caption\na.mp4,0,1,first\na.mp4,2,3.8,second\na.mp4,2.4,3,within\n"
        "a.mp4,9,10,behind\na.mp4,3.4,30,across\na.mp4,3.8,30,rest\nb.mp4,,,other\n"
    )
    report = extract(tmp_path / "m.csv", out=tmp_path / "out", params=params)
    store = FrameStore.open(tmp_path / "out")
    found = {(part.caption, part.split): numbers(films, store, part) for part in both(store)}
    assert found[("first", "train")] == list(range(25))
    assert found[("second", "train")] == list(range(50, 95))
    assert {(skip.row, str(skip.code)) for skip in report.skips} == {
        (4, "DUPLICATE"),  # within the second: its moments would stand on both sides
        (5, "BAD_RANGE"),
        (6, "DUPLICATE"),
        (7, "TOO_SHORT"),
    }


def test_only_the_last_range_of_a_video_is_cut_in_time(films, tmp_path, params):
    films.write(tmp_path / "a.mp4", frames=100)
    (tmp_path / "m.csv").write_text("path,start,end\na.mp4,2,4\na.mp4,0,2\n")
    report = extract(tmp_path / "m.csv", out=tmp_path / "out", params=params)
    parts = both(FrameStore.open(tmp_path / "out"))
    assert [(part.split, part.start_s, part.num_frames) for part in parts] == [
        ("train", 2.0, 37),
        ("train", 0.0, 50),
        ("held_out", 3.6, 10),
    ]
    assert [str(note.code) for note in report.notes] == ["ALL_FOR_TRAINING"]


def test_the_part_before_a_break_is_kept_on_demand(films, tmp_path, params):
    films.write(tmp_path / "in" / "good.mp4", first=100)
    films.cut(films.write(tmp_path / "in" / "cut.mkv", first=1), share=0.6)
    keep = params.model_copy(update={"on_truncated": "keep", "split": "video"})
    report = extract(tmp_path / "in", out=tmp_path / "out", params=keep)
    store = FrameStore.open(tmp_path / "out")
    (part,) = [part for part in both(store) if part.video == "cut.mkv"]
    assert 10 < part.num_frames < 40
    assert numbers(films, store, part) == list(range(1, 1 + part.num_frames))
    (note,) = [note for note in report.notes if note.file == "cut.mkv"]
    assert str(note.code) == "CUT_KEPT"
    assert f"the {part.num_frames} frames before a break are kept" in note.text


def test_a_stride_keeps_every_nth_frame(films, tmp_path, params):
    films.write(tmp_path / "in" / "a.mp4", frames=90)
    third = params.model_copy(update={"stride": 3, "split_gap_s": 0.0})
    extract(tmp_path / "in", out=tmp_path / "out", params=third)
    store = FrameStore.open(tmp_path / "out")
    (train,), (held_out,) = store.segments("train"), store.segments("held_out")
    assert numbers(films, store, train) + numbers(films, store, held_out) == list(range(0, 90, 3))
    assert train.fps == pytest.approx(25 / 3)
