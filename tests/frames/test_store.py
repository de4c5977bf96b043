"""The frame store: what goes in comes out, from anywhere, at no cost of the rest."""

import json
import multiprocessing
import pickle
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from cvg.errors import UserError
from cvg.frames.store import FrameStore
from cvg.frames.writer import FrameWriter
from cvg.segments import Segment, Windows

SIZE = 8
FRAME_BYTES = SIZE * SIZE * 3
PER_SHARD = 10
LENGTHS = (7, 25, 1, 18)
PLAIN = Segment(
    id=0,
    video="0.mp4",
    split="train",
    first_frame=0,
    num_frames=2,
    fps=25.0,
    start_s=0.5,
    motion=1.5,
    first_action=None,
    first_map=None,
    caption=None,
    label=None,
    metadata="{}",
)


def pictures(count, seed):
    shape = (count, SIZE, SIZE, 3)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def write(folder, lengths=LENGTHS):
    """Write a video a length; every second one is held out."""
    folder.mkdir()
    sources = [pictures(length, seed) for seed, length in enumerate(lengths)]
    with FrameWriter(
        folder, height=SIZE, width=SIZE, shard_bytes=PER_SHARD * FRAME_BYTES
    ) as writer:
        for number, source in enumerate(sources):
            writer.add(
                replace(
                    PLAIN,
                    id=number,
                    video=f"{number}.mp4",
                    split="held_out" if number % 2 else "train",
                    first_frame=writer.append(source),
                    num_frames=len(source),
                    caption="a cat" if number else None,
                )
            )
    return sources


def write_planted(folder, videos, *, shard_bytes):
    """Write videos (length, has actions, has maps) whose every item tells its place.

    A frame, a row of actions and a map all hold the number of the video and that of the frame.
    """
    with FrameWriter(folder, height=SIZE, width=SIZE, shard_bytes=shard_bytes) as writer:
        for number, (length, has_actions, has_maps) in enumerate(videos):
            planted = np.empty((length, SIZE, SIZE, 3), np.uint8)
            planted[..., 0], planted[..., 1] = number, np.arange(length)[:, None, None]
            actions = np.stack([np.full(length, number), np.arange(length)], axis=1)
            writer.add(
                replace(
                    PLAIN,
                    id=number,
                    first_frame=writer.append(planted),
                    num_frames=length,
                    first_action=writer.append_actions(actions.astype(np.float32))
                    if has_actions
                    else None,
                    first_map=writer.append_maps(planted[..., 0] * 16 + planted[..., 1])
                    if has_maps
                    else None,
                )
            )
    return FrameStore.open(folder)


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


@given(
    videos=st.lists(
        st.tuples(st.integers(1, 9), st.booleans(), st.booleans()), min_size=1, max_size=4
    ),
    shard_bytes=st.integers(1, 5 * FRAME_BYTES),
    length=st.integers(1, 4),
)
@settings(deadline=None, max_examples=40)
def test_windows_stay_in_their_segment_and_actions_and_maps_stay_with_their_frames(
    tmp_path_factory, videos, shard_bytes, length
):
    store = write_planted(tmp_path_factory.mktemp("store"), videos, shard_bytes=shard_bytes)
    for window in Windows(store.segments("train"), length=length):
        segment, start = window.segment, window.start
        numbers = np.arange(start, start + length)
        frames = store.window(segment, start, length)
        assert np.array_equal(frames[:, 0, 0, :2], [[segment.id, n] for n in numbers])
        if videos[segment.id][1]:
            actions = store.actions(segment, start, length)
            assert actions.dtype == np.float32
            assert np.array_equal(actions, frames[:, 0, 0, :2])
        if videos[segment.id][2]:
            maps = store.maps(segment, start, length)
            assert np.array_equal(maps, frames[..., 0] * 16 + frames[..., 1])


