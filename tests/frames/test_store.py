"""The frame store: what goes in comes out, from anywhere, at no cost of the rest."""

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cvg.errors import UserError
from cvg.frames.store import FrameStore
from cvg.frames.writer import FrameWriter
from cvg.segments import Segment

SIZE = 8
PER_SHARD = 10
LENGTHS = (7, 25, 1, 18)


def pictures(count, seed):
    shape = (count, SIZE, SIZE, 3)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def write(folder, lengths=LENGTHS):
    """Write a video a length; every second one is held out."""
    folder.mkdir()
    sources = [pictures(length, seed) for seed, length in enumerate(lengths)]
    with FrameWriter(
        folder, height=SIZE, width=SIZE, shard_bytes=PER_SHARD * SIZE * SIZE * 3
    ) as writer:
        for number, source in enumerate(sources):
            writer.add(
                Segment(
                    id=number,
                    video=f"{number}.mp4",
                    split="held_out" if number % 2 else "train",
                    first_frame=writer.append(source),
                    num_frames=len(source),
                    fps=25.0,
                    start_s=0.5,
                    caption="a cat" if number else None,
                    label=None,
                    metadata="{}",
                )
            )
    return sources


@pytest.fixture
def folder(tmp_path):
    write(tmp_path / "frames")
    return tmp_path / "frames"


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("store") / "frames"
    sources = write(folder)
    return FrameStore.open(folder), sources


def by_id(store):
    segments = [*store.segments("train"), *store.segments("held_out")]
    return sorted(segments, key=lambda segment: segment.id)


@given(data=st.data())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_window_equals_the_source(shared, data):
    store, sources = shared
    number = data.draw(st.integers(0, len(LENGTHS) - 1))
    length = data.draw(st.integers(1, LENGTHS[number]))
    start = data.draw(st.integers(0, LENGTHS[number] - length))
    found = store.window(by_id(store)[number], start, length)
    assert np.array_equal(found, sources[number][start : start + length])


def test_a_window_may_cross_shards_and_is_a_copy(shared):
    store, sources = shared
    segment = by_id(store)[1]
    assert segment.first_frame < PER_SHARD < 2 * PER_SHARD < segment.first_frame + 25
    found = store.window(segment, 0, 25)
    assert np.array_equal(found, sources[1])
    found[:] = 0
    assert np.array_equal(store.window(segment, 0, 25), sources[1])


def test_a_window_touches_no_shard_but_its_own(folder):
    store = FrameStore.open(folder)
    for path in sorted(folder.glob("frames-*.npy")):
        if path.name != "frames-00001.npy":
            path.unlink()
    segment = by_id(store)[1]
    found = store.window(segment, PER_SHARD - segment.first_frame, PER_SHARD)
    assert np.array_equal(found, pictures(25, 1)[3:13])


def test_shards_are_full_but_the_last(folder):
    counts = [len(np.load(path)) for path in sorted(folder.glob("frames-*.npy"))]
    assert counts == [10, 10, 10, 10, 10, 1]


def test_what_is_known_of_a_segment_comes_back(shared):
    store, _ = shared
    first, second, *_ = by_id(store)
    assert (first.caption, second.caption) == (None, "a cat")
    assert (second.video, second.split, second.fps, second.start_s) == (
        "1.mp4",
        "held_out",
        25.0,
        0.5,
    )
    assert store.size == (SIZE, SIZE)
    assert store.num_frames("train") == 7 + 1
    assert store.num_frames("held_out") == 25 + 18


@pytest.mark.parametrize(("start", "length"), [(-1, 2), (0, 8), (7, 1), (3, 0), (6, 2)])
def test_windows_beyond_a_segment_are_refused_with_numbers(shared, start, length):
    store, _ = shared
    with pytest.raises(ValueError, match=r"not within the 7 frames of segment 0"):
        store.window(by_id(store)[0], start, length)


def test_a_flipped_bit_is_found_when_its_shard_is_first_read(folder):
    path = folder / "frames-00002.npy"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(bytes(data))
    store = FrameStore.open(folder)
    store.window(by_id(store)[0], 0, 7)
    with pytest.raises(UserError, match=r"frames-00002\.npy: sha256 is .*, expected"):
        store.window(by_id(store)[1], 20, 5)


def test_a_short_shard_is_found_at_once(folder):
    path = folder / "frames-00001.npy"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(UserError, match=r"frames-00001\.npy: has \d+ bytes, expected \d+"):
        FrameStore.open(folder)


@pytest.mark.parametrize("name", ["frames-00003.npy", "index.parquet", "store.json"])
def test_a_missing_file_is_named(folder, name):
    (folder / name).unlink()
    with pytest.raises(UserError, match=f"{name}: no such file"):
        FrameStore.open(folder)


def test_a_changed_index_is_found(folder):
    path = folder / "index.parquet"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(UserError, match=r"index\.parquet: sha256 is"):
        FrameStore.open(folder)


def test_a_store_of_another_format_is_refused(folder):
    header = json.loads((folder / "store.json").read_text())
    (folder / "store.json").write_text(json.dumps({**header, "format_version": 99}))
    with pytest.raises(UserError, match="format_version is 99"):
        FrameStore.open(folder)


def test_the_digest_tells_content_apart(tmp_path):
    write(tmp_path / "a")
    write(tmp_path / "b")
    write(tmp_path / "c", lengths=(7, 25, 1, 19))
    a, b, c = (FrameStore.open(tmp_path / name).digest for name in "abc")
    assert a == b != c


def test_nothing_can_be_opened_that_was_not_finished(tmp_path):
    def fail():
        with FrameWriter(tmp_path, height=SIZE, width=SIZE, shard_bytes=10**4) as writer:
            writer.append(pictures(3, 0))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    with pytest.raises(UserError, match=r"store\.json: no such file"):
        FrameStore.open(tmp_path)


def test_the_writer_refuses_other_sizes_and_segments_without_frames(tmp_path):
    with FrameWriter(tmp_path, height=SIZE, width=SIZE, shard_bytes=10**4) as writer:
        with pytest.raises(ValueError, match="the store holds uint8"):
            writer.append(np.zeros((1, SIZE, SIZE + 1, 3), dtype=np.uint8))
        segment = Segment(
            id=0,
            video="a",
            split="train",
            first_frame=0,
            num_frames=2,
            fps=1.0,
            start_s=0.0,
            caption=None,
            label=None,
            metadata="{}",
        )
        with pytest.raises(ValueError, match="the store has 0"):
            writer.add(segment)
        writer.append(pictures(2, 0))
        with pytest.raises(ValueError, match="expected 0"):
            writer.add(replace(segment, id=1))
