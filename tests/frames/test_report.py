"""The account of an extraction adds up, and is written without loss."""

import csv
import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cvg.errors import UserError
from cvg.frames.report import (
    MOTION_EDGES,
    ExtractReport,
    UsedVideo,
    motion_histogram,
    read_report,
    write_report,
)
from cvg.segments import Segment
from cvg.videos.skips import Note, NoteCode, Skip, SkipCode

BINS = len(MOTION_EDGES) - 1
grey_levels = st.floats(min_value=0, max_value=255, width=32)
# Control characters are escaped before they come here.
texts = st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), max_size=12)
skips = st.builds(
    Skip,
    file=texts,
    row=st.none() | st.integers(2, 99),
    code=st.sampled_from(SkipCode),
    reason=texts,
)
notes = st.builds(
    Note,
    file=texts,
    row=st.none() | st.integers(2, 99),
    code=st.sampled_from(NoteCode),
    text=texts,
)


def segment(number, **changes):
    values = {
        "id": number,
        "video": "a.mp4",
        "split": "train",
        "first_frame": 0,
        "num_frames": 20,
        "fps": 10.0,
        "start_s": 0.0,
        "motion": 2.5,
        "first_action": None,
        "first_map": None,
        "caption": None,
        "label": None,
        "metadata": "{}",
    }
    return Segment(**(values | changes))


def video(*segments, **changes):
    frames = sum(part.num_frames for part in segments)
    values = {
        "file": "a.mp4",
        "row": 2,
        "sha256": "0" * 64,
        "width": 64,
        "height": 48,
        "frames": frames,
        "fps": 10.0,
        "seconds": frames / 10,
        "motion": 2.5,
        "shots": 1,
        "dropped": {},
        "segments": segments,
    }
    return UsedVideo(**(values | changes))


def report(*videos, **changes):
    values = {
        "found": len(videos) + len(changes.get("skips", ())),
        "used": len(videos),
        "skips": (),
        "notes": (),
        "videos": videos,
        "ignored": {},
        "motion_counts": {"train": (0,) * BINS, "held_out": (0,) * BINS},
    }
    return ExtractReport(**(values | changes))