def test_nothing_is_stored_for_videos_without_actions_or_maps(tmp_path):
    (tmp_path / "some").mkdir()
    (tmp_path / "none").mkdir()
    videos = [(5, False, False), (3, True, False), (4, False, True), (2, True, True)]
    some = write_planted(tmp_path / "some", videos, shard_bytes=10**6)
    none = write_planted(tmp_path / "none", videos[:1], shard_bytes=10**6)
    assert len(np.load(tmp_path / "some" / "actions-00000.npy")) == 3 + 2
    assert len(np.load(tmp_path / "some" / "maps-00000.npy")) == 4 + 2
    assert {path.name for path in (tmp_path / "none").glob("*.npy")} == {"frames-00000.npy"}
    assert (some.action_width, none.action_width) == (2, None)
    header = json.loads((tmp_path / "none" / "store.json").read_text())
    assert list(header["tracks"]) == ["frames"]
    plain = by_id(some)[0]
    with pytest.raises(ValueError, match=r"segment 0 \(0\.mp4\) has no actions"):
        some.actions(plain, 0, 1)
    with pytest.raises(ValueError, match=r"segment 0 \(0\.mp4\) has no maps"):
        some.maps(plain, 0, 1)


@pytest.mark.parametrize("name", ["actions", "maps"])
def test_actions_and_maps_beyond_a_segment_are_refused(tmp_path, name):
    store = write_planted(tmp_path, [(3, True, True), (5, True, True)], shard_bytes=10**6)
    with pytest.raises(ValueError, match=r"\[2, 4\) is not within the 3 frames of segment 0"):
        getattr(store, name)(by_id(store)[0], 2, 2)


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
    assert (second.video, second.split, second.fps, second.start_s, second.motion) == (
        "1.mp4",
        "held_out",
        25.0,
        0.5,
        1.5,
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
    with pytest.raises(UserError, match=r"frames-00002\.npy: xxh3_128 is .*, expected"):
        store.window(by_id(store)[1], 20, 5)


@pytest.mark.parametrize("name", ["frames", "actions", "maps"])
def test_a_short_shard_is_found_at_once(tmp_path, name):
    write_planted(tmp_path, [(3, True, True)], shard_bytes=10**6)
    path = tmp_path / f"{name}-00000.npy"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(UserError, match=rf"{name}-00000\.npy: has \d+ bytes, expected \d+"):
        FrameStore.open(tmp_path)


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


@pytest.mark.parametrize("version", [1, 99])
def test_a_store_of_another_format_is_refused_whatever_else_it_holds(folder, version):
    (folder / "index.parquet").write_bytes(b"columns of another version")
    (folder / "store.json").write_text(json.dumps({"format_version": version}))
    with pytest.raises(UserError, match=f"format_version is {version}, this program reads 2; run"):
        FrameStore.open(folder)


def test_checksums_that_are_not_those_of_the_digest_are_refused(folder):
    path = folder / "store.json"
    header = json.loads(path.read_text())
    header["tracks"]["frames"]["shards"][2]["xxh3_128"] = "0" * 32
    path.write_text(json.dumps(header))
    with pytest.raises(UserError, match="digest does not match the content"):
        FrameStore.open(folder)


def test_the_digest_tells_content_apart(tmp_path):
    write(tmp_path / "a")
    write(tmp_path / "b")
    write(tmp_path / "c", lengths=(7, 25, 1, 19))
    a, b, c = (FrameStore.open(tmp_path / name).digest for name in "abc")
    assert a == b != c


def test_the_digest_sees_actions_and_maps(tmp_path):
    digests = set()
    for number, (actions, maps) in enumerate([(0.0, 0), (0.0, 1), (1.0, 0)]):
        folder = tmp_path / str(number)
        folder.mkdir()
        with FrameWriter(folder, height=SIZE, width=SIZE, shard_bytes=10**4) as writer:
            writer.append(pictures(2, 0))
            writer.append_actions(np.full((2, 1), actions, np.float32))
            writer.append_maps(np.full((2, SIZE, SIZE), maps, np.uint8))
            writer.add(replace(PLAIN, first_action=0, first_map=0))
        digests.add(FrameStore.open(folder).digest)
    assert len(digests) == 3


def test_a_pickled_store_is_small_and_reads_the_same_in_a_process_started_afresh(shared):
    store, sources = shared
    segment = by_id(store)[1]
    before = len(pickle.dumps(store))
    store.window(segment, 0, 25)
    assert len(pickle.dumps(store)) == before
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        found = pool.apply(FrameStore.window, (store, segment, 3, 20))
    assert np.array_equal(found, sources[1][3:23])


def collate(store, windows):
    frames = [store.window(w.segment, w.start, w.length) for w in windows]
    return torch.from_numpy(np.stack(frames))


# Python 3.12 and later warn of forks beside threads; torch's workers are forks on Linux.
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_batches_are_the_same_whatever_the_number_of_workers(shared):
    store, _ = shared
    windows = Windows(by_id(store), length=4)
    batches = {
        workers: list(
            DataLoader(
                windows,
                batch_size=5,
                shuffle=True,
                generator=torch.Generator().manual_seed(3),
                num_workers=workers,
                collate_fn=partial(collate, store),
            )
        )
        for workers in (0, 1, 2)
    }
    assert len(batches[0]) == -(-len(windows) // 5)
    for workers in (1, 2):
        assert len(batches[workers]) == len(batches[0])
        assert all(map(torch.equal, batches[workers], batches[0]))


def test_nothing_can_be_opened_that_was_not_finished(tmp_path):
    def fail():
        with FrameWriter(tmp_path, height=SIZE, width=SIZE, shard_bytes=10**4) as writer:
            writer.append(pictures(3, 0))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    with pytest.raises(UserError, match=r"store\.json: no such file"):
        FrameStore.open(tmp_path)


def test_actions_of_another_width_are_refused_with_both_and_leave_no_trace(tmp_path):
    with FrameWriter(tmp_path, height=SIZE, width=SIZE, shard_bytes=10**4) as writer:
        assert writer.action_width is None
        writer.append_actions(np.zeros((2, 3), np.float32))
        assert writer.action_width == 3
        with pytest.raises(ValueError, match="actions have 4 numbers a row, those before have 3"):
            writer.append_actions(np.zeros((2, 4), np.float32))
        assert writer.append_actions(np.ones((2, 3), np.float32)) == 2


def test_actions_and_maps_of_other_types_and_sizes_are_refused(tmp_path):
    with FrameWriter(tmp_path, height=SIZE, width=SIZE, shard_bytes=10**4) as writer:
        with pytest.raises(ValueError, match="hold nothing"):
            writer.append_actions(np.zeros((2, 0), np.float32))
        with pytest.raises(ValueError, match=r"maps are uint8 \(8, 9\), the store holds uint8"):
            writer.append_maps(np.zeros((2, SIZE, SIZE + 1), np.uint8))
        assert writer.action_width is None


def test_the_writer_refuses_other_sizes_and_segments_without_frames(tmp_path):
    with FrameWriter(tmp_path, height=SIZE, width=SIZE, shard_bytes=10**4) as writer:
        with pytest.raises(ValueError, match="the store holds uint8"):
            writer.append(np.zeros((1, SIZE, SIZE + 1, 3), dtype=np.uint8))
        with pytest.raises(ValueError, match=r"frames \[0, 2\), the store has 0"):
            writer.add(PLAIN)
        writer.append(pictures(2, 0))
        with pytest.raises(ValueError, match="expected 0"):
            writer.add(replace(PLAIN, id=1))


def test_the_writer_refuses_segments_whose_actions_or_maps_are_not_there(tmp_path):
    with FrameWriter(tmp_path, height=SIZE, width=SIZE, shard_bytes=10**4) as writer:
        writer.append(pictures(2, 0))
        with pytest.raises(ValueError, match=r"actions \[0, 2\), the store has 0"):
            writer.add(replace(PLAIN, first_action=0))
        writer.append_actions(np.zeros((2, 3), np.float32))
        writer.append_maps(np.zeros((2, SIZE, SIZE), np.uint8))
        with pytest.raises(ValueError, match=r"maps \[1, 3\), the store has 2"):
            writer.add(replace(PLAIN, first_action=0, first_map=1))
        writer.add(replace(PLAIN, first_action=0, first_map=0))
