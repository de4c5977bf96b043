"""Segments on disk, and the windows in them."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cvg.errors import UserError
from cvg.segments import SCHEMA, Segment, Windows, read_segments, write_segments

LENGTHS = st.lists(st.integers(0, 9), max_size=6)


def segment(number, num_frames):
    return Segment(
        id=number,
        video=f"vidéo {number}.mp4",
        split="held_out" if number % 2 else "train",
        first_frame=100 * number,
        num_frames=num_frames,
        fps=12.5,
        start_s=0.1,
        motion=2.5,
        first_action=10 * number if number else None,
        first_map=None if number else 7,
        caption=None if number == 0 else "a cat, running",
        label=None,
        metadata='{"camera": "left"}',
    )


def segments(lengths):
    return [segment(number, length) for number, length in enumerate(lengths)]


@settings(deadline=None)
@given(lengths=LENGTHS, length=st.integers(1, 5))
def test_every_start_occurs_once_in_order_and_no_window_leaves_its_segment(lengths, length):
    windows = Windows(segments(lengths), length=length)
    found = [(window.segment.id, window.start, window.length) for window in windows]
    assert found == [
        (number, start, length)
        for number, num_frames in enumerate(lengths)
        for start in range(num_frames - length + 1)
    ]
    assert len(windows) == len(found)


@settings(deadline=None)
@given(lengths=LENGTHS, length=st.integers(1, 5), count=st.integers(0, 60))
def test_spread_gives_different_windows_in_order_each_in_the_middle_of_its_share(
    lengths, length, count
):
    windows = Windows(segments(lengths), length=length)
    every = list(windows)
    picked = [every.index(window) for window in windows.spread(count)]
    assert len(picked) == min(count, len(every))
    assert picked == sorted(set(picked))
    for i, position in enumerate(picked):
        share = len(every) / len(picked)
        assert abs(position + 0.5 - (i + 0.5) * share) <= 0.5 + 1e-9


@pytest.mark.parametrize("number", [-1, 7, 100])
def test_numbers_beyond_the_last_window_are_refused(number):
    windows = Windows(segments([5, 6]), length=3)
    assert len(windows) == 7
    with pytest.raises(IndexError, match=f"window {number} of 7"):
        windows[number]


def test_segments_come_back(tmp_path):
    written = segments([3, 0, 7])
    write_segments(tmp_path / "index.parquet", written)
    assert read_segments(tmp_path / "index.parquet") == written


def test_columns_of_later_versions_are_ignored(tmp_path):
    rows = [vars(segment(0, 3)) | {"sound": "x.wav"}]
    schema = SCHEMA.append(pa.field("sound", pa.string()))
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), tmp_path / "index.parquet")
    assert read_segments(tmp_path / "index.parquet") == [segment(0, 3)]


def test_an_index_of_an_earlier_version_is_refused_with_what_it_lacks(tmp_path):
    path = tmp_path / "index.parquet"
    write_segments(path, segments([3]))
    pq.write_table(pq.read_table(path).drop_columns(["motion", "first_map"]), path)
    with pytest.raises(UserError, match=r"index\.parquet: found no column motion, first_map"):
        read_segments(path)