def rows(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_videos_that_do_not_add_up_are_a_fault_of_the_program():
    with pytest.raises(AssertionError, match="found 2 = used 1 \\+ skipped 0"):
        report(video(segment(0)), found=2)
    with pytest.raises(AssertionError, match="used 2"):
        report(video(segment(0)), found=2, used=2)


def test_frames_that_do_not_add_up_are_a_fault_of_the_program():
    assert video(segment(0), frames=27, dropped={"gap": 3, "short_shots": 4}).stored == 20
    with pytest.raises(AssertionError, match=r"a\.mp4: 28 frames = stored 20 \+ dropped 7"):
        video(segment(0), frames=28, dropped={"gap": 3, "short_shots": 4})


def test_histograms_of_other_bins_are_a_fault_of_the_program():
    counts = {"train": (0,) * BINS, "held_out": (0,) * (BINS - 1)}
    with pytest.raises(AssertionError, match="not those of MOTION_EDGES"):
        report(motion_counts=counts)


def test_each_side_holds_its_own_videos_segments_frames_and_seconds():
    one = video(segment(0), segment(1, num_frames=5, fps=2.0), segment(2, split="held_out"))
    sides = report(one, video(segment(3))).sides
    train, held_out = sides["train"], sides["held_out"]
    assert (train.videos, train.segments, train.frames, train.seconds) == (2, 3, 45, 6.5)
    assert (held_out.videos, held_out.segments, held_out.frames) == (1, 1, 20)


def test_conditions_are_counted_by_segment_and_by_video():
    one = video(segment(0, caption="a"), segment(1, caption="b", first_action=0))
    conditions = report(one, video(segment(2, first_map=0))).conditions
    found = {name: (have.segments, have.videos) for name, have in conditions.items()}
    assert found == {"caption": (2, 1), "label": (0, 0), "actions": (1, 1), "map": (1, 1)}


def test_most_frequent_sizes_rates_and_codes_come_first():
    videos = [video(segment(0), width=width, fps=fps) for width, fps in [(9, 5), (8, 5), (8, 25)]]
    skip = Skip(file="b", row=None, code=SkipCode.CORRUPT, reason="")
    codes = [SkipCode.HDR, SkipCode.TIMEOUT, SkipCode.TIMEOUT]
    found = report(*videos, skips=tuple(replace(skip, code=code) for code in codes))
    assert list(found.sizes.items()) == [((8, 48), 2), ((9, 48), 1)]
    assert list(found.rates.items()) == [(5, 2), (25, 1)]
    assert list(found.skip_codes.items()) == [("TIMEOUT", 2), ("HDR", 1)]


@given(st.lists(st.lists(grey_levels, max_size=20), max_size=5))
def test_histograms_of_parts_add_up_to_that_of_the_whole(parts):
    arrays = [np.array(part, dtype=np.float32) for part in parts]
    whole = np.concatenate([np.empty(0, dtype=np.float32), *arrays])
    added = sum((motion_histogram(array) for array in arrays), np.zeros(BINS, dtype=np.int64))
    assert added.tolist() == motion_histogram(whole).tolist()
    assert added.sum() == len(whole)


@given(grey_levels)
def test_each_change_is_counted_between_its_edges(change):
    counts = motion_histogram(np.array([change], dtype=np.float32))
    (bin_number,) = np.flatnonzero(counts)
    assert MOTION_EDGES[bin_number] <= change < MOTION_EDGES[bin_number + 1]


@pytest.mark.parametrize("change", [np.nan, -0.1, 300.0, np.inf])
def test_what_is_no_change_of_grey_levels_is_refused(change):
    with pytest.raises(ValueError, match="not a number of 0 to 255"):
        motion_histogram(np.array([1.0, change], dtype=np.float32))


@settings(max_examples=20, deadline=None)
@given(st.lists(skips, max_size=4), st.lists(notes, max_size=4))
def test_written_report_holds_every_text_as_it_is(tmp_path_factory, skipped, noted):
    folder = tmp_path_factory.mktemp("report")
    write_report(report(skips=tuple(skipped), notes=tuple(noted)), folder)
    found = read_report(folder / "report.json")
    assert [Skip(**one | {"code": SkipCode(one["code"])}) for one in found["skipped"]] == skipped
    assert [Note(**one | {"code": NoteCode(one["code"])}) for one in found["notes"]] == noted


@settings(max_examples=20, deadline=None)
@given(skips, notes)
def test_no_cell_of_a_csv_is_a_formula(tmp_path_factory, skip, note):
    folder = tmp_path_factory.mktemp("report")
    write_report(report(skips=(skip,), notes=(note,)), folder)
    for name, text in (("skipped.csv", skip.reason), ("notes.csv", note.text)):
        (row,) = rows(folder / name)
        assert not any(cell.startswith(("=", "+", "-", "@")) for cell in row.values())
        assert text in (list(row.values())[-1], list(row.values())[-1][1:])


@pytest.mark.parametrize("file", ["=1+1", "+a", "-b", "@c"])
def test_name_that_a_spreadsheet_would_run_is_quoted_in_the_csv_alone(tmp_path, file):
    skip = Skip(file=file, row=2, code=SkipCode.MISSING_FILE, reason="found nothing")
    write_report(report(skips=(skip,)), tmp_path)
    assert rows(tmp_path / "skipped.csv")[0]["file"] == f"'{file}"
    assert read_report(tmp_path / "report.json")["skipped"][0]["file"] == file


def test_sums_of_the_report_are_written(tmp_path):
    one = video(
        segment(0, caption="a"),
        segment(1, split="held_out", num_frames=8),
        frames=33,
        seconds=3.3,
        shots=3,
        dropped={"gap": 5, "short_parts": 0},
    )
    write_report(report(one, video(segment(2)), ignored={".txt": 2}), tmp_path)
    found = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    assert found["sides"]["held_out"] == {"videos": 1, "segments": 1, "frames": 8, "seconds": 0.8}
    assert found["durations_s"] == {"min": 2.0, "median": 2.65, "max": 3.3, "total": 5.3}
    assert found["shots"] == {"total": 4, "videos_with_cuts": 1}
    assert found["dropped"] == {"gap": 5, "short_parts": 0}
    assert found["ignored"] == {".txt": 2}
    assert found["conditions"]["caption"] == {"videos": 1, "segments": 1}
    first, second = found["videos"][0]["segments"]
    assert (first["conditions"], second["frames"]) == (["caption"], 8)


def test_motion_is_written_with_the_bounds_of_its_bins(tmp_path):
    counts = {"train": tuple(range(BINS)), "held_out": (7,) * BINS}
    write_report(report(motion_counts=counts), tmp_path)
    found = rows(tmp_path / "motion.csv")
    assert [int(row["train"]) for row in found] == list(range(BINS))
    assert {row["held_out"] for row in found} == {"7"}
    bounds = [float(row["bin_low"]) for row in found] + [float(found[-1]["bin_high"])]
    assert bounds == list(MOTION_EDGES)


def test_report_of_another_version_is_refused(tmp_path):
    path = tmp_path / "report.json"
    path.write_text('{"format_version": 1}')
    with pytest.raises(UserError, match=r"report\.json: format_version is 1.*extract stage again"):
        read_report(path)
